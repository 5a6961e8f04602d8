"""Milliseconds and bytes of our brush codec and the SDK's, side by side: `python tests/benchmarks/rle.py`."""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from label_studio_sdk.converter import brush

from sam_backend.labelstudio.rle import decode_rle, encode_rle


def masks(side: int, seed: int) -> dict[str, np.ndarray]:
    """What annotators segment on a part: a blowhole, a long scratch, a large stain, and a field of pits."""
    rng = np.random.default_rng(seed)
    blank = np.zeros((side, side), np.uint8)
    hole, scratch, stain, pits = (blank.copy() for _ in range(4))
    cv2.ellipse(hole, (side // 3, side // 2), (side // 20, side // 30), 20, 0, 360, 1, -1)
    way = np.stack([np.linspace(0.1, 0.9, 12), 0.5 + 0.05 * rng.standard_normal(12).cumsum()], axis=1)
    cv2.polylines(scratch, [(way * side).astype(np.int32)], False, 1, max(2, side // 250))
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radii = side * 0.22 * (1 + 0.12 * rng.standard_normal(60))
    outline = side / 2 + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    cv2.fillPoly(stain, [outline.astype(np.int32)], 1)
    for x, y in rng.integers(0, side, (150, 2)).tolist():
        cv2.circle(pits, (x, y), side // 150, 1, -1)
    named = {"hole": hole, "scratch": scratch, "stain": stain, "pits": pits}
    return {name: mask.astype(bool) for name, mask in named.items()}


def milliseconds(work: Callable[[], object], repeat: int) -> float:
    """The fastest of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 4096], help="sides of the square masks")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the fastest counts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'mask':>14}{'':>8}{'ours ms':>10}{'SDK ms':>10}{'ratio':>8}{'ours B':>9}{'SDK B':>9}")
    for side in options.sides:
        for name, mask in masks(side, options.seed).items():
            grey = mask.astype(np.uint8) * 255
            ours, theirs = encode_rle(mask), brush.mask2rle(grey)
            for what, work, reference in (
                ("encode", lambda mask=mask: encode_rle(mask), lambda grey=grey: brush.mask2rle(grey)),
                (
                    "decode",
                    lambda rle=ours, mask=mask: decode_rle(rle, mask.shape),
                    lambda rle=ours: brush.decode_rle(rle),
                ),
            ):
                fast, slow = milliseconds(work, options.repeat), milliseconds(reference, options.repeat)
                print(
                    f"{name:>9} {side:>4}{what:>8}{fast:>10.2f}{slow:>10.1f}{slow / fast:>8.1f}"
                    f"{len(ours):>9}{len(theirs):>9}"
                )


if __name__ == "__main__":
    main()
