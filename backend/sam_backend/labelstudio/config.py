"""The labeling config: for each image, the controls that take the mask, and their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sam_backend.errors import BadRequestError

# Sorted by exactness: masks, then outlines, then shapes that only surround the object.
SHAPES = ("brush", "bitmask", "polygon", "ellipse", "rectangle")
_OUTPUT_TAGS = "BrushLabels, BitmaskLabels, PolygonLabels, EllipseLabels or RectangleLabels"


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>` tag.

    Attributes
    ----------
    name : str, the name to which the controls refer in `toName`.
    value : str, `$field` with the field of the task's data that holds the image's address, or the address itself.
    """

    name: str
    value: str

    def source(self, data: Mapping[str, Any], item_index: int = 0) -> str:
        """Return the address of this tag's image.

        Parameters
        ----------
        data : the task's data.
        item_index : int, which image of a list, from 0; ignored if the data hold a single address.

        Raises
        ------
        BadRequestError
            If the task lacks the field, or the field holds no address.
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
    name : str, the `from_name` of its regions.
    tag : str, the tag in lower case, for example "brushlabels" or "rectangle"; this is also the type of its regions.
    labels : tuple of str, the values of its `<Label>` tags, or their aliases.
    any_label : bool, whether the labels come with each task (`value="$field"`), so that every label is valid.
    smart : bool, whether annotators prompt with it.
    """

    name: str
    tag: str
    labels: tuple[str, ...]
    any_label: bool
    smart: bool

    @property
    def shape(self) -> str:
        """The tag without "labels", for example "brush"; empty for the tag `Labels`."""
        return self.tag.removesuffix("labels")

    def knows(self, label: str) -> bool:
        """Return whether a region of this control can have the label."""
        return self.any_label or label in self.labels


@dataclass(frozen=True)
class Output:
    """The control that takes the shape of a mask, and the control that takes its label.

    `BrushLabels` is both. `Brush` takes the shape only, and `Labels` the label. `labeler` is None if no control has
    labels.
    """

    control: Control
    labeler: Control | None


@dataclass(frozen=True)
class Target:
    """An image of the config and the outputs for its masks, at least one, the preferred one first."""

    image: ImageTag
    outputs: tuple[Output, ...]

    def knows(self, label: str) -> bool:
        """Return whether a mask can have the label; always true if the controls have no labels."""
        labelers = [output.labeler for output in self.outputs]
        return any(labeler is None or labeler.knows(label) for labeler in labelers)

    def output(self, label: str | None) -> Output:
        """Return the output for a mask with this label; the first output for None.

        Raises
        ------
        BadRequestError
            If the controls have labels, but not this one.
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
    """The targets of a labeling config: one for each image that can take masks, in document order."""

    targets: tuple[Target, ...]

    @staticmethod
    def parse(xml: str) -> LabelingConfig:
        """Parse a labeling config; equal texts are parsed once.

        Exactly one kind of an image's controls takes the masks. The order of preference is brush, bitmask, polygon,
        ellipse, rectangle; then a control with its own labels before a bare one with a `Labels` tag; then a control
        that is no smart tool before one that is.

        Raises
        ------
        BadRequestError
            If the text is not XML, or has no image, or no control that can take a mask.
        """
        return _parse(xml)

    def target(self, image_name: str | None = None) -> Target:
        """Return the target with this image name; the first target for None.

        Raises
        ------
        BadRequestError
            If no image with this name can take masks.
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
    from label_studio_sdk.label_interface.interface import LabelInterface

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
    """Pair every control of the preferred kind with the controls that label its regions."""
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
