"""The gain of a second look, `python tests/benchmarks/focus.py magnetic_tile:DATA/magnetic_tile neu_seg:DATA/neu_seg`.

The data sets at hand have small images. Each of some of them is set among others of its data set, in a mosaic of about
1000 x 1000 pixels, and its objects are prompted with the second look and without it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

# The folder of this file would hide the package `click`.
sys.path.pop(0)

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam_backend.second_look import Focus
from sam_evaluation import RunSettings, evaluate
from sam_evaluation.comparison import compare
from sam_evaluation.datasets.registry import DatasetSpec

SIDE = 1000
PROTOCOL = "box,click,clicks:5"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="format:folder or format:folder@split, as for sam-inspect evaluate")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    table = Table("data", "protocol", "objects", "off", "auto", "gain, 95 %", title=f"IoU, mosaics of {SIDE} pixels")
    for data in options.data:
        with tempfile.TemporaryDirectory() as folder:
            write_mosaics(data, options.images, Path(folder))
            rows = {focus: rows_of(options.model, folder, focus) for focus in (Focus.OFF, Focus.AUTO)}
        for pair in compare(rows[Focus.OFF], rows[Focus.AUTO], "iou").pairings:
            gain = f"{pair.difference:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"
            table.add_row(data, pair.protocol, str(pair.objects), f"{pair.mean_a:.3f}", f"{pair.mean_b:.3f}", gain)
    Console(width=120).print(table)


def write_mosaics(data, count, folder):
    """Write a data set of mosaics; the objects of one image in each mosaic are its masks."""
    dataset = DatasetSpec.parse(data).open()
    names = [str(name) for name in np.random.default_rng(0).permutation(dataset.names())]
    shown = [sample for sample in map(dataset.load, names) if sample.objects][:count]
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for index, sample in enumerate(track(shown, description=f"Mosaics of {data}", transient=True)):
        rng = np.random.default_rng(index)
        height, width = sample.image.shape[:2]
        rows, columns = max(1, round(SIDE / height)), max(1, round(SIDE / width))
        mosaic = np.zeros((rows * height, columns * width, 3), np.uint8)
        mask = np.zeros(mosaic.shape[:2], np.uint8)
        place = int(rng.integers(rows * columns))
        for cell in range(rows * columns):
            other = sample if cell == place else shown[int(rng.integers(len(shown)))]
            top, left = cell // columns * height, cell % columns * width
            mosaic[top : top + height, left : left + width] = cv2.resize(other.image, (width, height))
            if cell == place:
                for target in sample.objects:
                    mask[top : top + height, left : left + width][target.mask] = 255
        cv2.imwrite(str(folder / "images" / f"{index}.png"), mosaic[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), mask)


def rows_of(model, folder, focus):
    settings = RunSettings(protocols=PROTOCOL, focus=focus)
    with tempfile.TemporaryDirectory() as out:
        return evaluate([model], [f"masks:{folder}"], out=Path(out), settings=settings).objects


if __name__ == "__main__":
    main()
