"""What a million images cost, computed from what one costs here: `python tests/benchmarks/scale.py`.

Measures the parts of the work on an image, in CPU seconds of one thread, on photographs of your own (`--images`) or on
drawn surfaces of 5 megapixels. Then it computes time and price with the formula of docs/scale.md, for CPU cores and for
GPUs, whose seconds for an image you give (`--gpu-seconds everything=0.8`). `--write` puts the tables into that page.
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from PIL import Image

from sam_backend.core.model_loading import load_model
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.core.task_proposals import TaskProposals
from sam_backend.demo import drawn_defects, surfaces
from sam_backend.errors import SamInspectError
from sam_backend.everything.folder_run import IMAGES, FolderRun
from sam_backend.everything.found import AskedImage, FindOnImage
from sam_backend.everything.search import Search
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.memory.class_model import fit_classes
from sam_backend.memory.features import AcceptedMask, pool
from sam_backend.memory.memory_proposer import MemoryProposer
from sam_backend.memory.score_calibration import DEFAULT_CALIBRATION
from sam_backend.progress import no_progress
from sam_backend.segmenters.embedding_folder import EmbeddingFolder
from sam_backend.segmenters.image_folder import images_in
from sam_backend.segmenters.pixels import mapping_of
from sam_backend.segmenters.wrapper import SegmenterWrapper
from sam_backend.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
BEGIN, END = "<!-- scale.py: begin -->\n", "<!-- scale.py: end -->\n"
SIZE = 1944, 2592
CONFIG = """<View><Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="defect"/></BrushLabels></View>"""
ACCEPTED = 3
"""Masks of an image that count as accepted, so that there is a memory which proposes."""

EXAMPLES = 60
"""Examples of the memory, as many as it uses of a label."""

WORKS = {
    "warm": (("decode", "encode"), ("read", "keep")),
    "preannotate": (("decode", "encode", "propose"), ("read", "pack")),
    "everything": (("decode", "encode", "search", "draw"), ("read", "write", "wait")),
}
"""Command -> what a worker does with an image, and what the one process does that gives out the work."""

DEVICE = ("encode", "search", "propose")
"""What a GPU does."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--images", type=Path, help="folder of photographs to measure with (default: drawn ones of 5 megapixels)")
    add("--measured", type=number, default=8, help="images that are measured (default: 8)")
    add("--model", default="nano", help="the model that is measured (default: nano)")
    add("--count", type=number, default=1_000_000, help="images to compute for (default: 1,000,000)")
    add("--cores", type=number, nargs="+", default=[1, 16, 64, 512], help="CPU cores to compute for")
    add("--gpus", type=number, nargs="+", default=[1, 8, 64], help="GPUs to compute for")
    add(
        "--gpu-seconds",
        type=work_and_seconds,
        nargs="+",
        default=[],
        help="a command and your GPU's seconds for an image",
    )
    add("--price-core", type=amount, default=0.05, help="price of a core for an hour (default: 0.05)")
    add("--price-gpu", type=amount, default=3.0, help="price of a GPU and its host for an hour (default: 3)")
    add(
        "--megabytes",
        type=positive,
        default=500.0,
        help="what the store gives and takes in a second, in MB (default: 500)",
    )
    add(
        "--driver-wait",
        type=amount,
        default=0.0,
        help="seconds an image for which the driver waits for a store or a server",
    )
    add("--busy", type=positive, default=0.9, help="share of the time in which workers work (default: 0.9)")
    add("--write", action="store_true", help="write the tables into docs/scale.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            images = options.images or drawn(Path(folder) / "images", options.measured)
            files = images_in(images)[: options.measured]
            units = measure(files, options.model, Path(folder))
        except SamInspectError as error:
            sys.exit(f"scale.py: {error}")
    text = "\n".join([*unit_table(units, len(files), options), *time_tables(units, options)]) + "\n"
    print(text)
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def work_and_seconds(text):
    """Return the command and the seconds of a text such as `everything=0.8`."""
    work, _, seconds = text.partition("=")
    if work not in WORKS:
        raise argparse.ArgumentTypeError(f"one of {', '.join(WORKS)} is expected before '='; got {text}")
    return work, positive(seconds)


def number(text):
    """Return the whole number of a text, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is expected; got {text}")
    return int(text)


def amount(text):
    """Return the number of a text, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"a number is expected, none below 0; got {text or 'nothing'}")
    return value


def positive(text):
    """Return the number of a text, above 0."""
    if not amount(text):
        raise argparse.ArgumentTypeError(f"a number above 0 is expected; got {text}")
    return amount(text)


def drawn(folder, count):
    """Write JPEGs of drawn surfaces with defects and the noise of a camera; return their folder."""
    folder.mkdir()
    kinds = (surfaces.brushed_metal, surfaces.concrete, surfaces.ceramic, surfaces.cast_iron)
    for seed in range(count):
        random = np.random.default_rng(seed)
        pixels = kinds[seed % len(kinds)](SIZE, random)
        for defect in (drawn_defects.scratch, drawn_defects.pit, drawn_defects.stain):
            pixels, _ = defect(pixels, random)
        pixels += random.normal(0, 2, pixels.shape).astype(np.float32)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{seed}.jpg", quality=92)
    return folder


class Units(Counter):
    """CPU seconds by part of the work, summed over images; sizes in bytes."""

    @contextmanager
    def timed(self, part):
        started = time.process_time()
        yield
        self[part] += time.process_time() - started


class Timed(SegmenterWrapper):
    """A segmenter whose encoding is timed."""

    def __init__(self, segmenter, units):
        super().__init__(segmenter)
        self._units = units

    def encode(self, image):
        with self._units.timed("encode"):
            return super().encode(image)


class Answered:
    """Workers who have done the work before."""

    are_elsewhere = False

    def __init__(self, found):
        self._found = found

    def map(self, _work, items):
        yield from (found for _, found in zip(items, self._found, strict=True))


def measure(files, model, folder):
    """Return the mean costs of an image: CPU seconds of each part of the work, and bytes."""
    cv2.setNumThreads(1)
    settings = Settings(home=folder / "home", cache=folder / "cache", embedding_memory_mb=4096)
    units = Units()
    segmenter = Timed(load_model(settings, model, None, threads=1), units)
    # What is done once for all images comes first.
    first = files[0].read_bytes()
    warm_up = Search(segmenter, TaskEmbeddings.in_memory(settings))
    FindOnImage(warm_up)(AskedImage(files[0].name, first, ("object",)))
    units.clear()
    search = Search(segmenter, TaskEmbeddings.in_memory(settings))
    kept, accepted, found = EmbeddingFolder(folder / "kept", 2**40), [], []
    for file in files:
        with units.timed("read"):
            content = file.read_bytes()
        units["file bytes"] += len(content)
        before = units["encode"]
        with units.timed("decode"):
            fetched = search.fetch(content, file.name)
        units["decode"] -= units["encode"] - before
        units["pixels"] += fetched.embedding.size[0] * fetched.embedding.size[1]
        with units.timed("search"):
            instances = search.instances(fetched)
        with units.timed("search and draw"):
            found.append(FindOnImage(search)(AskedImage(file.name, content, ("object",))))
        units["instances"] += len(instances)
        with units.timed("keep"):
            kept.put(file.name, fetched.embedding)
            kept.unkept(wait=True)
        masks = [AcceptedMask(one.mask.mask, "defect") for one in instances[:ACCEPTED]]
        accepted.append(pool(segmenter, fetched.embedding, masks))
    units["draw"] = units["search and draw"] - units["search"]
    units["embedding bytes"] = kept.fill()[0]
    kept.close()
    classes = fit_classes([accepted[number % len(accepted)] for number in range(EXAMPLES)], ["defect"])
    (image,) = LabelingConfig.parse(CONFIG).images({"image": "image.jpg"})
    for file in files:
        fetched = search.fetch(file.read_bytes(), file.name)
        with units.timed("propose"):
            masks = proposed_masks(segmenter, fetched, MemoryProposer(classes, DEFAULT_CALIBRATION))
        with units.timed("pack"):
            proposals = TaskProposals()
            proposals.add(image, masks, mapping_of(fetched.embedding))
            body = json.dumps(proposals.prediction(segmenter.version))
        units["prediction bytes"] += len(body)
    inputs = folder / "input"
    inputs.mkdir()
    for position, file in enumerate(files):
        # Two folders may have files of one name.
        (inputs / f"{position:06}{file.suffix}").symlink_to(file.resolve())
    started = time.perf_counter()
    with units.timed("write"):
        FolderRun(inputs, folder / "out").run(search, no_progress, Answered(found))
    units["wait"] = max(time.perf_counter() - started - units["write"], 0)
    # The images are linked there.
    results = [path for path in (folder / "out").rglob("*.*") if path.is_file() and path.parent.name != IMAGES]
    units["result bytes"] = sum(path.stat().st_size for path in results)
    return {part: cost / len(files) for part, cost in units.items()}


def unit_table(units, measured, options):
    """Yield the lines of the table of unit costs, in Markdown."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    kind = "own images" if options.images else "drawn surfaces"
    yield f"{datetime.now(UTC):%Y-%m-%d}, {machine}, one thread; {measured} images ({kind}), `{options.model}`.\n"
    yield "| part | by | what | CPU ms an image |"
    yield "|---|---|---|---|"
    parts = {
        "read": ("driver", f"the file, {units['file bytes'] / 1e6:.1f} MB, from memory"),
        "decode": ("worker", f"the file into {units['pixels'] / 1e6:.1f} megapixels"),
        "encode": ("worker", "image encoder, with its resizing"),
        "search": ("worker", f"`everything`: 16 x 16 clicks; {units['instances']:.0f} instances with their contrast"),
        "draw": ("worker", "`everything`: side-by-side picture and two maps, as PNG"),
        "write": ("driver", f"`everything`: results, {units['result bytes'] / 1e6:.1f} MB"),
        "wait": ("driver", "`everything`: for this disk, in ms of waiting"),
        "propose": ("worker", f"`preannotate`: by a memory of {EXAMPLES} examples"),
        "pack": ("driver", f"`preannotate`: for Label Studio, {units['prediction bytes'] / 1e3:.0f} kB"),
        "keep": ("driver", f"`warm`: the embedding into the cache, {units['embedding bytes'] / 1e6:.1f} MB"),
    }
    for part, (who, what) in parts.items():
        yield f"| {part} | {who} | {what} | {1000 * units[part]:.1f} |"


def seconds_of(work, units, gpu_seconds=None):
    """Return the seconds of a worker, and of the driver, for one image of a command."""
    worker, driver = WORKS[work]
    on_host = (part for part in worker if gpu_seconds is None or part not in DEVICE)
    return sum(units[part] for part in on_host) + (gpu_seconds or 0.0), sum(units[part] for part in driver)


def megabytes_of(work, units):
    """Return the megabytes that go to and from the store for one image of a command."""
    sizes = {"warm": "embedding bytes", "preannotate": "prediction bytes", "everything": "result bytes"}
    return (units["file bytes"] + units[sizes[work]]) / 1e6


def hours(options, workers, worker, driver, megabytes):
    """Return the hours for all images, and what bounds them."""
    bounds = {
        "workers": worker / (workers * options.busy),
        "driver": driver + options.driver_wait,
        "store": megabytes / options.megabytes,
    }
    slowest = max(bounds, key=bounds.__getitem__)
    return options.count * bounds[slowest] / 3600, slowest


def time_tables(units, options):
    """Yield the lines of the tables of time and price, in Markdown."""
    yield f"\n| {options.count:,} images, `{options.model}` | workers | time | bound by | price |"
    yield "|---|---|---|---|---|"
    for work in WORKS:
        seconds, megabytes = seconds_of(work, units), megabytes_of(work, units)
        for cores in options.cores:
            yield row(work, cores, "core", *hours(options, cores, *seconds, megabytes), options.price_core)
    if options.gpu_seconds:
        yield f"\n| {options.count:,} images, seconds of a GPU as given | workers | time | bound by | price |"
        yield "|---|---|---|---|---|"
    for work, gpu_seconds in options.gpu_seconds:
        seconds, megabytes = seconds_of(work, units, gpu_seconds), megabytes_of(work, units)
        for gpus in options.gpus:
            shown = f"{work}, {gpu_seconds:g} s"
            yield row(shown, gpus, "GPU", *hours(options, gpus, *seconds, megabytes), options.price_gpu)


def row(work, workers, kind, needed, bound, price):
    """Return a line of a table of time and price."""
    shown = f"{needed:,.1f} h" if needed < 100 else f"{needed / 24:,.0f} days"
    return f"| {work} | {workers} {kind}{'s' * (workers > 1)} | {shown} | {bound} | {needed * workers * price:,.0f} |"


if __name__ == "__main__":
    main()
