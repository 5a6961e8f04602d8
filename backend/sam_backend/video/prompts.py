"""The prompts of a video as a user writes them: `frame=0,box=10,20,50,60,label=person`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sam_backend.arrays import BoolArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.protocol import NEGATIVE, POSITIVE, Prompt
from sam_backend.video.reading import Video

_KEY = re.compile(r"(?:^|,)\s*(frame|id|label|box|click|not|mask)\s*=")
_FORM = "frame=0,box=10,20,50,60,label=person, or click=x,y, not=x,y and mask=file.png in place of the box"


@dataclass(frozen=True, eq=False)
class VideoPrompt:
    """Where an object is in one frame.

    Attributes
    ----------
    frame : int, from 0.
    number : int, the object's; prompts with one number are about one object.
    label : str, its class; "" for none.
    prompt : Prompt, in pixels of the frame; with a mask and no points, that is the object.
    text : str, as the user wrote it, for messages.
    """

    frame: int
    number: int
    label: str
    prompt: Prompt
    text: str


def read_prompts(texts: Sequence[str]) -> list[VideoPrompt]:
    """Read prompts; one without `id` is about a new object.

    Raises
    ------
    BadRequestError
        If a text is no prompt, a mask cannot be read, or one object has two labels or two prompts in a frame.
    """
    prompts: list[VideoPrompt] = []
    for text in texts:
        fields = _fields(text)
        used = {prompt.number for prompt in prompts}
        number = _whole(fields, "id", text) if "id" in fields else max(used, default=0) + 1
        label = fields["label"][0] if "label" in fields else _known_label(prompts, number)
        prompts.append(VideoPrompt(_whole(fields, "frame", text), number, label, _prompt(fields, text), text))
    for index, one in enumerate(prompts):
        for other in prompts[:index]:
            if one.number == other.number and one.frame == other.frame:
                raise BadRequestError(f"Object {one.number} has two prompts in frame {one.frame}; give it one.")
            if one.number == other.number and one.label != other.label:
                raise BadRequestError(f"Object {one.number} has two labels, {other.label!r} and {one.label!r}.")
    return prompts


def check_prompts(prompts: Sequence[VideoPrompt], video: Video) -> None:
    """Check that prompts lie in the frames of a video.

    Raises
    ------
    BadRequestError
        If a frame does not exist, or a prompt lies outside of it or has a mask of another size.
    """
    height, width = video.size
    for one in prompts:
        if one.frame >= len(video):
            raise BadRequestError(
                f"The prompt {one.text!r} is about frame {one.frame}; {video.name} has {len(video)} frames, the last "
                f"one is {len(video) - 1}."
            )
        prompt = one.prompt
        if prompt.mask is not None and prompt.mask.shape != video.size:
            raise BadRequestError(
                f"The mask of {one.text!r} is {prompt.mask.shape[1]} x {prompt.mask.shape[0]} pixels; the frames of "
                f"{video.name} are {width} x {height}."
            )
        corners = np.zeros((0, 2), np.float32) if prompt.box is None else prompt.box.reshape(2, 2)
        inside = (prompt.points >= 0).all() and (prompt.points < [width, height]).all()
        if not inside or (corners < 0).any() or (corners > [width, height]).any():
            raise BadRequestError(
                f"The prompt {one.text!r} lies outside of the frames of {video.name}, which are {width} x {height} "
                "pixels."
            )


def by_frame(prompts: Sequence[VideoPrompt]) -> Mapping[int, Mapping[int, Prompt]]:
    """Return number of a frame -> number of an object -> prompt."""
    frames: dict[int, dict[int, Prompt]] = {}
    for one in prompts:
        frames.setdefault(one.frame, {})[one.number] = one.prompt
    return frames


def _fields(text: str) -> dict[str, list[str]]:
    parts = _KEY.split(text)
    fields: dict[str, list[str]] = {}
    for key, value in zip(parts[1::2], parts[2::2], strict=True):
        fields.setdefault(key, []).append(value.strip())
    twice = next((key for key, values in fields.items() if len(values) > 1 and key not in ("click", "not")), None)
    if parts[0].strip() or "frame" not in fields or twice:
        wrong = f"has {twice} twice" if twice else "cannot be read"
        raise BadRequestError(f"The prompt {text!r} {wrong}; expected {_FORM}.")
    return fields


def _known_label(prompts: Sequence[VideoPrompt], number: int) -> str:
    return next((one.label for one in prompts if one.number == number), "")


def _whole(fields: Mapping[str, list[str]], key: str, text: str) -> int:
    (value,) = fields[key]
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise BadRequestError(f"The {key} of the prompt {text!r} is a whole number, 0 or more; got {value!r}.")
    return int(value)


def _numbers(value: str, count: int, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise BadRequestError(f"In the prompt {text!r}, {value!r} is not {count} numbers; expected {_FORM}.")
    return numbers


def _prompt(fields: Mapping[str, list[str]], text: str) -> Prompt:
    if "mask" in fields:
        if "box" in fields or "click" in fields or "not" in fields:
            raise BadRequestError(f"The prompt {text!r} has a mask, which stands alone; leave out box and clicks.")
        return Prompt(mask=_mask(Path(fields["mask"][0]), text))
    points = [(_numbers(value, 2, text), POSITIVE) for value in fields.get("click", ())]
    points += [(_numbers(value, 2, text), NEGATIVE) for value in fields.get("not", ())]
    box = _numbers(fields["box"][0], 4, text) if "box" in fields else None
    if box is None and not fields.get("click"):
        raise BadRequestError(f"The prompt {text!r} does not say where the object is; expected {_FORM}.")
    places = np.array([place for place, _ in points], np.float32).reshape(-1, 2)
    signs = np.array([sign for _, sign in points], np.int64)
    return Prompt(places, signs, None if box is None else np.array(box, np.float32))


def _mask(path: Path, text: str) -> BoolArray:
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) > 0
    # Pillow answers damaged files with errors of many types, SyntaxError among them.
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRequestError(f"The mask of the prompt {text!r} cannot be read: {reason}.") from None
    if not mask.any():
        raise BadRequestError(f"The mask of the prompt {text!r} is empty.")
    return mask
