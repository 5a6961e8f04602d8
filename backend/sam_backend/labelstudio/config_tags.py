"""The XML of a labeling config -> its image tags and its controls, in document order."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.image_tag import ImageTag

MAX_XML = 8 * 2**20
"""Most characters of a labeling config, with the copies that its Repeater tags make."""

_MAX_TAGS = 500_000
_UNSHOWN = ("style", "script")
"""Tags whose content the page does not show."""


@dataclass(frozen=True)
class Control:
    """A control tag on an image.

    Attributes
    ----------
    name : str, the `from_name` of its regions.
    tag : str, the tag in lower case, for example "brushlabels" or "rectangle"; this is also the type of its regions.
    labels : tuple of str, the values of its `<Label>` tags, or their aliases.
    any_label : bool, whether the labels come with each task (`value="$field"`), so that every label is valid.
    smart : bool, whether annotators prompt with it.
    to_names : tuple of str, the names of the tags that it is for.
    aliases : (value, alias) of each `<Label>` with both; regions have the alias.
    smart_only : bool, whether annotators do nothing else with it.
    output : str, its attribute `output`: the name of the control that takes the masks of its prompts; "" for none.
    tolerance : float or None, its attribute `tolerance`: of its polygons and vectors, in pixels.
    texts : (label, text) of each `<Label>` with the attribute `text`, which tells a model what the label means.
    exemplars : str, "positive" or "negative" where its rectangles are examples of what to find; else "".
    """

    name: str
    tag: str
    labels: tuple[str, ...]
    any_label: bool
    smart: bool
    to_names: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    smart_only: bool = False
    output: str = ""
    tolerance: float | None = None
    texts: tuple[tuple[str, str], ...] = ()
    exemplars: str = ""

    @property
    def shape(self) -> str:
        """The shape of its regions, for example "brush"; empty for the tag `Labels`."""
        return "brush" if self.tag == "magicwand" else self.tag.removesuffix("labels")

    def knows(self, label: str) -> bool:
        """Return whether a region of this control can have the label."""
        return self.any_label or self.named(label) in self.labels

    def named(self, label: str) -> str:
        """Return the label as regions of this control have it: another control can know it by its value alone."""
        return label if label in self.labels else dict(self.aliases).get(label, label)


@dataclass(frozen=True)
class VideoTag:
    """A `<Video>` tag.

    Attributes
    ----------
    tag : ImageTag, its name and value.
    framerate : str, its attribute; "" without one.
    """

    tag: ImageTag
    framerate: str


@dataclass(frozen=True)
class ConfigTags:
    """The tags of a labeling config that this backend uses.

    Attributes
    ----------
    images : tuple of ImageTag, in document order.
    controls : tuple of Control, in document order.
    spelled : the spelling of each control's tag in the config, by its lower-case form.
    repeated : tuple of str, the value of `on` of each Repeater, for example "$images".
    videos : tuple of VideoTag, in document order.
    """

    images: tuple[ImageTag, ...]
    controls: tuple[Control, ...]
    spelled: Mapping[str, str]
    repeated: tuple[str, ...]
    videos: tuple[VideoTag, ...] = ()


@dataclass
class _Labels:
    """The labels of a control, gathered while its content is read."""

    values: dict[str, None] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    any_label: bool = False


_Place = tuple[ET.Element, dict[str, str], _Labels | None]
_NO_FLAGS: dict[str, str] = {}
_NO_LABELS: _Labels | None = None


def read_tags(xml: str, counts: Sequence[int] | None = None) -> ConfigTags:
    """Read a labeling config. Tags and attributes are known in any case, as on the labeling page.

    Parameters
    ----------
    xml : str, the labeling config.
    counts : how many copies each Repeater makes; None leaves its content as it is written.

    Raises
    ------
    BadRequestError
        If the text is not XML, declares a document type (and so perhaps entities), or is too large, or if the attribute
        `exemplars` of a control is neither "positive" nor "negative".
    """
    copies = sum(counts or ())
    if len(xml) * max(copies, 1) > MAX_XML:
        raise BadRequestError(
            f"The labeling config has {len(xml)} characters{f', repeated {copies} times' if copies > 1 else ''}; "
            f"at most {MAX_XML} are read."
        )
    root = _parse(xml)
    repeated = tuple(_attributes(element, {}).get("on", "") for element in root.iter() if _kind(element) == "repeater")
    images: list[ImageTag] = []
    videos: list[VideoTag] = []
    controls: list[tuple[str, dict[str, str], _Labels]] = []
    spelled: dict[str, str] = {}
    for element, attributes, labels in _walk(root, counts):
        kind, name = _kind(element), attributes.get("name")
        if kind == "label" and labels is not None:
            value = attributes.get("alias") or attributes.get("value")
            if value:
                labels.values[value] = None
                if shown := attributes.get("value"):
                    labels.aliases.setdefault(shown, value)
                if (text := attributes.get("text")) is not None:
                    labels.texts[value] = text.strip()
                labels.any_label |= value.startswith("$")
        elif kind == "image" and name and (value := attributes.get("valuelist") or attributes.get("value")):
            images.append(ImageTag(name, value))
        elif kind == "video" and name and attributes.get("value"):
            videos.append(VideoTag(ImageTag(name, attributes["value"]), attributes.get("framerate", "").strip()))
        elif labels is not None and name and attributes.get("toname") and kind != "label":
            labels.any_label |= attributes.get("value", "").startswith("$") or bool(attributes.get("apiurl"))
            controls.append((kind, attributes, labels))
            spelled[kind] = _local(element)
    made = tuple(_control(*control) for control in controls)
    return ConfigTags(tuple(images), made, spelled, repeated, tuple(videos))


def _parse(xml: str) -> ET.Element:
    text = xml.lstrip("\ufeff \t\r\n")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadRequestError(
            "The labeling config declares a document type or entities, which Label Studio does not take either; "
            "remove <!DOCTYPE …>."
        )
    try:
        return ET.fromstring(text)  # noqa: S314 - no entities # nosec B314
    except (ET.ParseError, ValueError) as error:
        raise BadRequestError(f"The labeling config is not valid XML: {str(error)[:300]}.") from None


def _walk(root: ET.Element, counts: Sequence[int] | None) -> Iterator[_Place]:
    """Yield the elements in document order, each with its attributes and the labels of the control that it is in.

    The content of a Repeater is yielded once for each copy, with the copy's number in its attributes.
    """
    repeaters = [element for element in root.iter() if _kind(element) == "repeater"]
    copies = dict(zip(repeaters, counts, strict=True)) if counts is not None else {}
    stack = [iter([(root, _NO_FLAGS, _NO_LABELS)])]
    visited = 0
    while stack:
        place = next(stack[-1], None)
        if place is None:
            stack.pop()
            continue
        element, flags, labels = place
        kind, attributes = _kind(element), _attributes(element, flags)
        visited += 1
        if visited > _MAX_TAGS:
            raise BadRequestError(f"The labeling config has more than {_MAX_TAGS} tags; at most that many are read.")
        if kind in _UNSHOWN:
            continue
        if attributes.get("name") and attributes.get("toname") and kind != "label":
            labels = _Labels()
        yield element, attributes, labels
        if element in copies:
            flag = attributes.get("indexflag") or "{{idx}}"
            stack.append(_copies(element, {**flags}, flag, copies[element], labels))
        else:
            stack.append(iter([(child, flags, labels) for child in element]))


def _copies(
    element: ET.Element, flags: dict[str, str], flag: str, count: int, labels: _Labels | None
) -> Iterator[_Place]:
    for number in range(count):
        for child in element:
            yield child, {**flags, flag: str(number)}, labels


def _attributes(element: ET.Element, flags: Mapping[str, str]) -> dict[str, str]:
    attributes = {name.lower(): value for name, value in element.attrib.items()}
    for flag, number in flags.items():
        attributes = {name: value.replace(flag, number) for name, value in attributes.items()}
    return attributes


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _kind(element: ET.Element) -> str:
    return _local(element).lower()


def _control(kind: str, attributes: Mapping[str, str], labels: _Labels) -> Control:
    exemplars = attributes.get("exemplars", "")
    if exemplars not in ("", "positive", "negative"):
        raise BadRequestError(
            f"The attribute exemplars of '{brief(attributes['name'], quoted=False)}' in the labeling config should be "
            f'"positive" or "negative"; got {brief(exemplars)}.'
        )
    return Control(
        name=attributes["name"],
        tag=kind,
        labels=tuple(labels.values),
        any_label=labels.any_label,
        smart=attributes.get("smart", "").lower() == "true",
        smart_only=attributes.get("smartonly", "").lower() == "true",
        output=attributes.get("output", ""),
        tolerance=_tolerance(attributes),
        aliases=tuple((shown, alias) for shown, alias in labels.aliases.items() if shown != alias),
        to_names=tuple(name.strip() for name in attributes["toname"].split(",")),
        texts=tuple(labels.texts.items()),
        exemplars=exemplars,
    )


def _tolerance(attributes: Mapping[str, str]) -> float | None:
    text = attributes.get("tolerance")
    if text is None:
        return None
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = math.nan
    if not 0 <= tolerance < math.inf:
        raise BadRequestError(
            f"The tolerance of the control '{brief(attributes['name'], quoted=False)}' is a number of pixels, 0 or "
            f"more; the labeling config says {brief(text)}."
        )
    return tolerance
