"""Writes labeling configs in which every tool works."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import quoteattr

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.config import SHAPES
from sam_backend.names import did_you_mean

_COLOURS = ("#e6194b", "#4363d8", "#3cb44b", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#9a6324")
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""Most of them are not allowed in XML."""
_TAGS = {shape: f"{shape.capitalize()}Labels" for shape in SHAPES}


def write_config(labels: Sequence[str], controls: Sequence[str] = ("brush",)) -> str:
    """Return a labeling config with a smart key point and a smart rectangle for prompts, and controls for masks.

    Each of several controls has tools of its own, which name it by their attribute `output`.

    Parameters
    ----------
    labels : the labels of all controls and tools, in the order of their keys.
    controls : names of `SHAPES`.

    Raises
    ------
    BadRequestError
        If there is no label or no control, one is named twice or has control characters, or a control is unknown.
    """
    for what, names in (("label", labels), ("control", controls)):
        if not names or not all(name.strip() for name in names):
            raise BadRequestError(f"Name at least one {what}, and none that is empty.")
        if odd := next((name for name in names if _CONTROL_CHARACTERS.search(name)), None):
            raise BadRequestError(f"The {what} {brief(odd)} has line ends or control characters; leave them out.")
        if twice := next((name for name in names if list(names).count(name) > 1), None):
            raise BadRequestError(f"The {what} {twice!r} is named twice.")
    for control in controls:
        if control not in SHAPES:
            known = ", ".join(SHAPES)
            raise BadRequestError(f"There is no control {control!r}; there are {known}{did_you_mean(control, SHAPES)}")
    side_by_side = "".join(
        f'  <View><Header size="5" value="{title}"/>{tag}</View>\n' for title, tag in _tools(labels, controls)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <View style="display: flex; flex-wrap: wrap; gap: 0 2em">\n{side_by_side}  </View>\n</View>\n'
    )


def _tools(labels: Sequence[str], controls: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the title and the tag of each tool and control."""
    choices = "".join(
        f"<Label value={quoteattr(label)} background={quoteattr(_COLOURS[number % len(_COLOURS)])}/>"
        for number, label in enumerate(labels)
    )
    smart = 'toName="image" smart="true" smartOnly="true"'
    for control in controls:
        several = len(controls) > 1
        suffix, output = (f"-{control}", f' output="{control}"') if several else ("", "")
        what = f" → {control}" if several else ""
        yield f"Click{what}", f'<KeyPointLabels name="click{suffix}" {smart}{output}>{choices}</KeyPointLabels>'
        yield f"Box{what}", f'<RectangleLabels name="box{suffix}" {smart}{output}>{choices}</RectangleLabels>'
    for control in controls:
        name, title = (control, control.capitalize()) if len(controls) > 1 else ("mask", "Mask")
        tag = _TAGS[control]
        yield title, f'<{tag} name="{name}" toName="image">{choices}</{tag}>'
