"""What `--like defects` keeps: `python tests/benchmarks/like_defects.py neu_seg:DATA/neu_seg@test --images 60`.

For everything and for what is like a defect: masks an image, the share of objects that a mask finds at an IoU of 0.5,
and masks an image that find none. `drawn` in the place of a data set is defects drawn onto surfaces, with seeds that no
test has. The clicks of an image are decoded once.
"""

import argparse
import sys
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from sam_backend.demo import drawn_defects, surfaces
from sam_backend.samples import Object, Sample
from sam_backend.segmenters.automatic import DEFAULT_AUTOMATIC, DEFECTS, propose_masks
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation import metrics
from sam_evaluation.datasets.registry import DatasetSpec

SURFACES = surfaces.brushed_metal, surfaces.concrete, surfaces.ceramic, surfaces.cast_iron
DEFECTS_DRAWN = drawn_defects.scratch, drawn_defects.crack, drawn_defects.pit, drawn_defects.stain
SIZE, FIRST_SEED, IOU = (480, 640), 5000, 0.5


class DecodedOnce:
    """A segmenter that remembers its answers to the clicks on one image."""

    def __init__(self, segmenter):
        self._segmenter, self._known = segmenter, {}

    def encode(self, image):
        self._known.clear()
        return self._segmenter.encode(image)

    def decode(self, embedding, prompts, *, multimask=None):
        key = tuple(prompt.points.tobytes() for prompt in prompts)
        if key not in self._known:
            self._known[key] = self._segmenter.decode(embedding, prompts, multimask=multimask)
        return self._known[key]


def samples(data, count):
    if data == "drawn":
        for number in range(count):
            rng = np.random.default_rng(FIRST_SEED + number)
            pixels, mask = DEFECTS_DRAWN[number // 4 % 4](SURFACES[number % 4](SIZE, rng), rng)
            pixels = np.clip(pixels + rng.normal(0, 1.5, pixels.shape), 0, 255).astype(np.uint8)
            yield Sample(str(number), pixels, (Object(mask, "defect"),))
        return
    dataset = DatasetSpec.parse(data).open()
    names = list(dataset.names())
    yield from map(dataset.load, names[:: max(len(names) // count, 1)][:count])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder@split, or drawn")
    parser.add_argument("--images", type=int, default=60, help="images, evenly spread (default: 60)")
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    segmenter = DecodedOnce(load_segmenter(options.model, threads=1))
    ways = {"everything": DEFAULT_AUTOMATIC, "like defects": DEFECTS}
    counts = {name: np.zeros(3, int) for name in ways}
    images = objects = 0
    for sample in samples(options.data, options.images):
        embedding = segmenter.encode(sample.image)
        truth = [target.mask for target in sample.objects]
        images, objects = images + 1, objects + len(truth)
        for name, settings in ways.items():
            found = propose_masks(segmenter, embedding, settings)
            pairs = metrics.match(metrics.pairwise_iou((one.mask for one in found), truth), IOU)
            counts[name] += len(found), len(pairs.gt), len(found) - len(pairs.pred)
        print(f"{images} images, {objects} objects:", *counts.values(), file=sys.stderr)
    print(f"{options.data}: {images} images, {objects} objects")
    for name, (masks, hits, false) in counts.items():
        print(
            f"{name}: {masks / images:.2f} masks an image, recall {hits / objects:.3f} ({hits} of {objects}), "
            f"{false / images:.2f} false an image, precision {hits / max(masks, 1):.3f}"
        )


if __name__ == "__main__":
    main()
