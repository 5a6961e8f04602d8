"""What an accepted mask costs a serving process, `python tests/benchmarks/learning.py neu_seg:DATA/neu_seg@training`.

CPU seconds of learning one accepted image after the other, at 1,000 examples that are there, as the service learns
them. The examples are those of some images, each under many names, so that encoding is not part of it.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

# One thread, as the service computes; before numpy is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# The folder of this file would hide the package `click`.
sys.path.pop(0)

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam_backend.memory.features import AcceptedMask, pool
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Example, Record
from sam_backend.second_look import Focus
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.datasets.registry import DatasetSpec

STARTED = "2026-11-28T05:00:{:09.6f}Z"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder or format:folder@split, as for sam-inspect evaluate")
    parser.add_argument("--examples", type=int, default=1000, help="examples that are there (default: 1000)")
    parser.add_argument("--accepted", type=int, default=40, help="images that are accepted then (default: 40)")
    parser.add_argument("--images", type=int, default=40, help="different images (default: 40)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = load_segmenter("nano", focus=Focus.OFF, threads=1)
    images = encoded(options.data, options.images, segmenter)
    pooled = [pool(segmenter, embedding, masks) for embedding, masks in images]
    with tempfile.TemporaryDirectory() as folder:
        memory = ProjectMemory(Path(folder) / "project", may_lag=True)
        for number, vectors in enumerate(track(islice(cycle(pooled), options.examples), description="Storing")):
            record = record_of(number)
            memory.store.put(record)
            memory.store.add_example(Example(record.key, record.updated, vectors, ""), segmenter.version)

        def embed(record):
            return images[record.task % len(images)][0]

        def read(record, _view):
            return images[record.task % len(images)][1]

        seconds = []
        numbers = range(options.examples, options.examples + options.accepted)
        for number in track(numbers, description="Learning", transient=True):
            memory.store.put(record_of(number))
            seconds.append(learn(memory, segmenter, embed, read))
    table = Table("accepted images", "mean, CPU s", "median", "most", title=f"at {options.examples} examples")
    table.add_row(
        f"{len(seconds)}", *(f"{value:.2f}" for value in (np.mean(seconds), np.median(seconds), max(seconds)))
    )
    Console(width=100).print(table)


def encoded(data, count, segmenter):
    """Return embeddings of images with objects, and their accepted masks."""
    dataset = DatasetSpec.parse(data).open()
    found = []
    for name in np.random.default_rng(0).permutation(dataset.names()):
        sample = dataset.load(str(name))
        if sample.objects:
            masks = [AcceptedMask(each.mask, each.label) for each in sample.objects]
            found.append((segmenter.encode(sample.image), masks))
        if len(found) == count:
            break
    return found


def record_of(number):
    return Record(number, STARTED.format(number / 1000), number, f"/{number}.png")


def learn(memory, segmenter, embed, read):
    """Learn what was accepted, as the learning thread does; return the CPU seconds."""
    started = time.process_time()
    memory.learn(segmenter, embed, read)
    return time.process_time() - started


if __name__ == "__main__":
    main()
