"""What becomes of a stroke or an outline by each way to prompt with it, for docs/decisions/038-masks-as-prompts.md.

`python tests/benchmarks/mask_prompts.py nano 100 scenes neu_seg:/data/neu_seg@training`: model, images of a set, sets.
True masks are spoiled as hurried hands draw them; each way answers the same drawings, and its mean IoU is printed.
"""

import sys

# The folder of this file would hide the package `click`.
sys.path.pop(0)

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.morphology import skeletonize

from sam_backend.labelstudio.strokes import points_along
from sam_backend.masks import mask_box, mask_depths, mask_iou
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.drawn_masks import mask_logits
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.refinement import refine
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.protocols.simulated_clicks import around_deepest_point
from sam_research.scenes.scene import make_scene

FIRST_SCENE = 50_000_000
"""No training uses scenes from this number on."""
LEAST_PIXELS = 100
MOST_OBJECTS = 3


def main(model, images, sets):
    segmenter = load_segmenter(model, threads=1)
    for name in sets:
        ious = {kind: [] for kind in DRAWINGS}
        for index, (image, masks) in enumerate(shown(name, images)):
            rng = np.random.default_rng([index, 38])
            embedding = segmenter.encode(image)
            for mask in masks:
                for kind, draw in DRAWINGS.items():
                    drawn = draw(rng, mask)
                    if drawn.any():
                        made = answers(segmenter, embedding, drawn, is_stroke=kind in STROKES)
                        ious[kind].append({way: mask_iou(answer, mask) for way, answer in made.items()})
        print_table(name, ious)


def shown(name, images):
    """Yield images, each with a few of its masks that are neither small nor the background."""
    if name == "scenes":
        scenes = map(make_scene, range(FIRST_SCENE, FIRST_SCENE + images))
        samples = ((scene.image, list(scene.masks)) for scene in scenes)
    else:
        data = DatasetSpec.parse(name).open()
        names = data.names()
        loaded = map(data.load, names[:: max(1, len(names) // images)][:images])
        samples = ((sample.image, [one.mask for one in sample.objects]) for sample in loaded)
    for index, (image, masks) in enumerate(samples):
        fitting = [mask for mask in masks if mask.sum() >= LEAST_PIXELS and mask.mean() < 0.5]
        order = np.random.default_rng([index, 7]).permutation(len(fitting))[:MOST_OBJECTS]
        yield image, [fitting[i] for i in order]


def answers(segmenter, embedding, drawn, is_stroke):
    """Return the answer of each way."""
    crop, box = Cropped.of(drawn), np.array(mask_box(drawn), np.float32)
    points = np.array(points_along(crop), np.float32) * drawn.shape[::-1] / 100
    clicks, logits = {"points": points, "labels": np.ones(len(points))}, {"logits": mask_logits(drawn)}

    def ask(**parts):
        (answer,) = segmenter.decode(embedding, [Prompt(**parts)], multimask=False)
        return answer.masks[0]

    def served(**parts):
        return refine(segmenter, embedding, Prompt(**parts), AnswersMemo(), "").masks[0]

    painted = ask(box=box, **logits)
    return {
        "as drawn": drawn,
        "clicks, one after the other": served(**clicks),
        "box": served(box=box),
        "mask": ask(**logits),
        "clicks + mask": ask(**clicks, **logits),
        "box + mask": painted,
        "box + clicks + mask": ask(box=box, **clicks, **logits),
        "refiner": ask(mask=drawn),
        "box + mask, then refiner": ask(mask=painted) if painted.any() else painted,
        "as served": served(drawn=crop, **(clicks if is_stroke else {"box": box})),
    }


def dab(rng, mask):
    """A dot of the brush."""
    x, y = around_deepest_point(rng, mask)
    radius = max(2, round(rng.uniform(0.2, 0.6) * float(mask_depths(mask)[0].max())))
    return cv2.circle(np.zeros(mask.shape, np.uint8), (x, y), radius, 1, -1).astype(bool)


def turned(rng, mask):
    """A turned rectangle around it, a little loose."""
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    centre, sides, angle = cv2.minAreaRect(points)
    sides = tuple((np.array(sides) + 1) * rng.uniform(1, 1.15, 2))
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, [cv2.boxPoints((centre, sides, angle)).round().astype(np.int32)], 1)
    return drawn.astype(bool)


def scribble(rng, mask):
    """A line along the middle of most of the object, thinner than it."""
    path = skeletonize(mask)
    rows, columns = np.nonzero(path)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    low, high = np.quantile(along, sorted((rng.uniform(0, 0.2), rng.uniform(0.7, 1))))
    kept = np.zeros(mask.shape, np.uint8)
    chosen = (along >= low) & (along <= high)
    kept[rows[chosen], columns[chosen]] = 1
    radius = max(1, round(rng.uniform(0.15, 0.5) * float(mask_depths(mask)[0].max())))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(kept, brush).astype(bool)


def painting(rng, mask):
    """All of the object, with a border that wanders and a brush too thick for corners."""
    scale = np.sqrt(mask.sum())
    amplitude = max(2.0, rng.uniform(0.05, 0.15) * scale)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    noise = cv2.resize(rng.normal(size=(12, 12)).astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    wandering = (inside - outside + amplitude * (noise + 0.5) > 0).astype(np.uint8)
    radius = max(1, round(amplitude / 2))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(cv2.morphologyEx(wandering, cv2.MORPH_OPEN, brush), brush[:1, :1]).astype(bool)


def polygon(rng, mask):
    """Five to ten corners around the largest piece, mostly a little outside."""
    margin = max(2, round(rng.uniform(0.03, 0.12) * np.sqrt(mask.sum())))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    contours, _ = cv2.findContours(cv2.dilate(mask.astype(np.uint8), brush), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)[:, 0]
    corners = np.linspace(0, len(contour), int(rng.integers(6, 13)), endpoint=False) + rng.uniform(0, len(contour))
    ring = contour[corners.astype(int) % len(contour)] + rng.normal(0, margin / 2, (len(corners), 2))
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, [ring.round().astype(np.int32)], 1)
    return drawn.astype(bool)


def ellipse(rng, mask):
    """An ellipse around it, a little large and beside its middle."""
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean(), rows.mean()])
    variances, axes = np.linalg.eigh(np.cov(np.stack([columns, rows]), bias=True) + np.eye(2) / 12)
    radii = 2 * np.sqrt(variances) * rng.uniform(1, 1.25, 2)
    centre = centre + rng.normal(0, 0.05, 2) * radii.max()
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(drawn, (tuple(centre.tolist()), tuple((2 * radii).tolist()), float(angle)), 1, -1)
    return drawn.astype(bool)


STROKES = {"dab": dab, "scribble": scribble, "painting": painting}
DRAWINGS = STROKES | {"polygon": polygon, "ellipse": ellipse, "turned box": turned}


def print_table(name, ious):
    count = max(map(len, ious.values()))
    table = Table("way", *ious, title=f"{name}: mean IoU of {count} objects")
    for way in ious["polygon"][0]:
        table.add_row(way, *(f"{np.mean([by[way] for by in of_kind]):.3f}" for of_kind in ious.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
