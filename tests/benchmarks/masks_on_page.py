"""What masks on the page cost a click: `python tests/benchmarks/masks_on_page.py [--masks 300] [--clicks 20]`.

Clicks over HTTP on an image of 2 megapixels: with no mask on the page, with masks that are seen for the first time, and
with the same masks again. Every click makes a new region; the last row corrects one in place.
"""

import argparse
import io
import sys
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.click import ask, service
from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving
from sam_backend.labelstudio.rle import encode_rle

SIZE = 1200, 1700


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=300, help="masks on the page (default: 300)")
    parser.add_argument("--clicks", type=int, default=20, help="clicks per kind (default: 20)")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    pixels = random.normal(140, 12, SIZE).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "JPEG", quality=92)
    regions = [region(number, random) for number in range(options.masks)]
    page = [{"id": 1, "result": regions}]
    with serving() as images, service("nano") as url:
        images.routes["/a.jpg"] = buffer.getvalue()
        spots = random.uniform((1250, 10), (1690, 1190), (4 * options.clicks, 2)).tolist()

        def wait(count, masks, **how):
            for _ in range(count):
                yield ask(url, interactive(at(*spots.pop(), **how), image=f"{images.url}/a.jpg", predictions=masks))

        list(wait(2, []))
        rows = {
            "no mask": list(wait(options.clicks, [])),
            f"{options.masks} masks, first sight": list(wait(1, page)),
            f"{options.masks} masks": list(wait(options.clicks, page)),
        }
        spots = [list(centre(number)) for number in range(options.clicks)]
        rows["correction of one of them"] = list(wait(options.clicks, page, positive=False))
    table = Table("", "clicks", "p50 [ms]", "p95 [ms]", title=f"nano, {SIZE[1]} x {SIZE[0]}")
    for name, milliseconds in rows.items():
        table.add_row(
            name, str(len(milliseconds)), *(f"{value:.0f}" for value in np.percentile(milliseconds, (50, 95)))
        )
    Console().print(table)


def centre(number):
    return 40 + 60 * (number % 20), 40 + 60 * (number // 20 % 19)


def region(number, random):
    x, y = centre(number)
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    mask = (rows - y) ** 2 + (columns - x) ** 2 < random.uniform(15, 28) ** 2
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Blowhole"]}
    return {"id": f"r{number}", "from_name": "brush", "to_name": "image", "type": "brushlabels", "value": value} | size


def at(x, y, *, positive=True):
    drawn = click(WIDTH * x / SIZE[1], HEIGHT * y / SIZE[0], positive=positive)
    return drawn | {"id": f"{x} {y}", "original_width": SIZE[1], "original_height": SIZE[0]}


if __name__ == "__main__":
    main()
