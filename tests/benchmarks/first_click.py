"""CPU seconds of a lone first click, beside the common pattern: `python tests/benchmarks/first_click.py`.

Each server gets a click on a new image over HTTP, as Label Studio sends it: SAM Inspect; the common pattern of backends
around the same model (`rival.py --served`); and, with `--before <folder>`, SAM Inspect of another checkout. The CPU
seconds are those of the server's process until it rests, so they include what is done after the answer; the highest
memory is its own.
"""

import argparse
import io
import sys
import time
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
# The folder of this file would hide the package `click`; the modules of the tests are one folder up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.click import ask
from benchmarks.servers import TICKS, rival, service
from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving

SIZES = {1: (864, 1152), 6: (2112, 2848), 12: (3000, 4000), 20: (3640, 5460), 48: (6000, 8000)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--formats", nargs="+", default=["JPEG", "PNG"])
    parser.add_argument("--rounds", type=int, default=3, help="images of a kind; the median counts (default: 3)")
    parser.add_argument("--before", type=Path, help="another checkout to measure beside this one")
    options = parser.parse_args()
    servers = {"pattern": lambda: rival("--served")}
    if options.before:
        servers["before"] = lambda: service("nano", options.before)
    servers["now"] = lambda: service("nano")
    table = Table("image", *(f"{name}\nCPU s | wall ms | MiB" for name in servers), "pattern / now, CPU")
    kinds = [(form, megapixels) for form in options.formats for megapixels in options.megapixels]
    spent = {}
    for name, start in servers.items():
        with serving() as images, start() as server:
            click_on(server.url, images, *scene("JPEG", 1, 99), "first")
            for kind in track(kinds, description=f"Clicking: {name}", transient=True):
                settled(server)
                # From here on, the highest memory is counted anew.
                Path(f"/proc/{server.pid}/clear_refs").write_text("5")
                runs = []
                for seed in range(options.rounds):
                    file, prompt = scene(*kind, seed)
                    before = settled(server)
                    wall = click_on(server.url, images, file, prompt, f"{kind[0]}{kind[1]}-{seed}")
                    runs.append((settled(server) - before, wall))
                spent[name, kind] = (*np.median(runs, axis=0), server.resident_mib("VmHWM"))
    for kind in kinds:
        cells = ["{:.2f} | {:.0f} | {:.0f}".format(*spent[name, kind]) for name in servers]
        table.add_row(f"{kind[0]}, {kind[1]} MP", *cells, f"{spent['pattern', kind][0] / spent['now', kind][0]:.1f}")
    Console(width=120).print(table)


def scene(form, megapixels, seed):
    """Return a file of a grained surface with a dark scratch, and a click on the scratch."""
    height, width = SIZES[megapixels]
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 12, (height // 4, width // 4)).astype(np.float32)
    grain = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels = grain + 140
    x, y = int(width * rng.uniform(0.2, 0.6)), int(height * rng.uniform(0.2, 0.8))
    pixels[y : y + height // 60, x : x + width // 12] -= 70
    # Not the same in every channel, so that no format stores grey levels.
    coloured = np.stack([pixels + 4, pixels, pixels - 4], 2).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    options = {"quality": 92} if form == "JPEG" else {"compress_level": 1}
    Image.fromarray(coloured).save(buffer, form, **options)
    region = click(WIDTH * (x + width / 24) / width, HEIGHT * (y + height / 120) / height)
    return buffer.getvalue(), region | {"original_width": width, "original_height": height}


def click_on(url, images, file, prompt, number):
    """Return the milliseconds until the answer to a click on a file was there."""
    images.routes[f"/{number}"] = file
    return ask(url, interactive(prompt, image=f"{images.url}/{number}"))


def settled(server):
    """Return the CPU seconds that a server has used, once it uses no more."""
    used, since = -1.0, 0
    while since < 4:
        now = server.cpu_seconds()
        since = since + 1 if now <= used + 1 / TICKS else 0
        used = max(used, now) if since else now
        time.sleep(0.15)
    return server.cpu_seconds()


if __name__ == "__main__":
    main()
