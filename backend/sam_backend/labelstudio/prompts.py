"""The prompt that an annotator drew with smart tools: an interactive request's `context.result` -> `Prompt`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.config import SHAPES, LabelingConfig, Target
from sam_backend.labelstudio.drawn_outlines import Outline, number_of, read_outline
from sam_backend.labelstudio.region_masks import MAX_SIDE
from sam_backend.labelstudio.strokes import points_along, read_stroke
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE, Prompt

_LOG = logging.getLogger(__name__)
# Label Studio computes per cents in floating point: a click on the edge can lie slightly outside the image.
_EDGE = 1e-6
_STROKES = ("brush", "bitmask", "magicwand")
_PROMPTS = ("keypoint", *_STROKES, *SHAPES)

# The bounds of one prompt; a person at the page stays far below them.
MAX_REGIONS = 1_000
MAX_CLICKS = 200
MAX_STROKES = 16


@dataclass(frozen=True)
class Click:
    """A point in per cent of the image's width and height."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class DrawnPrompt:
    """A prompt in per cent of the image.

    Attributes
    ----------
    target : Target, the image with the prompt, and the controls that take the mask.
    clicks : tuple of Click, the oldest first.
    box : Outline, the last box; None if there is none.
    stroke : Cropped, the pixels of all strokes, along which there are clicks too; None if there is none.
    control : str, the name of the control that the last prompt was drawn with.
    label : str, the chosen label, which the target knows; None if none was chosen.
    item_index : int, which image of a list; None if the task has no list.
    original_size : (height, width) in pixels of the image in Label Studio; None if the request lacks it.
    rotation : int, degrees by which the page showed the image turned; coordinates are those of the upright image.
    ids : tuple of str, the ids of the drawn prompts on this image, the oldest first.
    has_own_labels : bool, whether the last prompt's tool has labels of its own. Label Studio 1.23 lets such a tool draw
        only while no region is selected.
    """

    target: Target
    clicks: tuple[Click, ...] = ()
    box: Outline | None = None
    stroke: Cropped | None = None
    control: str = ""
    label: str | None = None
    item_index: int | None = None
    original_size: tuple[int, int] | None = None
    rotation: int = 0
    ids: tuple[str, ...] = ()
    has_own_labels: bool = False

    def to_prompt(self, size: tuple[int, int]) -> Prompt:
        """Return the prompt in pixels of the image, whose real `size` is (H, W).

        Raises
        ------
        BadRequestError
            If the box lies outside the image.
        """
        height, width = size
        if self.original_size not in (None, size):
            _LOG.warning(
                "Label Studio says that the image is %s pixels high and wide, but it is %s; "
                "per cents are read on the real one.",
                self.original_size,
                size,
            )
        points = np.array([(click.x * width, click.y * height) for click in self.clicks], np.float32).reshape(-1, 2)
        return Prompt(
            # A click on the right or bottom edge is a click on the last pixel.
            points=(points / 100).clip(0, (width - 0.5, height - 0.5)),
            labels=np.array([POSITIVE if click.positive else NEGATIVE for click in self.clicks], np.int64),
            box=self.box.bounds(size) if self.box else None,
            drawn=self._inside(size),
        )

    def _inside(self, size: tuple[int, int]) -> Cropped | None:
        """Return the pixels of what was drawn, if they say more than its clicks and its box."""
        drawn = self.stroke if self.stroke and self.stroke.size == size else None
        if self.box is None or self.box.is_box:
            return drawn
        inside = self.box.inside(size)
        return inside if drawn is None else drawn.joined(inside)


def read_drawn(
    context_result: Sequence[Mapping[str, Any]] | None, config: LabelingConfig, *, max_pixels: int
) -> DrawnPrompt | None:
    """Read the drawn regions; return None if none of them is a prompt.

    Key points become clicks. Rectangles, ellipses, polygons and vectors become boxes. Strokes of the brush, the bitmask
    and the magic wand become positive clicks along the stroke. Of strokes, and of outlines that are no upright boxes,
    the pixels are kept too. Only the last box is used, because Label Studio sends every box that is not accepted yet.
    Only the regions on the image of the last prompt are used, because Label Studio sends those of the other images of
    the task too. Regions of other kinds (a `Labels` result, a choice, a text) give a label at most. So does a second
    result of a region: if labels of two controls are selected, a key point comes as a result of each.

    Parameters
    ----------
    context_result : regions as Label Studio sends them, or None.
    config : LabelingConfig of the project, as `of_task` returned it.
    max_pixels : int, the largest image whose strokes are decoded.

    Raises
    ------
    BadRequestError
        If a region lacks a coordinate, has no size, lies outside the image, has a label that the config lacks, if
        there are too many regions, strokes or points, or strokes without pixels alone.
    """
    regions = list(context_result or ())
    if len(regions) > MAX_REGIONS:
        raise BadRequestError(
            f"{len(regions)} drawn regions came at once; at most {MAX_REGIONS} are read. Accept or reject what is open."
        )
    for region in regions:
        if not isinstance(region, Mapping) or not isinstance(region.get("value"), Mapping):
            value = region.get("value") if isinstance(region, Mapping) else None
            raise BadRequestError(f"A drawn region needs a value with its coordinates; got {brief(value)}.")
    prompts = _prompts(regions)
    if not prompts:
        return None
    last, first = regions[max(prompts)], config.targets[0].image.name
    place = _place(last, first)
    clicks: list[Click] = []
    box: Outline | None = None
    label: str | None = None
    strokes: list[Cropped] = []
    ids: list[str] = []
    for index, region in enumerate(regions):
        if _place(region, first) != place:
            continue
        value, shape = region["value"], _shape(region)
        label = _label(value, _kind(region)) or label
        if index not in prompts:
            continue
        ids.append(str(region.get("id", "")))
        if shape == "keypoint":
            clicks.append(_click(value, positive=region.get("is_positive") is not False))
        elif shape in _STROKES:
            if len(strokes) == MAX_STROKES:
                raise BadRequestError(
                    f"More than {MAX_STROKES} strokes came at once; accept or reject the open ones, or draw one stroke."
                )
            encoded = "bitmask" if shape == "bitmask" else "brush"
            strokes.append(read_stroke(value, encoded, _size(region), max_pixels))
            clicks.extend(Click(x, y) for x, y in points_along(strokes[-1]))
        else:
            box = read_outline(value, shape)
    if len(clicks) > MAX_CLICKS:
        raise BadRequestError(f"A prompt may have {MAX_CLICKS} clicks; it has {len(clicks)}. Accept what is open.")
    if not (clicks or box):
        raise BadRequestError("The stroke has no pixels; draw it again, or click.")
    target = config.target(place[0])
    control = last.get("from_name")
    control = control if isinstance(control, str) else ""
    target.output(label, control)
    of_image = [one for one in strokes if one.size == _size(last)]
    item_index = None if last.get("item_index") is None else place[1]
    return DrawnPrompt(
        target,
        tuple(clicks),
        box,
        reduce(Cropped.joined, of_image) if of_image else None,
        control,
        label,
        item_index,
        _size(last),
        _rotation(last),
        ids=tuple(ids),
        has_own_labels=_kind(last).endswith("labels"),
    )


def _prompts(regions: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the places of the prompts: the first result of each region that has a prompt's shape."""
    places: dict[object, int] = {}
    for index, region in enumerate(regions):
        if _shape(region) in _PROMPTS:
            places.setdefault(str(region.get("id") or "") or index, index)
    return set(places.values())


def _shape(region: Mapping[str, Any]) -> str:
    return _kind(region).removesuffix("labels")


def _kind(region: Mapping[str, Any]) -> str:
    kind = region.get("type")
    return kind if isinstance(kind, str) else ""


def _place(region: Mapping[str, Any], first: str) -> tuple[str, int]:
    """Return the image of a region: the name of its tag, the `first` one's where it names none, and its item index."""
    to_name, item_index = region.get("to_name"), region.get("item_index")
    if item_index is not None and (isinstance(item_index, bool) or not isinstance(item_index, int)):
        raise BadRequestError(
            f"item_index should be the number of an image in the task's list; got {brief(item_index)}."
        )
    if to_name is not None and not isinstance(to_name, str):
        raise BadRequestError(f"to_name should be the name of an Image tag; got {brief(to_name)}.")
    return first if to_name is None else to_name, item_index or 0


def _rotation(region: Mapping[str, Any]) -> int:
    rotation = region.get("image_rotation")
    return rotation if rotation in (90, 180, 270) and isinstance(rotation, int) else 0


def _label(value: Mapping[str, Any], kind: str) -> str | None:
    # A bare shape has its label under `labels`.
    labels = value.get(kind if kind.endswith("labels") else "labels")
    return str(labels[0]) if isinstance(labels, list) and labels and isinstance(labels[0], str) else None


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = region.get("original_height"), region.get("original_width")
    if not all(
        isinstance(side, int) and not isinstance(side, bool) and 0 < side <= MAX_SIDE for side in (height, width)
    ):
        return None
    return height, width  # type: ignore[return-value]


def _click(value: Mapping[str, Any], *, positive: bool) -> Click:
    x, y = (number_of(value, axis, "A key point") for axis in "xy")
    if not (-_EDGE <= x <= 100 + _EDGE and -_EDGE <= y <= 100 + _EDGE):
        raise BadRequestError(f"A key point must lie inside the image, within 0 to 100 per cent; got x {x:g}, y {y:g}.")
    return Click(x, y, positive)
