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
from sam_backend.segmenters.concepts import Concept
from sam_backend.segmenters.model_info import PromptKind
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE

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
        kinds: dict[PromptKind, bool] = {"text": bool(self.text), "exemplars": bool(self.boxes)}
        return frozenset(kind for kind, is_there in kinds.items() if is_there)

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
    ask for what looks alike; a text that the label has in the labeling config goes with them.

    Parameters
    ----------
    context_result : regions as Label Studio sends them, or None.
    config : LabelingConfig of the project, as `of_task` returned it.

    Raises
    ------
    BadRequestError
        If an exemplar is no rectangle, or a region is not as Label Studio sends it.
    """
    last = context_result[-1] if context_result else None
    if not isinstance(last, Mapping) or not isinstance(last.get("value"), Mapping):
        return None
    control = config.control(last.get("from_name"))
    if control is None:
        return None
    if control.tag == "textarea" and control.smart:
        return _of_text(last, control.name, config)
    return _of_exemplars(context_result or (), last, config) if control.exemplars else None


def _of_text(region: Mapping[str, Any], control: str, config: LabelingConfig) -> DrawnConcept | None:
    texts, image = region["value"].get("text"), region.get("to_name")
    if set(region["value"]) != {"text"}:
        # A text about a region, which has its shape beside the text.
        return None
    if not isinstance(texts, list) or not texts or not isinstance(texts[-1], str):
        raise BadRequestError(f"A text area needs a list of texts; got {brief(texts)}.")
    target, item_index = config.target(image if isinstance(image, str) else None), region.get("item_index")
    # A bad text is refused before the image is encoded.
    text = Concept(texts[-1]).text
    meanings = ((label, meaning) for label, meaning in config.texts.items() if target.knows(label))
    label = next(
        (label for label, meaning in meanings if text.casefold() in (label.casefold(), meaning.casefold())), None
    )
    return DrawnConcept(
        target, text, control=control, label=label, item_index=item_index if isinstance(item_index, int) else None
    )


def _of_exemplars(
    regions: Sequence[Mapping[str, Any]], last: Mapping[str, Any], config: LabelingConfig
) -> DrawnConcept:
    drawn: list[DrawnPrompt] = []
    boxes: list[Outline] = []
    signs: list[int] = []
    place = last.get("to_name"), last.get("item_index")
    for region in regions:
        control = config.control(region.get("from_name")) if isinstance(region, Mapping) else None
        if control is None or not control.exemplars or (region.get("to_name"), region.get("item_index")) != place:
            continue
        one = read_drawn([region], config, max_pixels=1) if region.get("type") in _RECTANGLES else None
        if one is None or one.box is None:
            raise BadRequestError(
                f"An exemplar is a box: '{brief(control.name, quoted=False)}' should be RectangleLabels with "
                f'exemplars="{control.exemplars}"; it drew {brief(region.get("type"))}.'
            )
        drawn.append(one)
        boxes.append(one.box)
        signs.append(_SIGNS[control.exemplars])
    newest = drawn[-1]
    text = config.given_texts.get(newest.label or "", "")
    return DrawnConcept(
        newest.target,
        text,
        tuple(boxes),
        tuple(signs),
        newest.control,
        newest.label,
        newest.item_index,
        newest.rotation,
    )
