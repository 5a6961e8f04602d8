"""The example pipelines, measured: `python tests/benchmarks/pipelines.py neu_seg:DATA/neu_seg --out runs/pipelines`.

A small detector is trained on the training split and exported as ONNX, in the layout of torchvision; --minutes bounds
that. Then `sam-inspect evaluate` measures each pipeline of examples/pipelines, and the model without one, on the test
split. A second call goes on where the first was interrupted.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
import onnx
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from sam_evaluation.datasets.registry import DatasetSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pipelines"
SIDE, STRIDE, MOST = 224, 8, 30
CELLS = SIDE // STRIDE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder, with the splits training and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8, help="of training the detector")
    parser.add_argument("--limit", type=int, default=200, help="about this many images are measured")
    parser.add_argument("--shots", type=int, default=50, help="images that the step memory follows")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES.glob("*.toml"):
        shutil.copy(example, options.out)
    if not (options.out / "detector.onnx").exists():
        train(options.data + "@training", options.out / "detector.onnx", options.minutes)
    table = Table("pipeline", "recall@0.5", "precision", "false ones an image", "IoU", title=options.data)
    for name in ("", "defects", "accepted", "detector"):
        words = ["--pipeline", options.out / f"{name}.toml"] if name else ["--protocol", "everything"]
        if name == "accepted":
            words += ["--examples", options.data + "@training", "--shots", options.shots]
        run = options.out / (name or "none")
        command = [*("-m", "sam_inspect", "evaluate", "--model", "nano", "--data", options.data + "@test"), *words]
        command += ["--limit", options.limit, "--jobs", 1, "--out", run]
        subprocess.run([sys.executable, *map(str, command)], check=True)
        table.add_row(name or "none: the model's own", *cells(run))
    Console(width=120).print(table)


def cells(run):
    summary = pd.read_csv(run / "summary.csv")
    whole = summary[(summary["group"] == "all") & (summary["protocol"] == "everything")].set_index("metric")
    names = ("recall_0.5", "precision_0.5", "false_positives_0.5", "iou")
    return [f"{whole.value[name]:.3f} [{whole.low[name]:.3f}, {whole.high[name]:.3f}]" for name in names]


class Detector(nn.Module):
    """Scores of classes and the four sides of a box for each cell of 8 pixels; `forward` gives the best boxes."""

    def __init__(self, classes):
        super().__init__()

        def block(inside, outside, stride):
            conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())

        self.body = nn.Sequential(
            block(3, 16, 2), block(16, 32, 2), block(32, 32, 1), block(32, 64, 2), *[block(64, 64, 1) for _ in range(5)]
        )
        self.scores, self.sides = nn.Conv2d(64, classes, 1), nn.Conv2d(64, 4, 1)
        nn.init.constant_(self.scores.bias, -4)

    def cells(self, images):
        seen = self.body(images)
        return self.scores(seen), self.sides(seen).exp() * STRIDE

    def forward(self, images):
        scores, sides = self.cells(images)
        best, place = scores.sigmoid()[0].flatten().topk(MOST)
        label, cell = place // CELLS**2, place % CELLS**2
        left, top, right, bottom = sides[0].flatten(1)[:, cell]
        x, y = (cell % CELLS + 0.5) * STRIDE, (cell // CELLS + 0.5) * STRIDE
        return torch.stack([x - left, y - top, x + right, y + bottom], 1), best, label


def train(data, path, minutes):
    """Train a detector for some minutes on one thread, and write it as ONNX with its labels."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    dataset = DatasetSpec.parse(data).open()
    samples = [dataset.load(name) for name in rng.permutation(list(dataset.names()))[:1500]]
    labels = sorted({target.label for sample in samples for target in sample.objects})
    net = Detector(len(labels)).train()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-4)
    end, step, losses = time.monotonic() + minutes * 60, 0, []
    while (left := end - time.monotonic()) > 0:
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, left / (minutes * 30))
        batch = [example(samples[index], labels, rng) for index in rng.integers(len(samples), size=16)]
        images, classes, sides = (torch.from_numpy(np.stack(part)) for part in zip(*batch, strict=True))
        scores, guessed = net.cells(images)
        inside = classes.amax(1) > 0
        weight = (scores.sigmoid() - classes).abs() ** 2
        loss = (
            weight * binary_cross_entropy_with_logits(scores, classes, reduction="none")
        ).sum() / inside.sum().clamp(1)
        mine = inside[:, None].expand_as(sides)
        loss = loss + smooth_l1_loss(guessed[mine].clamp(1e-3).log(), sides[mine].clamp(1).log())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step, losses = step + 1, [*losses[-99:], loss.item()]
        if step % 100 == 0:
            print(f"step {step}, loss {np.mean(losses):.3f}, {left:.0f} s left", flush=True)
    torch.onnx.export(
        net.eval(), torch.zeros(1, 3, SIDE, SIDE), path, input_names=["image"],
        output_names=["boxes", "scores", "labels"], dynamo=False,
    )  # fmt: skip
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"labels": str(labels)})
    onnx.save(model, path)


def example(sample, labels, rng):
    """Return an image, mirrored at random, the classes of its cells, and for cells in an object their box's sides."""
    flips = rng.integers(2, size=2)
    image = np.flip(sample.image, np.flatnonzero(flips))
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(np.ascontiguousarray(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    top, left = ((SIDE - side) // 2 for side in small.shape[:2])
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    classes = np.zeros((len(labels), CELLS, CELLS), np.float32)
    sides = np.ones((4, CELLS, CELLS), np.float32)
    centres = (np.arange(CELLS) + 0.5) * STRIDE
    for target in sorted(sample.objects, key=lambda one: -one.cropped.area):
        x0, y0, x1, y1 = target.cropped.box
        height, width = sample.image.shape[:2]
        (x0, x1), (y0, y1) = (
            ((width - x1, width - x0) if flips[1] else (x0, x1)),
            ((height - y1, height - y0) if flips[0] else (y0, y1)),
        )
        box = np.array([x0, y0, x1, y1]) * scale + (left, top, left, top)
        middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 6, STRIDE / 2)
        rows, columns = (np.abs(centres - middle[axis]) <= half[axis] for axis in (1, 0))
        place = np.ix_(rows, columns)
        classes[:, rows[:, None] & columns] = 0
        classes[labels.index(target.label)][place] = 1
        for side, values in enumerate((centres - box[0], centres - box[1], box[2] - centres, box[3] - centres)):
            sides[side][place] = values[None, columns] if side % 2 == 0 else values[rows, None]
    return canvas.transpose(2, 0, 1).astype(np.float32) / 255, classes, sides


if __name__ == "__main__":
    main()
