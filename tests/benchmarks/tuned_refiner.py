"""A tuned refiner against the one that ships, `python tests/benchmarks/tuned_refiner.py neu_seg:DATA@test FOLDER`.

FOLDER is that of a version, such as ~/.local/share/sam-inspect/models/refiner_data-0123abcd/refiner_data-0123abcd-0001.
On images that took part in no tuning, all objects of at least 20 pixels are segmented by a click or a box and corrected
four times: mean IoU after each answer, the shares that never reach 0.8, 0.85 and 0.9, the share of corrections that
make a mask worse by more than 0.02, and the gain after the last one with its 95 % interval over images.
"""

import argparse
import sys
from pathlib import Path

# ruff: noqa: E402 - the paths come first.
sys.path[0] = str(Path(__file__).resolve().parents[2] / "research")

import cv2
import numpy as np

from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.refiner.refiner import Refiner
from sam_evaluation.datasets.registry import DatasetSpec
from sam_research.refiner.chain_validation import Curve, curve

_LEAST_PIXELS = 20
_CLICKS = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder@split")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path, help="weights of a fine-tuned nano")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = load_segmenter("nano", options.checkpoint, threads=1)
    tuned = segmenter.with_refiner(Refiner(options.folder, beside=segmenter.refiner))
    source = DatasetSpec.parse(options.data).open()
    names = source.names()
    names = names[:: max(1, -(-len(names) // options.limit))]
    gains = {"click": [], "box": []}
    curves = {(start, what): [] for start in gains for what in ("ships", "tuned")}
    for done, name in enumerate(names, 1):
        sample = source.load(name)
        masks = [target.mask for target in sample.objects if target.cropped.area >= _LEAST_PIXELS]
        image = [(segmenter.encode(sample.image), masks)]
        for start, differences in gains.items():
            rows = [curve(one, image, start, _CLICKS).iou for one in (segmenter, tuned)]
            differences.append((rows[1] - rows[0])[:, -1])
            for what, iou in zip(("ships", "tuned"), rows, strict=True):
                curves[start, what].append(iou)
        if done % 10 == 0 or done == len(names):
            print(f"{done} of {len(names)} images", file=sys.stderr, flush=True)
    for (start, what), rows in curves.items():
        print(start, what, Curve(np.concatenate(rows)))
    rng = np.random.default_rng(0)
    for start, differences in gains.items():
        count = len(differences)
        draws = [np.concatenate([differences[n] for n in rng.integers(count, size=count)]).mean() for _ in range(2000)]
        low, high = np.quantile(draws, (0.025, 0.975))
        print(f"{start}: {np.concatenate(differences).mean():+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
