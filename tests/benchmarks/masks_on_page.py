"""What masks on the page cost a click: `python tests/benchmarks/masks_on_page.py [--masks 300] [--clicks 20]`.

Clicks over HTTP on an image of 2 megapixels: with no mask on the page, with masks that are seen for the first time, and
with the same masks again; then with masks of many runs. Every click makes a new region; the last row corrects one in
place.
"""

import argparse
import io
import sys
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.click import Waits, together
from benchmarks.servers import service
from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving
from sam_backend.labelstudio.rle import encode_rle

SIZE = 1200, 1700


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=300, help="masks on the page (default: 300)")
    parser.add_argument("--clicks", type=int, default=20, help="clicks per kind (default: 20)")
    options = parser.parse_args()
    table = Table("", "clicks", "p50 [ms]", "p95 [ms]", "CPU a click [ms]", title=f"nano, {SIZE[1]} x {SIZE[0]}")
    for name, waits in measure(options.masks, options.clicks).items():
        figures = (waits.p50, waits.p95, waits.cpu)
        table.add_row(name, str(len(waits.milliseconds)), *(f"{figure:.0f}" for figure in figures))
    Console().print(table)


def measure(masks, clicks):
    """Return the waits for clicks by what is on the page; the large masks are as many, and 12 MB are 100 of them."""
    random = np.random.default_rng(0)
    pixels = random.normal(140, 12, SIZE).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "JPEG", quality=92)
    page = [{"id": 1, "result": [region(number, random) for number in range(masks)]}]
    large = [{"id": 2, "result": [large_region(number, random) for number in range(masks)]}]
    with serving() as images, service("nano", prefetch=0) as server:
        images.routes["/a.jpg"] = buffer.getvalue()
        spots = random.uniform((1250, 10), (1690, 1190), (6 * clicks + 6, 2)).tolist()

        def wait(count, predictions, **how):
            waits = Waits()
            for _ in range(count):
                drawn = at(*spots.pop(), **how)
                body = interactive(drawn, image=f"{images.url}/a.jpg", predictions=predictions)
                together(server, waits, [body])
            return waits

        wait(2, [])
        rows = {
            "no mask": wait(clicks, []),
            f"{masks} masks, first sight": wait(1, page),
            f"{masks} masks": wait(clicks, page),
            f"{masks} large masks, first sight": wait(1, large),
            f"{masks} large masks": wait(clicks, large),
        }
        spots = [list(centre(number)) for number in range(clicks)]
        rows["correction of one of them"] = wait(clicks, page, positive=False)
    return rows


def centre(number):
    return 40 + 60 * (number % 20), 40 + 60 * (number // 20 % 19)


def region(number, random):
    x, y = centre(number)
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return brush(number, (rows - y) ** 2 + (columns - x) ** 2 < random.uniform(15, 28) ** 2)


def large_region(number, random):
    """Return a mask with as many runs as a stain with a frayed edge on an image of 12 megapixels has."""
    mask = np.zeros(SIZE, bool)
    left, top = random.integers(0, (850, 880))
    grain = cv2.resize(random.random((80, 80)), (320, 320), interpolation=cv2.INTER_NEAREST)
    mask[top : top + 320, left : left + 320] = grain > 0.48
    return brush(number, mask)


def brush(number, mask):
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Blowhole"]}
    return {"id": f"r{number}", "from_name": "brush", "to_name": "image", "type": "brushlabels", "value": value} | size


def at(x, y, *, positive=True):
    drawn = click(WIDTH * x / SIZE[1], HEIGHT * y / SIZE[0], positive=positive)
    return drawn | {"id": f"{x} {y}", "original_width": SIZE[1], "original_height": SIZE[0]}


if __name__ == "__main__":
    main()
