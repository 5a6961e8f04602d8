"""The one reader of accepted annotations: a `result` -> for each image its masks, and the regions that are no masks.

The rule, for everything that reads annotations (memory, fine-tuning, its gate, evaluation, the report of the saving):

- Brushes, bitmasks, polygons and closed vectors are masks. Key points never are.
- Rectangles and ellipses are masks only where they are the shape of the labeling config's output control for their
  label; otherwise they are prompts.
- Without a labeling config (an export file), a control whose rectangle or ellipse surrounds a mask is a prompting
  control: all its rectangles and ellipses are prompts. Those of every other control are masks.
- A region belongs to the image of its `to_name` and `item_index`, and to no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError, BrokenSampleError, brief
from sam_backend.labelstudio.config import EXACT, LabelingConfig, Target
from sam_backend.labelstudio.region_masks import (
    Region,
    entries_by_region,
    region_id,
    region_labels,
    region_mask,
    region_shape,
    regions_of,
    vector_problem,
)

Entry = Mapping[str, Any]

_MOST_IMAGES = 10**6
_SURROUNDED = 0.5
"""Share of a mask's pixels within a rectangle or ellipse from which on it surrounds the mask."""


@dataclass(frozen=True)
class UnusedRegion:
    """A region that is no mask.

    Attributes
    ----------
    id : str, of the region; "" where it has none.
    reason : str, a clause without a full stop.
    """

    id: str
    reason: str


@dataclass(frozen=True)
class MaskRule:
    """Decides which regions are masks. The default takes every region that has an area.

    Attributes
    ----------
    targets : mapping from the name of an image tag to its target; None without a labeling config.
    prompting : names of the controls whose rectangles and ellipses are prompts; with a labeling config, those whose
        rectangles are exemplars.
    """

    targets: Mapping[str, Target] | None = None
    prompting: frozenset[str] = field(default=frozenset())

    @classmethod
    def of_config(cls, config: LabelingConfig) -> MaskRule:
        """Return the rule of a labeling config."""
        exemplars = frozenset(control.name for control in config.controls if control.exemplars)
        return cls({target.image.name: target for target in config.targets}, exemplars)

    @classmethod
    def of_results(cls, results: Iterable[Sequence[Entry]]) -> MaskRule:
        """Return the rule of the annotations of an export, of which no labeling config is known."""
        prompting: set[str] = set()
        for result in results:
            for _, regions in _by_image(result):
                prompting |= _prompting_controls(regions, prompting)
        return cls(prompting=frozenset(prompting))

    def problem(self, entries: Sequence[Entry], to_name: str) -> str | None:
        """Return why the entries of one region are no mask: "" where they are one, None where they are no region."""
        shape = _shape(entries)
        if shape is None:
            return next((reason for reason in map(_problem_without_area, entries) if reason), None)
        if self.targets is None:
            is_mask = shape in EXACT or _control(entries) not in self.prompting
            return "" if is_mask else f"the {shape} is a prompt, since its control surrounds masks"
        target = self.targets.get(to_name)
        if target is None:
            return f"the labeling config takes no masks on '{brief(to_name, quoted=False)}'"
        if shape not in EXACT and _control(entries) in self.prompting:
            return f"the {shape} is an example of what to find"
        labels = next((labels for labels in map(region_labels, entries) if labels), [])
        # A label can belong to one control alone: its masks have the shape of that control.
        shapes = [target.shape(label) for label in labels] or [target.shape(None)]
        if shape in EXACT or shape in shapes:
            return ""
        return f"the {shape} is a prompt, since the labeling config takes masks as {shapes[0]}"


@dataclass(frozen=True, eq=False)
class ImageRegions:
    """The regions of a `result` on one image.

    Attributes
    ----------
    to_name : str, the name of the image tag; "" where the regions have none.
    item_index : int, which image of a list, from 0; -1 where it is no such number.
    entries : the entries of `result` that are masks or label them.
    unused : the other regions, each with the reason.
    """

    to_name: str
    item_index: int
    entries: tuple[Entry, ...] = ()
    unused: tuple[UnusedRegion, ...] = ()

    def masks(self) -> Iterator[Region]:
        """Yield the masks with their labels, empty masks too; errors as of `region_mask`."""
        yield from regions_of(self.entries)

    @property
    def left_out(self) -> str:
        """Why the image is no example: it has something, and nobody said where exactly; "" where it is one."""
        return "it has boxes or points, but no mask" if self.unused and not self.entries else ""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image of a task with its regions.

    Attributes
    ----------
    index : int, its place among all images of the task that take masks, from 0.
    address : str, as it stands in the task.
    regions : ImageRegions; without any where the whole annotation is empty.
    """

    index: int
    address: str
    regions: ImageRegions


@dataclass(frozen=True, eq=False)
class AcceptedAnnotation:
    """What one annotation says.

    Attributes
    ----------
    images : the images that have regions, by their index. The first image of the task alone where nothing is annotated:
        an image without any object.
    unused : every region that is no mask or is on no image of the task.
    """

    images: tuple[AnnotatedImage, ...]
    unused: tuple[UnusedRegion, ...]


def read_regions(result: Sequence[Entry], rule: MaskRule) -> tuple[ImageRegions, ...]:
    """Read a `result`: one `ImageRegions` for each image that has regions, in the order of their first regions."""
    images = []
    for (to_name, item_index), regions in _by_image(result):
        masks: list[Entry] = []
        unused: list[UnusedRegion] = []
        for entries in regions:
            problem = rule.problem(entries, to_name)
            if problem == "":
                masks += [entry for entry in entries if region_shape(entry)]
            elif problem:
                unused.append(UnusedRegion(region_id(entries[0]), problem))
        if masks or unused:
            images.append(ImageRegions(to_name, item_index, tuple(masks), tuple(unused)))
    return tuple(images)


def read_annotation(
    result: Sequence[Entry] | None, data: Mapping[str, Any], config: LabelingConfig
) -> AcceptedAnnotation:
    """Read an annotation of a task whose labeling config is known.

    Parameters
    ----------
    result : of the annotation.
    data : of the task.
    config : of the project.

    Raises
    ------
    BadRequestError
        If no region is on an image of the task, and the task lacks the image of the config's first image tag.
    """
    config = config.of_task(data)
    places = _places(data, config)
    images: list[AnnotatedImage] = []
    unused: list[UnusedRegion] = []
    found = read_regions(_with_names(result or (), config), MaskRule.of_config(config))
    for regions in found:
        unused += regions.unused
        if place := places.get((regions.to_name, regions.item_index)):
            images.append(AnnotatedImage(*place, regions))
        else:
            where = _nowhere(regions)
            ids = dict.fromkeys(region_id(entry) for entry in regions.entries)
            unused += [UnusedRegion(region_id, where) for region_id in ids]
    if not images:
        first = config.target().image
        address = first.source(data)
        if not found:
            images.append(AnnotatedImage(0, address, ImageRegions(first.name, 0)))
    return AcceptedAnnotation(tuple(sorted(images, key=lambda image: image.index)), tuple(unused))


def mask_regions(result: Sequence[Entry], target: Target, item_index: int = 0) -> list[dict[str, Any]]:
    """Return the entries of a `result` that are masks, or label them, on one image of a target."""
    rule = MaskRule({target.image.name: target})
    wanted = (target.image.name, item_index)
    return [
        dict(entry)
        for regions in read_regions(result, rule)
        if (regions.to_name, regions.item_index) == wanted
        for entry in regions.entries
    ]


def _places(data: Mapping[str, Any], config: LabelingConfig) -> dict[tuple[str, int], tuple[int, str]]:
    """Return the index and the address of each image of a task, by its tag's name and its item index."""
    places: dict[tuple[str, int], tuple[int, str]] = {}
    for image in config.images(data):
        with suppress(BadRequestError):
            places[image.place] = image.index, image.address(data)
    return places


def _nowhere(regions: ImageRegions) -> str:
    if regions.item_index < 0:
        return "its item_index is not the number of an image"
    return f"the task has no image number {regions.item_index + 1} of '{brief(regions.to_name, quoted=False)}'"


def _with_names(result: Sequence[Entry], config: LabelingConfig) -> list[Entry]:
    """Return the entries with the name of the only image tag where they have none, as in old annotations."""
    first = config.targets[0].image.name
    return [entry if "to_name" in entry else {**entry, "to_name": first} for entry in result]


def _by_image(result: Sequence[Entry]) -> Iterator[tuple[tuple[str, int], list[list[Entry]]]]:
    """Yield the regions of each image, a list of entries a region, by the image tag's name and the item index."""
    images: dict[tuple[str, int], list[Entry]] = {}
    for entry in result:
        item_index, to_name = entry.get("item_index") or 0, entry.get("to_name")
        valid = isinstance(item_index, int) and not isinstance(item_index, bool) and 0 <= item_index <= _MOST_IMAGES
        name = to_name if isinstance(to_name, str) else ""
        images.setdefault((name, item_index if valid else -1), []).append(entry)
    for place, entries in images.items():
        yield place, entries_by_region(entries)


def _prompting_controls(regions: Sequence[Sequence[Entry]], known: set[str]) -> set[str]:
    """Return the controls that have a rectangle or an ellipse around a more exact mask of the same image."""
    exact = [entries for entries in regions if _shape(entries) in EXACT]
    outlines = [
        entries for entries in regions if _shape(entries) not in (*EXACT, None) and _control(entries) not in known
    ]
    if not exact or not outlines:
        return set()
    masks = [mask for mask in map(_mask, exact) if mask is not None and mask.any()]
    surrounding = set()
    for entries in outlines:
        outline = _mask(entries)
        for mask in masks:
            if outline is None or outline.shape != mask.shape:
                continue
            if np.count_nonzero(mask & outline) >= _SURROUNDED * np.count_nonzero(mask):
                surrounding.add(_control(entries))
                break
    return surrounding


def _mask(entries: Sequence[Entry]) -> BoolArray | None:
    """Return the mask of one region's entries; None for a damaged one, which is reported when its image is read."""
    try:
        return next((mask for mask in map(region_mask, entries) if mask is not None), None)
    except BrokenSampleError:
        return None


def _shape(entries: Sequence[Entry]) -> str | None:
    return next((shape for shape in map(region_shape, entries) if shape), None)


def _control(entries: Sequence[Entry]) -> str:
    """Return the name of the control that drew a region; a `Labels` tag only names it."""
    drawn = next((entry for entry in entries if entry.get("type") != "labels"), entries[0])
    name = drawn.get("from_name")
    return name if isinstance(name, str) else ""


def _problem_without_area(entry: Entry) -> str | None:
    """Return why an entry has no area; None where it is no region at all: a choice, a text, a relation."""
    value = entry.get("value")
    if not isinstance(value, Mapping):
        return None
    if "sequence" in value:
        return "an object of a video is not read"
    if "vertices" in value:
        return vector_problem(value)
    return "a point has no area" if "x" in value else None
