"""What a memory learns of accepted boxes: `python tests/benchmarks/accepted_boxes.py DATA/neu_seg`.

Of the training split of NEU-Seg, 24 images are accepted and 40 others asked about, drawn at random. What is accepted of
an object is its true mask, all pixels of its box, or what the model sees in the box. COCO's AP of the proposed boxes.
"""

import argparse
import sys
import tempfile
from functools import cache
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Record
from sam_backend.samples import Cropped
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.metrics.coco_boxes import Boxes, box_scores

ACCEPTED, ASKED, SEED, LIMIT = 24, 40, 3, 20


def accepted(target, kind):
    if kind == "masks":
        return AcceptedMask(target.mask, target.label)
    box = np.zeros(target.cropped.size, bool)
    left, top, right, bottom = target.cropped.box
    box[top:bottom, left:right] = True
    return AcceptedMask(box, target.label, is_around=kind == "what the model sees in boxes")


def boxes_of(rows, labels):
    """Return the boxes of (image, label, Cropped, score)."""
    columns = (
        np.array([image for image, *_ in rows], np.int64),
        np.array([labels.index(label) for _, label, *_ in rows], np.int64),
        np.array([mask.box for *_, mask, _ in rows], np.float64).reshape(-1, 4),
        np.array([mask.area for *_, mask, _ in rows], np.float64),
        np.array([score for *_, score in rows], np.float64),
    )
    return Boxes(*columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of NEU-Seg")
    options = parser.parse_args()
    dataset = DatasetSpec("neu_seg", options.data, "training").open()
    names = np.random.default_rng(SEED).permutation(list(dataset.names()))[: ACCEPTED + ASKED].tolist()
    samples = {name: dataset.load(name) for name in names}
    segmenter = load_segmenter("nano", threads=1)
    encode = cache(lambda name: segmenter.encode(samples[name].image))
    asked = list(enumerate(names[ACCEPTED:]))
    truth = [(image, one.label, one.cropped, 0.0) for image, name in asked for one in samples[name].objects]
    labels = sorted({one.label for sample in samples.values() for one in sample.objects})
    for kind in ("masks", "all pixels of boxes", "what the model sees in boxes"):
        with tempfile.TemporaryDirectory() as folder:
            memory = ProjectMemory(Path(folder) / "memory")
            for number, name in enumerate(names[:ACCEPTED], 1):
                memory.store.put(Record(number, "2026-01-01T00:00:00Z", number, name))
            learn = (
                segmenter,
                lambda record: encode(record.image),
                lambda record, _: [accepted(one, kind) for one in samples[record.image].objects],  # noqa: B023
            )
            memory.catch_up(*learn)
            memory.recalibrate(*learn)
            classes = memory.classes(segmenter.version, lambda label: True)
            found = [
                (image, one.label, Cropped.of(one.mask), one.score)
                for image, name in asked
                for one in memory.proposer(classes, segmenter.version).propose(segmenter, encode(name), limit=LIMIT)
            ]
        values = box_scores(boxes_of(truth, labels), boxes_of(found, labels), len(asked), len(labels)).values
        print(f"{kind}: AP {values['ap']:.3f}, AP50 {values['ap50']:.3f}, AR100 {values['ar100']:.3f}")


if __name__ == "__main__":
    main()
