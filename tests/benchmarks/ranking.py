"""What an order of labelling is worth: `python tests/benchmarks/ranking.py neu_seg:DATA/neu_seg`.

A few images are labelled at random. Each strategy then orders the others, the first are labelled, the memory learns
them, and so on. After each round the memory's class map is measured on images that are never labelled: pixel IoU, mean
over classes.
"""

import argparse
import sys
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.memory import Encoded, Tally, on_image, split
from sam_backend.learning.memory.calibration import USUAL
from sam_backend.learning.memory.features import pool
from sam_backend.learning.memory.proposals import class_map
from sam_backend.learning.memory.similarity import fit_classes
from sam_backend.learning.ranking.signals import look_of_example, signals_of
from sam_backend.learning.ranking.strategies import find_strategy, known_strategies
from sam_backend.segmenters.registry import load_segmenter
from sam_backend.settings import Focus


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder, as for benchmarks/memory.py")
    parser.add_argument("--images", type=int, default=80, help="images that may be labelled")
    parser.add_argument("--measured", type=int, default=50)
    parser.add_argument("--start", type=int, default=4, help="images labelled at the start")
    parser.add_argument("--each", type=int, default=4, help="images labelled a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", default=known_strategies())
    options = parser.parse_args()
    segmenter = load_segmenter("nano", focus=Focus.OFF)
    random = np.random.default_rng(0)
    images, measured = (
        [Encoded.of(some[i], segmenter) for i in track(random.permutation(len(some))[:count], transient=True)]
        for some, count in zip(split(options.data, "test"), (options.images, options.measured), strict=True)
    )
    classes = sorted({label for image in measured for label in image.labels})
    vectors = [pool(image.whole, image.masks) for image in track(images, transient=True)]
    ious = {}
    for seed in range(options.seeds):
        first = np.random.default_rng(seed).permutation(len(images))[: options.start].tolist()
        for name in options.strategies:
            labelled = list(first)
            for step in range(options.rounds + 1):
                model = fit_classes([vectors[i] for i in labelled], classes)
                ious.setdefault((name, step), []).append(iou_of(model, measured, classes))
                if step < options.rounds:
                    labelled += following(segmenter, images, vectors, labelled, model, name, options.each, seed)
            Console().print(seed, name, [round(ious[name, step][-1], 3) for step in range(options.rounds + 1)])
    counts = [options.start + options.each * step for step in range(options.rounds + 1)]
    table = Table("strategy", *(f"{count} images" for count in counts), title=f"pixel IoU, {options.data}")
    for name in options.strategies:
        table.add_row(name, *(f"{np.mean(ious[name, step]):.3f}" for step in range(options.rounds + 1)))
    Console(width=120).print(table)


def following(segmenter, images, vectors, labelled, model, name, each, seed):
    """Return the images that a strategy labels next."""
    left = [index for index in range(len(images)) if index not in labelled]
    looks = np.stack([look_of_example(vectors[index]) for index in labelled])
    signals = [signals_of(segmenter, images[index].whole, model, USUAL) for index in left]
    order = find_strategy(name)(signals, looks, np.random.default_rng(seed))
    return [left[index] for index in order[:each]]


def iou_of(model, images, classes):
    tally = Tally()
    for image in images:
        painted = on_image(class_map(image.whole, model)[0], image.embedding.size).argmax(2)
        tally.add(painted, [], image, classes)
    return float(np.mean([tally.shared[label] / max(tally.united[label], 1) for label in classes]))


if __name__ == "__main__":
    main()
