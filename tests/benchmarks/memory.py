"""The quality of an example memory, `python tests/benchmarks/memory.py neu_seg:DATA/neu_seg --examples 1 5 20 50`.

Images of one split (or one half, by a digest of the names) are examples, drawn at random until there are as many
objects of each class as asked for; the others are measured. Beside the memory stand two simple rivals on the same
embedding, and the memory's own class map without the segmenter:

prototype   a cell is of the class whose mean feature vector has the highest cosine similarity with it;
regression  a multinomial logistic regression on cells, without weights;
class map   the likeliest class of the memory.

After the table stands the mean IoU of a lone click in the middle of each object: as the model answers, with the help of
the memory, and of the best of its masks. The last table has the proposals that show an object with an IoU of at least
a half: their mean IoU, and that after one corrective click, as `clicks:N` clicks.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.memory_rivals import prototype, regression
from sam_backend.masks import deepest_point, mask_iou
from sam_backend.memory.class_outlines import class_map
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import MIN_SCORE
from sam_backend.memory.records import Record
from sam_backend.second_look import Focus
from sam_backend.segmenters import Embedding, Prompt
from sam_backend.segmenters.model_registry import load_segmenter
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.metrics.calibration_error import calibration_error_by_chance, expected_calibration_error
from sam_evaluation.metrics.detection import match, pairwise_iou
from sam_evaluation.protocols.simulated_clicks import correction


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="format:folder; neu_seg is measured on its test split")
    parser.add_argument("--on", choices=("test", "held-out"), default="test", help="held-out: other example images")
    parser.add_argument("--examples", type=int, nargs="+", default=[1, 5, 20, 50], help="objects of each class")
    parser.add_argument("--images", type=int, default=100, help="images that are measured")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--no-rivals", action="store_true", help="measure the memory alone")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter = load_segmenter(options.model, focus=Focus.OFF, threads=1)
    pool, measured = split(options.data, options.on)
    chosen = np.random.default_rng(0).permutation(len(measured))[: options.images]
    images = [Encoded.of(measured[i], segmenter) for i in track(chosen, description="Encoding", transient=True)]
    table = Table("examples", "images", "method", "pixel IoU", title=f"{options.model}, {options.data}")
    classes = sorted({label for image in images for label in image.labels})
    for label in classes:
        table.add_column(label)
    for name in ("recall@0.5", "false positives an image", "ECE (by chance)"):
        table.add_column(name)
    clicks = Table("examples", "objects", "a click", "with the memory", "best of its masks", title="IoU")
    corrections = Table("examples", "proposals", "proposed", "after a click", "worse by over .02", title="IoU")
    for count in options.examples:
        tallies, clicked, corrected = {}, [], []
        used = []
        for seed in range(options.seeds):
            examples = draw(pool, classes, count, np.random.default_rng(seed), segmenter)
            used.append(len(examples))
            clicks_of_seed, corrected_of_seed = measure(
                segmenter, examples, images, classes, tallies, rivals=not options.no_rivals
            )
            clicked += clicks_of_seed
            corrected += corrected_of_seed
        for method, tally in tallies.items():
            table.add_row(str(count), f"{np.mean(used):.0f}", method, *tally.cells(classes))
        clicks.add_row(str(count), str(len(clicked)), *(f"{iou:.3f}" for iou in np.mean(clicked, 0)))
        before, after = np.array(corrected).reshape(-1, 2).T
        worse = f"{np.mean(after < before - 0.02):.0%}"
        corrections.add_row(str(count), str(len(before)), f"{before.mean():.3f}", f"{after.mean():.3f}", worse)
        Console(width=150).print(f"{count} examples are measured", highlight=False)
    Console(width=150).print(table, clicks, corrections)


def split(data, on):
    """Return loaders of the images to draw examples from, and of those to measure on."""
    spec = DatasetSpec.parse(data)
    if spec.format == "neu_seg":
        training = DatasetSpec(spec.format, spec.folder, "training").open()
        names = list(training.names())
        if on == "test":
            test = DatasetSpec(spec.format, spec.folder, "test").open()
            return [lambda n=n: training.load(n) for n in names], [lambda n=n: test.load(n) for n in test.names()]
        dataset = training
    else:
        dataset, names = spec.open(), list(spec.open().names())
    first = [int(sha256(name.encode()).hexdigest(), 16) % 2 == 0 for name in names]
    if on == "held-out" and spec.format != "neu_seg":
        # Of the half with examples every other one is held out.
        names = [name for name, is_first in zip(names, first, strict=True) if is_first]
        first = [int(sha256(name.encode()).hexdigest(), 16) % 4 == 0 for name in names]
    halves = [[lambda n=n: dataset.load(n) for n, f in zip(names, first, strict=True) if f is w] for w in (True, False)]
    return halves[0], halves[1]


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image with its objects, its embedding in half precision."""

    name: str
    embedding: Embedding
    masks: list[AcceptedMask] = field(default_factory=list)

    @classmethod
    def of(cls, load, segmenter):
        sample = load()
        made = segmenter.encode(sample.image)
        arrays = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in made.arrays.items()}
        masks = [AcceptedMask(target.mask, target.label) for target in sample.objects]
        return cls(sample.name, Embedding(arrays, made.size), masks)

    @property
    def whole(self):
        arrays = {n: a.astype(np.float32) if a.dtype == np.float16 else a for n, a in self.embedding.arrays.items()}
        return Embedding(arrays, self.embedding.size)

    @property
    def labels(self):
        return {target.label for target in self.masks}

    def label_map(self, classes):
        """Return (H, W): 0 or 1 + the index of the class."""
        labels = np.zeros(self.embedding.size, np.int64)
        for target in self.masks:
            labels[target.mask] = 1 + classes.index(target.label)
        return labels


KEPT = {}


def draw(pool, classes, count, random, segmenter):
    """Draw images until there are `count` objects of each class; an image without a wanted class is not used."""
    examples, objects = [], dict.fromkeys(classes, 0)
    for index in random.permutation(len(pool)):
        sample = pool[index]()
        if not any(target.label in objects and objects[target.label] < count for target in sample.objects):
            continue
        for target in sample.objects:
            objects[target.label] = objects.get(target.label, 0) + 1
        if index not in KEPT:
            KEPT[index] = Encoded.of(pool[index], segmenter)
        examples.append(KEPT[index])
        if all(objects[label] >= count for label in classes):
            break
    return examples


@dataclass
class Tally:
    """Sums over images and seeds."""

    shared: dict = field(default_factory=dict)
    united: dict = field(default_factory=dict)
    truths: int = 0
    matched: int = 0
    wrong: int = 0
    images: int = 0
    scores: list = field(default_factory=list)
    right: list = field(default_factory=list)

    def add(self, painted, objects, image, classes):
        """Count a predicted label map (H, W) and predicted objects (mask, label, score)."""
        truth = image.label_map(classes)
        for index, label in enumerate(classes):
            a, b = painted == index + 1, truth == index + 1
            self.shared[label] = self.shared.get(label, 0) + np.count_nonzero(a & b)
            self.united[label] = self.united.get(label, 0) + np.count_nonzero(a | b)
        self.images += 1
        self.truths += len(image.masks)
        for label in classes:
            own = [predicted for predicted in objects if predicted[1] == label]
            truths = [target.mask for target in image.masks if target.label == label]
            pairs = match(pairwise_iou([predicted[0] for predicted in own], truths))
            self.matched += len(pairs.gt)
            self.wrong += len(own) - len(pairs.pred)
            if own and own[0][2] is not None:
                self.scores += [predicted[2] for predicted in own]
                self.right += [index in pairs.pred for index in range(len(own))]

    def cells(self, classes):
        ious = [self.shared[label] / max(self.united[label], 1) for label in classes]
        ece = ""
        if self.scores:
            by_chance = calibration_error_by_chance(self.scores)
            ece = f"{expected_calibration_error(self.scores, self.right):.3f} ({by_chance:.3f})"
        wrong = f"{self.wrong / self.images:.2f}"
        return [
            f"{np.mean(ious):.3f}",
            *(f"{iou:.3f}" for iou in ious),
            f"{self.matched / self.truths:.3f}",
            wrong,
            ece,
        ]


def measure(segmenter, examples, images, classes, tallies, *, rivals):
    """Add what the memory proposes to the tallies; return the IoU of clicks (N, 3) and of corrections (M, 2)."""
    clicked, corrected = [], []
    with tempfile.TemporaryDirectory() as folder:
        memory = ProjectMemory(Path(folder))
        for number, example in enumerate(examples):
            memory.store.put(Record(number, task=number, image=example.name))
        embed = lambda record: examples[record.annotation].whole  # noqa: E731
        read = lambda record: examples[record.annotation].masks  # noqa: E731
        memory.catch_up(segmenter, embed, read)
        memory.recalibrate(segmenter, embed, read)
        model = memory.classes(segmenter.version, classes.__contains__)
        scores_of = {"prototype": prototype, "regression": regression} if rivals else {}
        scores_of = {name: make(segmenter, examples, classes) for name, make in scores_of.items()}
        for image in track(images, description=f"{len(examples)} images of examples", transient=True):
            embedding = image.whole
            features = segmenter.features(embedding)
            for name, scores in scores_of.items():
                painted = on_image(scores(features.values), embedding.size).argmax(2)
                tallies.setdefault(name, Tally()).add(painted, components(painted, classes), image, classes)
            painted = on_image(class_map(segmenter, embedding, model)[0], embedding.size).argmax(2)
            painted = np.array([0, *(1 + classes.index(label) for label in model.labels)])[painted]
            tallies.setdefault("class map", Tally()).add(painted, components(painted, classes), image, classes)
            proposals = memory.proposer(model, segmenter.version).propose(segmenter, embedding)
            painted = np.zeros(embedding.size, np.int64)
            for proposal in reversed(proposals):
                painted[proposal.mask] = 1 + classes.index(proposal.label)
            objects = [(proposal.mask, proposal.label, proposal.score) for proposal in proposals]
            name = f"memory, score >= {MIN_SCORE:.2f}"
            tallies.setdefault(name, Tally()).add(painted, objects, image, classes)
            corrected += corrections_of(segmenter, embedding, image, proposals)
            clicked += [
                click(segmenter, memory, image, embedding, target) for target in image.masks if target.mask.sum() >= 20
            ]
    return clicked, corrected


def corrections_of(segmenter, embedding, image, proposals):
    """Return the IoU of each proposal that shows an object, and of the answer to its first correction."""
    truths = [target.mask for target in image.masks]
    pairs = match(pairwise_iou([proposal.mask for proposal in proposals], truths))
    rows = []
    for index, target, iou in zip(pairs.pred, pairs.gt, pairs.iou, strict=True):
        mask, truth = np.asarray(proposals[index].mask), truths[target]
        click = correction(mask, truth, [])
        if click is not None:
            point, label = click
            prompt = Prompt(np.array([point], np.float32), np.array([label]), mask=mask)
            (answer,) = segmenter.decode(embedding, [prompt])
            rows.append((iou, mask_iou(answer.masks[answer.best], truth)))
    return rows


def click(segmenter, memory, image, embedding, target):
    """Return the IoU of the answer to a click in the middle of an object, with the memory's help, and of the best."""
    prompt = Prompt(np.array([deepest_point(target.mask)], np.float32), np.array([1]))
    helped = memory.helping(segmenter, target.label, image.name)
    own, other = (model.decode(embedding, [prompt])[0] for model in (segmenter, helped))
    ious = [mask_iou(mask, target.mask) for mask in own.masks]
    return ious[own.best], ious[other.best], max(ious)


def on_image(scores, size):
    """Resize scores (n, n, K) of a square with the image at its top left to the image's `size`."""
    side = max(size)
    full = cv2.resize(scores.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return full[: size[0], : size[1]]


def components(painted, classes):
    objects = []
    for index, label in enumerate(classes):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((painted == index + 1).astype(np.uint8))
        objects += [(parts == n, label, None) for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= 20]
    return objects


if __name__ == "__main__":
    main()
