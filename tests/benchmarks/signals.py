"""Whether examples of a bearing fault find the next ones: `python tests/benchmarks/signals.py`.

Recordings of 10 s are made by `sam_backend.signals.bearing`, rendered as `sam-inspect signal render` does, and
encoded. In the first ones the faults are accepted under their labels, as filled rectangles or, with `--accept masks`,
as what the model answers to boxes around them; the memory proposes on the others. A proposal becomes an interval as in
`sam-inspect signal intervals`, and finds a fault if the two boxes have the same label and an IoU of at least a half in
time and frequency. The tasks:

one label       every fault is called "fault"; all recordings are of one machine, whose housing resonates at 3200 Hz;
other machines  one label, and each recording has a resonance of its own, from 2 to 6 kHz;
three labels    outer race, inner race and ball, which differ by the rate and the modulation of their impacts alone;
quiet faults    one label and one machine, with impacts of half the height.

Seeds from 0 are examples, seeds from 5000 are measured. Seeds from 1000 are for who changes something. With `--speed`,
it measures instead what it costs to read and render a CSV file of five million rows with a time and a channel.
"""

import argparse
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Record
from sam_backend.polygons import rectangle_mask
from sam_backend.samples import Cropped
from sam_backend.second_look import Focus
from sam_backend.segmenters import Embedding, Prompt
from sam_backend.segmenters.batched import best_masks
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.signals.bearing import BearingSignal, bearing_signal
from sam_backend.signals.calibration import Calibration
from sam_backend.signals.intervals import interval_of
from sam_backend.signals.reading import read_recording
from sam_backend.signals.recording import Recording
from sam_backend.signals.rendering import Look, plan, render
from sam_evaluation.metrics.detection import match

EXAMPLES, DEVELOPMENT, MEASURED = 0, 1000, 5000
TASKS = ("one label", "other machines", "three labels", "quiet faults")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, nargs="+", default=[1, 3, 10], help="recordings that are accepted")
    parser.add_argument("--images", type=int, default=20, help="recordings that are measured")
    parser.add_argument("--accept", choices=("rectangles", "masks"), default="rectangles")
    parser.add_argument("--development", action="store_true", help="measure on the seeds for development")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--speed", action="store_true", help="measure reading and rendering alone")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.speed:
        speed(5_000_000)
        return
    segmenter = load_segmenter(options.model, focus=Focus.AUTO, threads=1)
    first = DEVELOPMENT if options.development else MEASURED
    heads = ("task", "examples", "faults", "recall@0.5", "false an image", "mean IoU of found", "start, end off by")
    table = Table(*heads, title=f"{options.model}, {options.images} recordings")
    for task in options.tasks:
        pages = [
            [Page.of(seed, task, segmenter) for seed in track(seeds, description=task, transient=True)]
            for seeds in (range(EXAMPLES, EXAMPLES + max(options.examples)), range(first, first + options.images))
        ]
        for count in options.examples:
            row = (task, str(count), *measure(segmenter, pages[0][:count], pages[1], options.accept))
            table.add_row(*row)
            Console(width=150).print(*row, sep="  ", highlight=False)
    Console(width=150).print(table)


def speed(rows):
    """Print the CPU seconds of reading a CSV file, and of rendering it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.csv"
        values = np.random.default_rng(0).normal(size=rows)
        pd.DataFrame({"time": np.round(np.arange(rows) / 25600, 7), "acceleration": values}).to_csv(path, index=False)
        started = time.process_time()
        recording = read_recording(path, None)
        read = time.process_time()
        (channel,) = plan(recording, Look(), [])
        pages = sum(1 for _ in render(recording, channel, Look()))
        done = time.process_time()
    Console().print(f"{rows} rows: read in {read - started:.1f} s of CPU, {pages} pictures in {done - read:.1f} s")


@dataclass(frozen=True, eq=False)
class Page:
    """A rendered recording; its faults are (label, t_start, t_end, f_low, f_high)."""

    embedding: Embedding
    calibration: Calibration
    faults: list

    @classmethod
    def of(cls, seed, task, segmenter):
        resonance = np.random.default_rng(seed).uniform(2000, 6000) if task == "other machines" else 3200.0
        made = bearing_signal(seed, resonance=resonance, loudness=0.5 if task == "quiet faults" else 1.0)
        one_label = task != "three labels"
        faults = [
            ("fault" if one_label else fault.label, fault.t_start, fault.t_end, fault.f_low, fault.f_high)
            for fault in made.faults
        ]
        picture = picture_of(made, f"bearing-{seed}")
        pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))
        return cls(segmenter.encode(pixels), picture.calibration, faults)

    def accepted(self, segmenter, accept):
        """Return the faults as an annotator fills them, or as the model answers a box around each."""
        filled = [AcceptedMask(box_mask(self.calibration, *box), label) for label, *box in self.faults]
        if accept == "rectangles":
            return filled
        prompts = [Prompt(box=np.array(Cropped.of(one.mask).box, np.float32)) for one in filled]
        answers = best_masks(segmenter, self.embedding, prompts)
        return [AcceptedMask(mask.mask, one.label) for one, (mask, _) in zip(filled, answers, strict=True)]


def box_mask(c, t_start, t_end, f_low, f_high):
    (left, right), (bottom, top) = c.columns([t_start, t_end]), c.rows([f_low, f_high])
    return rectangle_mask((left, top, right - left, bottom - top), (c.height, c.width))


def picture_of(made: BearingSignal, name):
    recording = Recording(name, ("acceleration",), made.values[:, None], made.rate)
    (channel,) = plan(recording, Look(), [])
    (picture,) = render(recording, channel, Look())
    return picture


def measure(segmenter, examples, pages, accept):
    """Return the cells of a row."""
    found, faults, wrong, ious, off = 0, 0, 0, [], []
    with tempfile.TemporaryDirectory() as folder:
        memory = ProjectMemory(Path(folder))
        for number in range(len(examples)):
            memory.store.put(Record(number, task=number, image=str(number)))
        embed = lambda record: examples[record.annotation].embedding  # noqa: E731
        read = lambda record, _=None: examples[record.annotation].accepted(segmenter, accept)  # noqa: E731
        memory.catch_up(segmenter, embed, read)
        memory.recalibrate(segmenter, embed, read)
        classes = memory.classes(segmenter.version, lambda label: True)
        for page in pages:
            proposed = []
            for proposal in memory.proposer(classes, segmenter.version).propose(segmenter, page.embedding):
                interval = interval_of(Cropped.of(proposal.mask), page.calibration)
                if interval is not None:
                    box = (interval.t_start, interval.t_end, interval.f_low, interval.f_high)
                    proposed.append((proposal.label, *box))
            pairs = match(
                np.array([[iou(a, b) for b in page.faults] for a in proposed]).reshape(len(proposed), len(page.faults))
            )
            found += len(pairs.gt)
            faults += len(page.faults)
            wrong += len(proposed) - len(pairs.pred)
            ious += list(pairs.iou)
            for index, target in zip(pairs.pred, pairs.gt, strict=True):
                off += [abs(proposed[index][side] - page.faults[target][side]) for side in (1, 2)]
    seconds = f"{np.median(off):.3f} s" if off else ""
    quality = f"{np.mean(ious):.2f}" if ious else ""
    return str(faults), f"{found / faults:.2f}", f"{wrong / len(pages):.2f}", quality, seconds


def iou(one, other):
    """Return the IoU of two boxes (label, t_start, t_end, f_low, f_high); 0 for different labels."""
    if one[0] != other[0]:
        return 0.0
    shared, areas = 1.0, [1.0, 1.0]
    for side in (1, 3):
        shared *= max(0.0, min(one[side + 1], other[side + 1]) - max(one[side], other[side]))
        areas = [area * (box[side + 1] - box[side]) for area, box in zip(areas, (one, other), strict=True)]
    return shared / (sum(areas) - shared)


if __name__ == "__main__":
    main()
