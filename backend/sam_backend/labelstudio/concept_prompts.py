"""What an annotator asks to be found: the text of a smart text area or boxes around examples -> `Concept`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.config import LabelingConfig, Target
from sam_backend.labelstudio.drawn_outlines import Outline
from sam_backend.labelstudio.prompts import DrawnPrompt, read_drawn
from sam_backend.labelstudio.region_masks import entries_by_region, region_shape
from sam_backend.segmenters.concepts import Concept, prompts_needed
from sam_backend.segmenters.model_info import PromptKind
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE

Entry = Mapping[str, Any]

_RECTANGLES = ("rectangle", "rectanglelabels")
_SIGNS = {"positive": POSITIVE, "negative": NEGATIVE}


@dataclass(frozen=True)
class DrawnConcept:
    """A concept with boxes in per cent of the image.

    Attributes
    ----------
    target : Target, the image, and the controls that take the masks.
    text : str, "" for none.
    boxes : tuple of Outline, the rectangles.
    signs : tuple of int, 1 for a rectangle around an example, 0 for one around what is not meant.
    control, label, item_index, rotation : as of `DrawnPrompt`; the label is that of all that is found.
    """

    target: Target
    text: str
    boxes: tuple[Outline, ...] = ()
    signs: tuple[int, ...] = ()
    control: str = ""
    label: str | None = None
    item_index: int | None = None
    rotation: int = 0

    @property
    def needs(self) -> frozenset[PromptKind]:
        """The kinds of prompts that a model must take."""
        return prompts_needed(self.text, self.boxes)

    def to_concept(self, size: tuple[int, int]) -> Concept:
        """Return the concept in pixels of the image, whose real `size` is (H, W).

        Raises
        ------
        BadRequestError
            If a box lies outside the image, or nothing says what is wanted.
        """
        boxes = np.array([box.bounds(size) for box in self.boxes], np.float32).reshape(-1, 4)
        return Concept(self.text, boxes, np.array(self.signs, np.int64))


def read_concept(context_result: Sequence[Mapping[str, Any]] | None, config: LabelingConfig) -> DrawnConcept | None:
    """Read what an annotator asks to be found; None if the last region asks for something else, or nothing.

    The newest text of a smart `TextArea` asks for what it says. Rectangles of a control with the attribute `exemplars`
    ask for what looks alike; a text that the label has in the labeling config goes with them. Choices and the texts of
    other controls, which come with a text, ask for nothing.

    Parameters
    ----------
    context_result : regions as Label Studio sends them, or None.
    config : LabelingConfig of the project, as `of_task` returned it.

    Raises
    ------
    BadRequestError
        If an exemplar is no rectangle, or a region is not as Label Studio sends it.
    """
    groups = entries_by_region([entry for entry in context_result or () if _has_value(entry)])
    for group in reversed(groups):
        for entry in group:
            control = config.control(entry.get("from_name"))
            if control is not None and control.exemplars:
                return _of_exemplars(groups, entry, config)
            if control is not None and control.tag == "textarea" and control.smart and set(entry["value"]) == {"text"}:
                return _of_text(entry, control.name, config)
        if any(len(entry["value"]) > 1 or region_shape(entry) for entry in group):
            # A region with a place: it is a prompt about one object.
            return None
    return None


def _has_value(entry: object) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("value"), Mapping)


def _of_text(entry: Entry, control: str, config: LabelingConfig) -> DrawnConcept:
    texts, image, index = entry["value"]["text"], entry.get("to_name"), entry.get("item_index")
    if not isinstance(texts, list) or not texts or not isinstance(texts[-1], str):
        raise BadRequestError(f"A text area needs a list of texts; got {brief(texts)}.")
    target = config.target(image if isinstance(image, str) else None)
    # A bad text is refused before the image is encoded.
    text = Concept(texts[-1]).text
    names = {name.casefold(): label for label, name in config.texts.items()}
    names |= {label.casefold(): label for label in config.texts}
    label = names.get(text.casefold())
    return DrawnConcept(
        target,
        text,
        control=control,
        label=label if label is not None and target.knows(label) else None,
        item_index=index if isinstance(index, int) else None,
    )


def _of_exemplars(groups: Sequence[Sequence[Entry]], last: Entry, config: LabelingConfig) -> DrawnConcept:
    drawn: list[DrawnPrompt] = []
    boxes: list[Outline] = []
    signs: list[int] = []
    place = last.get("to_name"), last.get("item_index")
    for group in groups:
        for entry in group:
            control = config.control(entry.get("from_name"))
            if control is None or not control.exemplars or (entry.get("to_name"), entry.get("item_index")) != place:
                continue
            one = read_drawn(group, config, max_pixels=1) if entry.get("type") in _RECTANGLES else None
            if one is None or one.box is None:
                raise BadRequestError(
                    f"An exemplar is a box: '{brief(control.name, quoted=False)}' should be RectangleLabels with "
                    f'exemplars="{control.exemplars}"; it drew {brief(entry.get("type"))}.'
                )
            drawn.append(one)
            boxes.append(one.box)
            signs.append(_SIGNS[control.exemplars])
    newest = drawn[-1]
    return DrawnConcept(
        newest.target,
        config.given_texts.get(newest.label or "", ""),
        tuple(boxes),
        tuple(signs),
        newest.control,
        newest.label,
        newest.item_index,
        newest.rotation,
    )
