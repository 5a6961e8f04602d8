"""Print how good `nano` is on NEU-Seg's test images, which it never saw, beside two rivals that need no model.

    SAM_INSPECT_DATA=folder python tests/benchmarks/nano_quality.py

Mean IoU over connected components of at least 20 pixels: a tight box against the filled box as the mask, and one
click in the component's centre against the Felzenszwalb region under it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage.segmentation import felzenszwalb

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_evaluation.metrics import iou

MIN_AREA = 20
FELZENSZWALB_SCALES = (100, 400)


@dataclass(frozen=True)
class Component:
    mask: np.ndarray
    box: np.ndarray
    click: np.ndarray


def components(labels: np.ndarray) -> Iterator[Component]:
    for value in np.unique(labels[labels > 0]):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == value).astype(np.uint8), connectivity=8)
        for index in range(1, count):
            x, y, width, height, area = stats[index]
            if area < MIN_AREA:
                continue
            mask = pieces == index
            distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
            row, column = np.unravel_index(int(np.argmax(distance)), mask.shape)
            yield Component(mask, np.array([x, y, x + width, y + height]), np.array([column, row]))


def measure(data: Path, folder: Path | None, limit: int | None) -> dict[str, list[float]]:
    nano = NanoSegmenter(folder)
    scores: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        scores.setdefault(name, []).append(value)

    images = sorted((data / "neu_seg/images/test").glob("*.jpg"))
    every = 1 if limit is None else max(1, len(images) // limit)
    for path in track(images[::every], description="NEU-Seg test"):
        image = np.asarray(Image.open(path).convert("RGB"))
        labels = np.asarray(Image.open(data / "neu_seg/annotations/test" / f"{path.stem}.png"))
        found = list(components(labels))
        if not found:
            continue
        embedding = nano.encode(image)
        prompts = [Prompt(box=part.box) for part in found]
        prompts += [Prompt(points=part.click[None], labels=np.array([1])) for part in found]
        answers = nano.decode(embedding, prompts)
        segments = [felzenszwalb(image, scale=scale, sigma=0.8, min_size=20) for scale in FELZENSZWALB_SCALES]
        for part, box, click in zip(found, answers[: len(found)], answers[len(found) :], strict=True):
            filled = np.zeros_like(part.mask)
            x0, y0, x1, y1 = part.box
            filled[y0:y1, x0:x1] = True
            note("box: nano", iou(box.masks[0], part.mask))
            note("box: filled box", iou(filled, part.mask))
            note("click: nano, highest predicted IoU", iou(click.masks[click.best], part.mask))
            note("click: nano, best of three", max(iou(mask, part.mask) for mask in click.masks))
            note(
                "click: nano, error of the predicted IoU",
                abs(float(click.predicted_iou[click.best]) - iou(click.masks[click.best], part.mask)),
            )
            column, row = part.click
            for scale, segment in zip(FELZENSZWALB_SCALES, segments, strict=True):
                note(f"click: Felzenszwalb, scale {scale}", iou(segment == segment[row, column], part.mask))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, help="folder with encoder.onnx and decoder.onnx (default: the shipped ones)"
    )
    parser.add_argument("--limit", type=int, help="about this many images instead of all 840")
    options = parser.parse_args()
    data = os.environ.get("SAM_INSPECT_DATA")
    if not data:
        sys.exit("Set SAM_INSPECT_DATA to the folder that holds neu_seg.")
    scores = measure(Path(data), options.model, options.limit)
    table = Table("prompt: answer", "mean IoU", "components")
    for name in sorted(scores):
        table.add_row(name, f"{np.mean(scores[name]):.3f}", str(len(scores[name])))
    Console().print(table)


if __name__ == "__main__":
    main()
