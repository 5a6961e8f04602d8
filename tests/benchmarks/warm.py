"""What a first click costs once its image is encoded: `python tests/benchmarks/warm.py [--model nano] [--images 20]`.

Runs the application in this process, so that its CPU time is told apart from that of others. `cold` is a first click on
an image that nobody encoded; `another server` and `after a restart` find its embedding on disk, `prefetched` in memory.
A next click is on the same image, at another place, and asks for a region of its own.
"""

import argparse
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
# The folder of this file would hide the package `click`; the modules of the tests are one folder up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table

from benchmarks.click import on_image, surface
from label_studio_requests import interactive
from loopback import serving
from sam_backend.core.observer import Observer
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.settings import Settings
from services import make_app


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="what sam-inspect serve --model takes (default: nano)")
    parser.add_argument("--images", type=int, default=20, help="images of each kind (default: 20)")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    surfaces = [surface(random) for _ in range(options.images)]
    segmenter = load_segmenter(options.model)
    first = {}
    with tempfile.TemporaryDirectory() as folder, serving() as images:
        images.routes |= {f"/{number}.jpg": file for number, (file, _) in enumerate(surfaces)}

        def settings(name):
            return Settings(
                home=f"{folder}/home",
                cache=f"{folder}/{name}",
                allow_host="127.0.0.1",
                prefetch=0,
                correct_in_place=False,
            )

        def first_clicks(client):
            return [ask(client, images, surfaces, number, 0) for number in range(1, options.images)]

        with running(segmenter, settings("cold"), images, surfaces) as client:
            first["cold"] = first_clicks(client)
            next_clicks = [ask(client, images, surfaces, number, 1) for number in range(1, options.images)]
        warm(segmenter, settings("warm"), images, surfaces)
        with running(segmenter, settings("warm"), images, surfaces) as client:
            first["after a restart"] = first_clicks(client)
            with running(segmenter, settings("warm"), images, surfaces) as other:
                first["another server"] = first_clicks(other)
        with running(segmenter, settings("memory"), images, surfaces) as client:
            backend = client.app.state.backend
            for number in range(options.images):
                backend.predictor._embeddings.fetch(segmenter, f"{images.url}/{number}.jpg", None, number)
            first["prefetched"] = first_clicks(client)
    show(options.model, first, next_clicks)


@contextmanager
def running(segmenter, settings, images, surfaces):
    """Yield a client of an application whose model and libraries have worked once, on image 0."""
    with TestClient(make_app(segmenter, settings)) as client:
        for place in (0, 1):
            ask(client, images, surfaces, 0, place)
        yield client


def warm(segmenter, settings, images, surfaces):
    """Encode all images into a cache, as `sam-inspect warm` does."""
    cache, servers = EmbeddingCache.of_settings(settings), ServerRegistry.of_settings(settings)
    embeddings = TaskEmbeddings.of_settings(settings, servers, cache, Observer())
    for number in range(len(surfaces)):
        embeddings.fetch(segmenter, f"{images.url}/{number}.jpg", None, number)
    cache.close()


def ask(client, images, surfaces, number, place):
    """Return the CPU time and the wall time in milliseconds of a click at one of an image's places."""
    body = interactive(
        on_image(*surfaces[number][1][place]), image=f"{images.url}/{number}.jpg", number=number, project=None
    )
    started = time.process_time(), time.perf_counter()
    answer = client.post("/predict", json=body)
    milliseconds = 1000 * (time.process_time() - started[0]), 1000 * (time.perf_counter() - started[1])
    assert answer.status_code == 200, answer.text
    return milliseconds


def show(model, first, next_clicks):
    title = f"{model}: {len(next_clicks)} clicks of each kind, 1024 x 1024; medians"
    table = Table("", "CPU [ms]", "wall [ms]", "CPU, to the next click", title=title)
    base = np.median(next_clicks, axis=0)
    for name, clicks in {**first, "next click": next_clicks}.items():
        cpu, wall = np.median(clicks, axis=0)
        table.add_row(name, f"{cpu:.0f}", f"{wall:.0f}", f"{cpu / base[0]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
