"""How long an annotator waits for a click: `python tests/benchmarks/click.py [--model nano] [--clicks 100]`.

Starts the real service, the common pattern with the same weights (`rival.py`: `SamPredictor`, and with `--served` our
model) and an image server on the loopback interface, and clicks over HTTP as Label Studio does, with a new connection
each time. Every first click is on a new image; every next click adds a point to the same object. The servers are asked
in turn, so that other work on the machine slows all of them down; CPU time is that of the server.
"""

import argparse
import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
# The folder of this file would hide the package `click`; the modules of the tests are one folder up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import requests
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.servers import PATIENCE, rival, service
from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving

SIDE = 1024
SURFACES = 8
ANNOTATORS = (1, 8, 32)
SERVERS = ("ours", "pattern", "pattern with our model")


@dataclass
class Waits:
    """Some clicks: the milliseconds of each, the CPU seconds of all, the seconds from the first to the last."""

    milliseconds: list = field(default_factory=list)
    cpu_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def p50(self):
        return float(np.percentile(self.milliseconds, 50))

    @property
    def p95(self):
        return float(np.percentile(self.milliseconds, 95))

    @property
    def cpu(self):
        """Milliseconds of CPU a click."""
        return 1000 * self.cpu_seconds / len(self.milliseconds)

    @property
    def rate(self):
        """Clicks a second."""
        return len(self.milliseconds) / self.seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="what sam-inspect serve --model takes (default: nano)")
    parser.add_argument("--clicks", type=int, default=100, help="clicks per kind (default: 100)")
    options = parser.parse_args()
    table = Table(
        "", *(f"{server}: {figure}" for server in SERVERS for figure in ("p50 [ms]", "p95", "CPU", "clicks/s"))
    )
    for name, *waits in measure(options.model, options.clicks):
        table.add_row(name, *(f"{figure:.0f}" for one in waits for figure in (one.p50, one.p95, one.cpu, one.rate)))
    Console(width=140).print(
        f"{options.model}, {SIDE} x {SIDE}, {os.cpu_count()} cores, {options.clicks} clicks a row", table
    )


def measure(model, clicks):
    """Yield the name of each kind of click, and the waits for each of SERVERS."""
    random = np.random.default_rng(0)
    files = [surface(random) for _ in range(SURFACES)]
    # Embeddings that other images displace would make next clicks first ones, with all servers.
    with serving() as images, service(model, prefetch=0) as ours, rival() as theirs, rival("--served") as served:

        def body(number, points, turn=0):
            images.routes[f"/{number}.jpg"] = files[number % SURFACES][0]
            *before, (x, y) = files[number % SURFACES][1][:points]
            # The clicks before stay; an answer that is remembered would be no click, so the last one is at a new point.
            drawn = [on_image(*point) for point in (*before, (x + turn, y))]
            return interactive(*drawn, image=f"{images.url}/{number}.jpg", number=number)

        servers = (ours, theirs, served)
        for server in servers:
            ask(server.url, body(10**6, 1))
        for name, points in (("lone first click", 1), ("next click", 2)):
            waits = [Waits() for _ in servers]
            for number in range(clicks):
                for server, own in zip(servers, waits, strict=True):
                    together(server, own, [body(number, points)])
            yield name, *waits
        for annotators in ANNOTATORS:
            waits = [Waits() for _ in servers]
            # Each annotator is at an image of their own, which is encoded already.
            for server in servers:
                for number in range(annotators):
                    ask(server.url, body(number, 2))
            for turn in range(1, max(1, clicks // annotators) + 1):
                bodies = [body(number, 2, turn / 4) for number in range(annotators)]
                for server, own in zip(servers, waits, strict=True):
                    together(server, own, bodies)
            yield f"next click, annotators: {annotators}", *waits


def together(server, waits, bodies):
    """Send clicks at once and add how long each of them waited."""
    cpu, started = server.cpu_seconds(), time.perf_counter()
    with ThreadPoolExecutor(len(bodies)) as pool:
        waits.milliseconds += pool.map(lambda body: ask(server.url, body), bodies)
    waits.seconds += time.perf_counter() - started
    waits.cpu_seconds += server.cpu_seconds() - cpu


def surface(random):
    """Return a JPEG of a grained surface with a dark scratch, and two points on the scratch."""
    grain = random.normal(0, 12, (SIDE, SIDE))
    waves = 20 * np.sin(np.linspace(0, random.uniform(5, 40), SIDE))
    pixels = 140 + grain + waves
    x, y = random.integers(200, 600, 2)
    length, width = random.integers(150, 300), random.integers(6, 30)
    pixels[y : y + width, x : x + length] -= 70
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB").save(buffer, "JPEG", quality=92)
    middle = y + width / 2
    return buffer.getvalue(), [(x + length / 4, middle), (x + 3 * length / 4, middle)]


def on_image(x, y):
    region = click(WIDTH * x / SIDE, HEIGHT * y / SIDE)
    return region | {"original_width": SIDE, "original_height": SIDE}


def ask(url, body):
    """Return the milliseconds until the answer was there."""
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", json=body, timeout=PATIENCE)
    milliseconds = 1000 * (time.perf_counter() - started)
    response.raise_for_status()
    return milliseconds


if __name__ == "__main__":
    main()
