"""What native parts give on large images: `python tests/benchmarks/large_images.py quality DATA/magnetic_tile`.

`quality` blends real defects of magnetic tiles into a surface of 12,000 x 8,000 pixels, made of defect-free tiles. A
tight box and a click in the middle of each defect are answered from the whole image, without and with a second look,
and from native parts. `memory` starts the service and clicks into tiled BigTIFFs of 400 megapixels and into a JPEG and
a PNG of 100 megapixels; the highest resident size of the service is read from /proc.
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
import requests
import tifffile
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.servers import service
from label_studio_requests import click, interactive
from large_scenes import compose, half_of
from loopback import serving
from sam_backend.core.large_images import LargeAnswers, LargeImage
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.masks import deepest_point
from sam_backend.samples import Cropped
from sam_backend.second_look import Focus
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.cache import EmbeddingCache, EmbeddingSource
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.refinement import refine
from sam_backend.segmenters.seams import TILE, tiles
from sam_evaluation.datasets.registry import DatasetSpec

SIZE = (8000, 12000)
SMALL = 64
_RESAMPLES = 2000
_ROUNDS = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "memory"])
    parser.add_argument("data", nargs="?", help="the folder of magnetic_tile, for quality")
    parser.add_argument("--objects", type=int, default=1000, help="most defects of a scene")
    options = parser.parse_args()
    if options.what == "quality":
        quality(options.data, options.objects)
    else:
        memory()


def quality(data, most):
    dataset = DatasetSpec.parse(f"magnetic_tile:{data}").open()
    # Rules were chosen on the other half.
    scene = compose(dataset, half_of(dataset.names(), 1), SIZE, np.random.default_rng(0))
    objects = scene.objects[:most]
    rgb = cv2.cvtColor(scene.image, cv2.COLOR_GRAY2RGB)
    small = np.array([max(target.cropped.part.shape) < SMALL for target in objects])
    table = Table("prompt", "seen", f"under {SMALL} px", "larger", "gain of native, 95 %", "CPU a prompt")
    scores = {}
    for name, answer_of in [*whole_images(rgb), ("native parts", native(scene.image))]:
        for kind in ("box", "click"):
            started = time.process_time()
            found = [iou(answer_of(prompt(target, kind)), target) for target in track(objects, name, transient=True)]
            scores[kind, name] = np.array(found), (time.process_time() - started) / len(objects)
    for (kind, name), (ious, seconds) in sorted(scores.items()):
        gain = interval((scores[kind, "native parts"][0] - ious)[small])
        larger = f"{ious[~small].mean():.3f}" if (~small).any() else ""
        table.add_row(kind, name, f"{ious[small].mean():.3f}", larger, gain, f"{seconds:.3f} s")
    table.title = (
        f"IoU of {len(objects)} defects, {small.sum()} of them under {SMALL} px, on {SIZE[1]} x {SIZE[0]} pixels"
    )
    Console(width=120).print(table)
    latency(scene, objects[0])


def whole_images(rgb):
    for focus in (Focus.OFF, Focus.AUTO):
        segmenter = load_segmenter("nano", threads=1, focus=focus)
        embedding = segmenter.encode(rgb)

        def answer_of(given, segmenter=segmenter, embedding=embedding):
            return Cropped.of(refine(segmenter, embedding, given, AnswersMemo(), "").masks[0])

        yield f"whole, focus {focus}", answer_of


def native(grey):
    segmenter, image = load_segmenter("nano", threads=1), large_image(grey)
    return lambda given: LargeAnswers(AnswersMemo()).refine(image, lambda key: segmenter, given, "").mask


def large_image(grey):
    reader = PixelReader(grey)
    return LargeImage("scene", reader.size, lambda: reader, EmbeddingCache(2**29))


def prompt(target, kind):
    (top, left), (height, width) = target.cropped.corner, target.cropped.part.shape
    if kind == "box":
        return Prompt(box=np.array([left, top, left + width, top + height], np.float32))
    x, y = deepest_point(target.cropped.part)
    return Prompt(np.array([(left + x + 0.5, top + y + 0.5)], np.float32), np.array([1]))


def iou(mask, target):
    shared = mask.shared(target.cropped)
    return shared / (mask.area + target.cropped.area - shared)


def interval(gains):
    means = np.random.default_rng(0).choice(gains, (_RESAMPLES, len(gains))).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return f"{gains.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def latency(scene, target):
    """Print the CPU seconds of clicks in the scene and in a small image: a new place, a known place, the next click."""
    segmenter, (row, column) = load_segmenter("nano", threads=1), target.cropped.corner
    corner = np.array([max(column - 150, 0), max(row - 150, 0)], np.float32)
    left, top = corner.astype(int)
    cut = cv2.cvtColor(scene.image[top : top + 300, left : left + 300], cv2.COLOR_GRAY2RGB)
    clicked = prompt(target, "click").points[0]
    small, large = [], []
    for number in range(_ROUNDS):
        # Another point each time, so that no answer is remembered.
        points = clicked + np.array([[0, 0], [3, 3]], np.float32) + np.float32(number / _ROUNDS)
        small.append(seconds_small(segmenter, cut, points - corner))
        large.append(seconds_large(segmenter, large_image(scene.image), points))
    (click, further), (new, known, later) = np.median(small, 0), np.median(large, 0)
    table = Table(f"CPU seconds, median of {_ROUNDS}", "small image, 300 px", "large image, 96 megapixels", "ratio")
    table.add_row("first click, place not seen before", "", f"{new:.3f}", "")
    table.add_row("first click, image or place encoded", f"{click:.3f}", f"{known:.3f}", f"{known / click:.2f}")
    table.add_row("next click", f"{further:.3f}", f"{later:.3f}", f"{later / further:.2f}")
    tile = cv2.cvtColor(np.ascontiguousarray(scene.image[:TILE, :TILE]), cv2.COLOR_GRAY2RGB)
    whole = TaskEmbedding("tile", segmenter.encode(tile), EmbeddingSource.MEMORY)
    for what, work in (
        ("encoding", lambda: segmenter.encode(tile)),
        ("everything", lambda: proposed_masks(segmenter, whole, None)),
    ):
        cost = np.median([spent(work) for _ in range(3)])
        table.add_row(f"one of {len(tiles(SIZE))} tiles: {what}", "", f"{cost:.3f}", "")
    Console(width=120).print(table)


def seconds_small(segmenter, image, points):
    embedding, memo = segmenter.encode(image), AnswersMemo()
    return [spent(lambda one=one: refine(segmenter, embedding, one, memo, "")) for one in chain(points)]


def seconds_large(segmenter, image, points):
    first, _ = prompts = chain(points)
    answers = LargeAnswers(AnswersMemo())
    new = spent(lambda: answers.refine(image, lambda key: segmenter, first, "new"))
    return [new, *(spent(lambda one=one: answers.refine(image, lambda key: segmenter, one, "")) for one in prompts)]


def chain(points):
    return [Prompt(points[:count], np.ones(count, int)) for count in (1, 2)]


def spent(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def memory():
    """Print the highest resident size of a service after two clicks in a large file, and the seconds of each click."""
    table = Table("file", "pixels", "bytes", "resident, start", "resident, highest", "first click", "next place")
    makers = (
        ("BigTIFF, Deflate", lambda: bigtiff(np.uint8, "zlib")),
        ("BigTIFF, 16 bits, not compressed", lambda: bigtiff(np.uint16, None)),
        ("JPEG", lambda: saved("JPEG")),
        ("PNG", lambda: saved("PNG")),
    )
    for name, make in makers:
        size, file = make()
        with serving() as images, service("nano", image_timeout=120) as server:
            start = round(server.resident_mib())
            images.routes["/image"] = file
            waits = [ask(server.url, f"{images.url}/image", size, place) for place in ((0.3, 0.3), (0.7, 0.6))]
            most = round(server.resident_mib("VmHWM"))
        seconds = (f"{wall:.1f} s" for wall in waits)
        table.add_row(name, f"{size[0] * size[1]:,}", f"{len(file):,}", f"{start} MB", f"{most} MB", *seconds)
    Console(width=130).print(table)


def bigtiff(kind, compression):
    side, tile, file = 20_000, 512, io.BytesIO()
    texture = np.random.default_rng(0).normal(128, 12, (tile, tile)).clip(0, 255).astype(kind)
    texture[200:230, 200:240] = 20
    count = (-(-side // tile)) ** 2
    tifffile.imwrite(
        file,
        (texture for _ in range(count)),
        shape=(side, side),
        dtype=kind,
        tile=(tile, tile),
        compression=compression,
        bigtiff=True,
        photometric="minisblack",
    )
    return (side, side), file.getvalue()


def saved(form):
    side = 10_000
    texture = np.random.default_rng(0).normal(128, 12, (500, 500, 3)).clip(0, 255).astype(np.uint8)
    texture[200:230, 200:240] = 20
    file = io.BytesIO()
    Image.fromarray(np.tile(texture, (side // 500, side // 500, 1))).save(file, form)
    return (side, side), file.getvalue()


def ask(url, image, size, place):
    """Click at a place, x and y in shares of the image; return the seconds until the answer was there."""
    drawn = click(0, 0) | {"original_width": size[1], "original_height": size[0]}
    drawn["value"] |= {"x": 100 * place[0] + 0.1, "y": 100 * place[1] + 0.1}
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", json=interactive(drawn, image=image), timeout=300)
    response.raise_for_status()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
