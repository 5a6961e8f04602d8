"""Masks and CPU of two forms of the decoder of `nano`, `python tests/benchmarks/decoder.py BEFORE`.

BEFORE is the folder `backend` of another checkout, for example of `git worktree add /tmp/before COMMIT`. Both answer
the same prompts on the same images of SAM_INSPECT_DATA, in turns, on one thread: a click, a box and two clicks on the
first object of each image.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

# The folder of this file would hide the package `click`.
sys.path.pop(0)

import numpy as np

DATA = ("magnetic_tile", "neu_seg", "bsds500")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder `backend` of another checkout")
    parser.add_argument("--images", type=int, default=24, help="images of each data set (default: 24)")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer()
        return
    here = Path(__file__).resolve().parents[2] / "backend"
    forms = [started(path, here) for path in (options.before, here)]
    ious, seconds = [], [[], []]
    for image, prompts in prompted_images(options.images):
        for prompt in prompts:
            answers = [asked(form, image, prompt) for form in forms]
            for of_form, (_, cpu) in zip(seconds, answers, strict=True):
                of_form.append(cpu)
            one, other = (mask for mask, _ in answers)
            ious.append(np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1) if one.any() else 1.0)
    for form in forms:
        form.stdin.close()
    before, after = (1e3 * np.median(of_form) for of_form in seconds)
    print(f"{len(ious)} prompts: IoU at least {min(ious):.4f}, {np.mean(np.array(ious) >= 0.999):.1%} at least 0.999")
    print(f"CPU of a decoding, median: {before:.1f} ms before, {after:.1f} ms now, {after / before:.2f} of it")


def prompted_images(count):
    """Yield images, and for each a click, a box and two clicks on its first object, as JSON."""
    from sam_evaluation.datasets.registry import DatasetSpec

    rng = np.random.default_rng(1)
    for data in DATA:
        dataset = DatasetSpec.parse(f"{data}:{os.environ['SAM_INSPECT_DATA']}/{data}").open()
        names = np.random.default_rng(0).permutation(dataset.names()).tolist()
        shown = [sample for sample in map(dataset.load, names[: 2 * count]) if sample.objects][:count]
        for sample in shown:
            rows, columns = np.nonzero(sample.objects[0].mask)
            spots = rng.integers(len(rows), size=2)
            points = np.stack([columns[spots], rows[spots]], 1).tolist()
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            yield (
                sample.image,
                [
                    {"points": points[:1], "labels": [1]},
                    {"box": [float(edge) for edge in box]},
                    {"points": points, "labels": [1, 1]},
                ],
            )


def started(backend, here):
    """Start a process that answers with the `nano` of a folder `backend`."""
    others = [path for path in sys.path if path and Path(path) != here]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(backend), *others]), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(backend), "--answer"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def asked(process, image, prompt):
    """Return the mask of a prompt, and the CPU seconds of its decoding."""
    process.stdin.write(json.dumps({"shape": image.shape, **prompt}).encode() + b"\n" + image.tobytes())
    process.stdin.flush()
    cpu = float(process.stdout.readline())
    mask = np.frombuffer(process.stdout.read(image.shape[0] * image.shape[1]), np.bool_)
    return mask.reshape(image.shape[:2]), cpu


def answer():
    """Answer the prompts of standard input."""
    import cv2

    from sam_backend.segmenters import Prompt
    from sam_backend.segmenters.nano.segmenter import NanoSegmenter

    cv2.setNumThreads(1)
    segmenter, last, embedding = NanoSegmenter(threads=1), b"", None
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        pixels = sys.stdin.buffer.read(int(np.prod(asked["shape"])))
        if pixels != last:
            last, embedding = pixels, segmenter.encode(np.frombuffer(pixels, np.uint8).reshape(asked.pop("shape")))
        prompt = Prompt(**{name: np.array(value) for name, value in asked.items() if name != "shape"})
        start = time.process_time()
        found = segmenter.decode(embedding, [prompt])[0]
        mask = np.ascontiguousarray(found.masks[found.best])
        cpu = time.process_time() - start
        sys.stdout.buffer.write(f"{cpu}\n".encode() + mask.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
