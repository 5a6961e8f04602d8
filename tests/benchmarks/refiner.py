"""The cost of a correction by the refiner, beside one by the model, `python tests/benchmarks/refiner.py`.

CPU time on one thread: the first click in a window runs the backbone and the head, a further one the head alone; a
click on a long crack looks through several windows. The model decodes the same clicks with its last logits.
"""

import sys
import time

# The folder of this file would hide the package `click`.
sys.path.pop(0)

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_backend.segmenters.refiner.refiner import Refiner

REPEATS = 30
SIZES = ((400, 400), (1000, 1600), (6000, 8000))


def main():
    model = NanoSegmenter(threads=1)
    table = Table("image", "mask", "first, ms", "further, ms", "model, ms", "further / model")
    for height, width in SIZES:
        image = np.random.default_rng(0).integers(60, 120, (height, width, 3), np.uint8)
        for name, mask in masks(height, width).items():
            image[mask] //= 2
            first, further, by_model = measure(model, image, mask)
            ratio = f"{further / by_model:.2f}"
            table.add_row(f"{width} x {height}", name, f"{first:.0f}", f"{further:.0f}", f"{by_model:.0f}", ratio)
    Console(width=100).print(table)


def masks(height, width):
    """Return a spot of 60 pixels, and a crack of 4 pixels across the image."""
    empty = np.zeros((height, width), np.uint8)
    spot = cv2.circle(empty.copy(), (width // 2, height // 2), 30, 1, -1)
    crack = cv2.line(empty.copy(), (width // 8, height // 4), (7 * width // 8, 3 * height // 4), 1, 4)
    return {"spot": spot.astype(bool), "crack": crack.astype(bool)}


def measure(model, image, mask):
    """Return the milliseconds of CPU of a first and a further correction, and of one by the model."""
    segmenter = Correcting(model, Refiner())
    embedding = segmenter.encode(image)
    y, x = np.argwhere(mask)[len(np.argwhere(mask)) // 2]
    points = np.array([[x + 6 * step, y + 4 * (-1) ** step] for step in range(REPEATS)], np.float32)
    labels = np.arange(REPEATS) % 2
    model_answer = model.decode(embedding, [Prompt(points[:1], labels[:1])])[0]
    firsts, furthers, models = [], [], []
    for step in range(1, REPEATS):
        prompt = Prompt(points[: step + 1], labels[: step + 1], mask=mask)
        segmenter._refiner.forget()
        firsts.append(cpu(segmenter, embedding, prompt))
        furthers.append(cpu(segmenter, embedding, prompt))
        again = Prompt(prompt.points, prompt.labels, logits=model_answer.logits[0])
        models.append(cpu(model, embedding, again))
    return np.median(firsts), np.median(furthers), np.median(models)


def cpu(segmenter, embedding, prompt):
    """Return the milliseconds of CPU of a decoding."""
    start = time.process_time()
    segmenter.decode(embedding, [prompt])
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    main()
