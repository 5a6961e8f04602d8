"""How long an annotator waits for a click: `python tests/benchmarks/click.py [--model nano] [--clicks 100]`.

Starts the real service and an image server on the loopback interface, and clicks over HTTP as Label Studio does, with
a new connection each time. Every first click is on a new image; every next click adds a
point to the same object.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
# The folder of this file would hide the package `click`; the modules of the tests are one folder up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import requests
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving

SIDE = 1024
SURFACES = 8
AIMS = {"first click": 1000, "next click": 60}
PATIENCE = 120


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="what sam-inspect serve --model takes (default: nano)")
    parser.add_argument("--clicks", type=int, default=100, help="clicks per kind (default: 100)")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    files = [surface(random) for _ in range(SURFACES)]
    waited = {name: [] for name in AIMS}
    with serving() as images, service(options.model) as url:
        for number in track(range(options.clicks), description="Clicking", transient=True):
            images.routes[f"/{number}.jpg"] = files[number % SURFACES][0]
            points = [on_image(x, y) for x, y in files[number % SURFACES][1]]
            address = f"{images.url}/{number}.jpg"
            for name, drawn in zip(AIMS, (points[:1], points), strict=True):
                waited[name].append(ask(url, interactive(*drawn, image=address, number=number)))
    show(options.model, waited)


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


@contextmanager
def service(model):
    with tempfile.TemporaryDirectory() as folder:
        allowed = {"SAM_INSPECT_ALLOW_HOST": "127.0.0.1"}
        environment = (
            os.environ | allowed | {"SAM_INSPECT_HOME": f"{folder}/home", "SAM_INSPECT_CACHE": f"{folder}/cache"}
        )
        if model.startswith("sam:"):
            environment.pop("SAM_INSPECT_CACHE")  # where downloaded checkpoints are
        command = [sys.executable, "-m", "sam_inspect", "serve", "--model", model, "--host", "127.0.0.1", "--port", "0"]
        process = subprocess.Popen(command, env=environment, cwd=folder, text=True, stderr=subprocess.PIPE)
        try:
            url = ""
            for line in process.stderr:
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
                url = address[0] if address else url
                if "is ready" in line:
                    break
            else:
                sys.exit(f"The service did not start: {line}")
            # A full pipe would stop the service.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            while not requests.get(f"{url}/health", timeout=PATIENCE).ok:
                pass
            yield url
        finally:
            process.terminate()
            process.wait(PATIENCE)


def ask(url, body):
    """Return the milliseconds until the answer was there."""
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", json=body, timeout=PATIENCE)
    milliseconds = 1000 * (time.perf_counter() - started)
    response.raise_for_status()
    return milliseconds


def show(model, waited):
    title = f"{model}, {SIDE} x {SIDE}, {os.cpu_count()} cores"
    table = Table("", "clicks", "p50 [ms]", "p95 [ms]", "aim, p50 [ms]", title=title)
    for name, milliseconds in waited.items():
        p50, p95 = np.percentile(milliseconds, (50, 95))
        table.add_row(name, str(len(milliseconds)), f"{p50:.0f}", f"{p95:.0f}", f"{AIMS[name]}")
    Console().print(table)


if __name__ == "__main__":
    main()
