"""Following by examples on clips of moving shapes: J, F, switches of identity, and how often "hidden" is right.

    python tests/benchmarks/tracking.py --seeds 100 101 102
    python tests/benchmarks/tracking.py --seeds 10 11 12 13 --fit

The second fits the weights of `sam_backend.video.evidence` on the evidence of all outlines of these clips. Seeds of the
first must be others than those of the fit.
"""

import argparse
import time

import numpy as np

from moving_shapes import moving_shapes
from sam_backend.masks import mask_iou
from sam_backend.memory.logistic import fit_logistic
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_backend.video import example_tracker
from sam_backend.video.evidence import PARTS
from sam_backend.video.example_tracker import ExampleTracker
from sam_evaluation.metrics import pairwise_iou
from sam_evaluation.metrics.video import identity_switches, region_and_boundary

FRAMES = 32
KINDS = {
    "cross behind a bar": {},
    "cross in the open": {"bar": False},
    "alike, behind a bar": {"alike": True},
    "alike, in the open": {"alike": True, "bar": False},
    "three, behind a bar": {"shapes": 3},
}


class Evidence:
    """The evidence of each outline, and its IoU with the object that it was compared with."""

    def __init__(self):
        self.parts, self.ious = [], []

    def __enter__(self):
        self._evidence = example_tracker.evidence
        example_tracker.evidence = self._noted
        return self

    def __exit__(self, *_):
        example_tracker.evidence = self._evidence

    def at(self, session, truth):
        self._session, self._truth = session, truth

    def _noted(self, motion, response, outline):
        parts = self._evidence(motion, response, outline)
        number = next(number for number, one in self._session._objects.items() if one.motion is motion)
        self.parts.append(parts)
        self.ious.append(mask_iou(outline.mask.mask, self._truth[number]))
        return parts


def follow(tracker, clip, noted=None):
    """Return J and F (objects, frames), the switches, and (frames hidden, of these right, seen, of these right)."""
    session, scores, ious, seen = tracker.start(), [], [], np.zeros(4, int)
    for frame, pixels in enumerate(clip.frames):
        truth = {number: masks[frame] for number, masks in clip.masks.items()}
        if noted is not None:
            noted.at(session, truth)
        found = session.step(pixels, {number: Prompt(box=clip.box(number)) for number in truth} if not frame else {})
        if not 0 < frame < len(clip.frames) - 1:
            continue
        masks = {number: one.mask.mask for number, one in found.items()}
        scores.append([region_and_boundary(masks[number], truth[number]) for number in truth])
        ious.append(pairwise_iou(masks.values(), truth.values()))
        for number, mask in truth.items():
            place = 2 * bool(mask.any())
            seen[place] += 1
            seen[place + 1] += found[number].visible == mask.any()
    return np.array(scores), identity_switches(ious), seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--keep", help="a file for the evidence")
    arguments = parser.parse_args()
    tracker, start, frames = ExampleTracker(NanoSegmenter(threads=1)), time.process_time(), 0
    with Evidence() as noted:
        for kind in arguments.kinds:
            scores, switches, seen = [], 0, np.zeros(4, int)
            for seed in arguments.seeds:
                clip = moving_shapes(seed, frames=FRAMES, **KINDS[kind])
                one, changed, right = follow(tracker, clip, noted)
                scores += list(one.mean(0))
                switches += changed
                seen += right
                frames += len(clip.frames)
                if arguments.keep:
                    np.savez(arguments.keep, parts=noted.parts, ious=noted.ious)
            region, boundary = np.mean(scores, 0)
            print(
                f"{kind:22} J&F {(region + boundary) / 2:.3f}  J {region:.3f}  F {boundary:.3f}  {switches} switches, "
                f"{len(scores)} objects; hidden {seen[1]} of {seen[0]}, seen {seen[3]} of {seen[2]}",
                flush=True,
            )
    print(f"CPU seconds a frame: {(time.process_time() - start) / frames:.2f}")
    if arguments.fit:
        fit(np.array(noted.parts), np.array(noted.ious))


def fit(parts, ious):
    right = (ious >= 0.5).astype(float)
    known = np.column_stack([parts, np.ones(len(parts))])
    shares = np.column_stack([1 - right, right])
    weights = fit_logistic(known, shares, np.ones(len(known)), np.zeros((known.shape[1], 1)), ridge=0.5)[:, 0]
    score = 1 / (1 + np.exp(-known @ weights))
    for name, weight in zip((*PARTS, "bias"), weights, strict=True):
        print(f"{name:15} {weight:6.2f}")
    print(f"{len(parts)} outlines, {right.mean():.2f} right; Brier score {np.mean((score - right) ** 2):.3f}")


if __name__ == "__main__":
    main()
