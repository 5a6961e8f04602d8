"""A labeling config as this backend needs it: per image, the control that takes the mask and the labels it knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sam_backend.errors import BadRequestError

# Most exact first: a mask, then outlines, then shapes that only surround it.
SHAPES = ("brush", "bitmask", "polygon", "ellipse", "rectangle")
_OUTPUT_TAGS = "BrushLabels, BitmaskLabels, PolygonLabels, EllipseLabels or RectangleLabels"


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>` tag.

    Attributes
    ----------
    name : what controls name in `toName`.
    value : `$field` of the task's data that holds the image's address, or the address itself.
    """

    name: str
    value: str

    def source(self, data: Mapping[str, Any], item_index: int = 0) -> str:
        """Return the address of this tag's image in a task's `data`; of a list of images, the one at `item_index`.

        Raises
        ------
        BadRequestError
            If the task has no such field, or no address in it.
        """
        source = self.value
        if source.startswith("$"):
            field = source[1:]
            if field not in data:
                raise BadRequestError(
                    f"The labeling config takes the image from the field '{field}', which this task lacks; "
                    f"it has {_listed(data)}."
                )
            source = data[field]
        if isinstance(source, list):
            if not 0 <= item_index < len(source):
                raise BadRequestError(f"The task has {len(source)} images; it was asked for number {item_index + 1}.")
            source = source[item_index]
        if not isinstance(source, str) or not source:
            raise BadRequestError(f"The task's field '{self.value}' should hold an image's address; got {source!r}.")
        return source

    def count(self, data: Mapping[str, Any]) -> int:
        """Return how many images of this tag a task's `data` has: the length of its list, or 1."""
        source = data.get(self.value.removeprefix("$")) if self.value.startswith("$") else self.value
        return len(source) if isinstance(source, list) else 1


@dataclass(frozen=True)
class Control:
    """A control tag on an image.

    Attributes
    ----------
    name : what its regions have as `from_name`.
    tag : `brushlabels`, `rectangle`, `labels`, ...: in lower case, and so also its regions' type.
    labels : the values of its `<Label>` tags, or their aliases.
    any_label : whether its labels come with each task (`value="$field"`), so that none can be called unknown.
    smart : whether annotators prompt with it.
    """

    name: str
    tag: str
    labels: tuple[str, ...]
    any_label: bool
    smart: bool

    @property
    def shape(self) -> str:
        """Its tag without `labels`: `brush`, `polygon`, ...; empty for the tag `Labels`."""
        return self.tag.removesuffix("labels")

    def knows(self, label: str) -> bool:
        """Whether a region of this control can carry the label."""
        return self.any_label or label in self.labels


@dataclass(frozen=True)
class Output:
    """Where a mask goes: the control that takes its shape, and the control whose labels name it.

    They are one (`BrushLabels`) or two (`Brush` and `Labels`); without any labels, `labeler` is None.
    """

    control: Control
    labeler: Control | None


@dataclass(frozen=True)
class Target:
    """An image of the config with the outputs for masks on it, the preferred one first; never none."""

    image: ImageTag
    outputs: tuple[Output, ...]

    def knows(self, label: str) -> bool:
        """Whether a mask can carry the label; any can where the controls have no labels."""
        labelers = [output.labeler for output in self.outputs]
        return any(labeler is None or labeler.knows(label) for labeler in labelers)

    def output(self, label: str | None) -> Output:
        """Return the output that takes a mask with this label; the first one for None.

        Raises
        ------
        BadRequestError
            If the controls have labels, and this is none of them.
        """
        first = self.outputs[0]
        if label is None or first.labeler is None:
            return first
        known: dict[str, None] = {}
        for output in self.outputs:
            if output.labeler is not None:
                if output.labeler.knows(label):
                    return output
                known.update(dict.fromkeys(output.labeler.labels))
        raise BadRequestError(
            f"The label '{label}' is unknown to the control '{first.labeler.name}', which takes the mask; "
            f"it knows {_listed(known)}."
        )


@dataclass(frozen=True)
class LabelingConfig:
    """What a labeling config asks of this backend: one target an image that can take masks, in document order."""

    targets: tuple[Target, ...]

    @staticmethod
    def parse(xml: str) -> LabelingConfig:
        """Read a labeling config; equal texts are parsed once.

        Of an image's controls exactly one kind takes the masks: brush before bitmask, polygon, ellipse and
        rectangle; a kind with its own labels before the bare kind with a `Labels` tag; and a control that
        annotators only draw with before one that is itself a smart prompt.

        Raises
        ------
        BadRequestError
            If it is not XML, or has no image, or no control that could take a mask.
        """
        return _parse(xml)

    def target(self, image_name: str | None = None) -> Target:
        """Return the target whose `<Image>` has this name; the first one for None.

        Raises
        ------
        BadRequestError
            If no image of that name can take masks.
        """
        for target in self.targets:
            if image_name in (None, target.image.name):
                return target
        raise BadRequestError(
            f"The prompt was drawn on '{image_name}', but the labeling config takes masks on "
            f"{_listed(target.image.name for target in self.targets)}."
        )


@lru_cache(maxsize=256)
def _parse(xml: str) -> LabelingConfig:
    # Imported late, because it is slow and a service must listen before it.
    from label_studio_sdk.label_interface import LabelInterface

    try:
        interface = LabelInterface(xml)
    # The SDK raises a bare Exception or one of lxml's, depending on what is wrong.
    except Exception as error:
        raise BadRequestError(f"The labeling config is not valid XML: {str(error).rstrip('.')}.") from error
    images = [ImageTag(tag.name, tag.value) for tag in interface.image_tags]
    if not images:
        raise BadRequestError(
            "The labeling config has no <Image> tag with a name and a value; add one, "
            'for example <Image name="image" value="$image"/>.'
        )
    targets = []
    for image in images:
        controls = [_control(tag) for tag in interface.controls if image.name in tag.to_name]
        if outputs := _outputs(controls):
            targets.append(Target(image, outputs))
    if not targets:
        found = sorted({tag.tag for tag in interface.controls})
        raise BadRequestError(
            f"The labeling config has no control that takes a mask on the image '{images[0].name}' "
            f"(it has {_listed(found)}); add {_OUTPUT_TAGS}, or one of them without labels and a Labels tag."
        )
    return LabelingConfig(tuple(targets))


def _control(tag: Any) -> Control:
    return Control(
        name=tag.name,
        tag=tag.tag.lower(),
        labels=tuple(tag.labels),
        any_label=bool(tag.dynamic_value),
        smart=tag.attr.get("smart", "false").lower() == "true",
    )


def _outputs(controls: list[Control]) -> tuple[Output, ...]:
    """Pair every control of the preferred kind with the controls that name its regions."""
    shaped = [control for control in controls if control.shape in SHAPES]
    if not shaped:
        return ()

    def rank(control: Control) -> tuple[int, bool]:
        return SHAPES.index(control.shape), control.tag == control.shape

    best = min(map(rank, shaped))
    chosen = sorted((control for control in shaped if rank(control) == best), key=lambda control: control.smart)
    labelers: list[Control | None] = [control for control in controls if control.tag == "labels"]
    outputs: list[Output] = []
    for control in chosen:
        if control.tag != control.shape:
            outputs.append(Output(control, control))
        else:
            outputs.extend(Output(control, labeler) for labeler in labelers or [None])
    return tuple(outputs)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
