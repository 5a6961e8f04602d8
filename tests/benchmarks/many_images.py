"""What a server holds after many images: `python tests/benchmarks/many_images.py [--images 2000] [--side 512]`.

Clicks once on each of many images, one after the other, and prints the highest resident size, the open files and the
threads of `sam-inspect serve`, after a tenth of the images and after all of them: what grows with the images would
grow further.
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
from rich.progress import track
from rich.table import Table

from benchmarks.click import ask
from benchmarks.servers import service
from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import send, serving


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="images (default: 2000)")
    parser.add_argument("--side", type=int, default=512, help="their sides in pixels (default: 512)")
    options = parser.parse_args()
    table = Table("after images", "highest resident size [MiB]", "open files", "threads")
    for count, *figures in measure(options.images, options.side):
        table.add_row(str(count), *(f"{figure:.0f}" for figure in figures))
    Console().print(table)


def measure(count, side):
    """Yield the number of images so far, the highest resident size in MiB, the open files and the threads."""
    drawn = click(WIDTH / 2, HEIGHT / 2) | {"original_width": side, "original_height": side}
    with serving() as images, service("nano", prefetch=0) as server:
        for number in track(range(count), description="Clicking on images", transient=True):
            path = f"/{number}.jpg"
            images.routes[path] = lambda handler, number=number: send(handler, picture(number, side))
            ask(server.url, interactive(drawn, image=images.url + path, number=number))
            del images.routes[path]
            if number + 1 in (max(1, count // 10), count):
                yield number + 1, server.resident_mib("VmHWM"), server.handles(), server.threads()


def picture(number, side):
    """Return a JPEG that no other number has."""
    grain = np.random.default_rng(number).normal(120, 20, (side // 8, side // 8)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).resize((side, side)).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
