"""The labeling config: for each image, the controls that take the mask, and their labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cachetools import LRUCache, cached

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.config_tags import Control, read_tags
from sam_backend.labelstudio.image_tag import ImageTag, listed, look_up

# Sorted by exactness: masks, then outlines, then shapes that only surround the object.
SHAPES = ("brush", "bitmask", "polygon", "vector", "ellipse", "rectangle")
EXACT = SHAPES[:4]
"""Shapes that are drawn as masks. An ellipse or a rectangle is drawn around an object."""

_OUTPUT_TAGS = "BrushLabels, BitmaskLabels, PolygonLabels, VectorLabels, EllipseLabels or RectangleLabels"
MAX_CONTROLS = 100
"""Most controls with shapes or labels on one image."""
MAX_IMAGES = 10_000
"""Most images of a labeling config, with those that Repeater tags make."""
_CACHED_CHARACTERS = 8 * 2**20
"""Characters of all labeling configs that are kept parsed."""


@dataclass(frozen=True)
class Output:
    """The control that takes the shape of a mask, and the control that takes its label.

    `BrushLabels` is both. `Brush` takes the shape only, and `Labels` the label. `labeler` is None if no control has
    labels.
    """

    control: Control
    labeler: Control | None

    def knows(self, label: str) -> bool:
        """Return whether a mask can have the label; always true without a labeler."""
        return self.labeler is None or self.labeler.knows(label)


@dataclass(frozen=True)
class Target:
    """An image of the config with the outputs for its masks.

    Attributes
    ----------
    image : ImageTag.
    outputs : tuple of Output, at least one, the preferred one first.
    asked : (name, output) for each control whose prompts ask for an output, the preferred one first.
    """

    image: ImageTag
    outputs: tuple[Output, ...]
    asked: tuple[tuple[str, Output], ...] = ()

    def knows(self, label: str) -> bool:
        """Return whether a mask can have the label; always true if the controls have no labels."""
        return self._output(label) is not None

    def output(self, label: str | None, prompted_with: str = "") -> Output:
        """Return the output for a mask: the one that the prompt's control asks for, else the preferred one.

        Parameters
        ----------
        label : str or None, the mask's label, which the output knows; None for any.
        prompted_with : str, the name of the control that the prompt was drawn with; "" without a prompt.

        Raises
        ------
        BadRequestError
            If the controls have labels, but not this one.
        """
        for name, asked in self.asked:
            if name == prompted_with and (label is None or asked.knows(label)):
                return asked
        output = self.outputs[0] if label is None else self._output(label)
        if output is None:
            labelers = {output.labeler.name: output.labeler for output in self.outputs if output.labeler}
            known = dict.fromkeys(label for labeler in labelers.values() for label in labeler.labels)
            controls = f"control{'s' * (len(labelers) > 1)} {listed(labelers)}"
            raise BadRequestError(
                f"The label '{brief(label, quoted=False)}' is unknown to the {controls} on the image "
                f"'{self.image.name}'; {'they know' if len(labelers) > 1 else 'it knows'} {listed(known)}."
            )
        return output

    def shape(self, label: str | None) -> str:
        """Return the shape that masks with this label have; that of the first output if no output knows it."""
        return ((self._output(label) if label is not None else None) or self.outputs[0]).control.shape

    @property
    def every_output(self) -> tuple[Output, ...]:
        """The outputs, also those that take a mask only where a prompt asks for them."""
        return tuple(dict.fromkeys((*self.outputs, *(output for _, output in self.asked))))

    def narrowed(self, tag: str) -> Target:
        """Return the target with the controls of one tag alone, in lower case, for example "brushlabels".

        Raises
        ------
        BadRequestError
            If there is none; the sentence goes on after what asks for it.
        """
        outputs = tuple(output for output in self.every_output if output.control.tag == tag)
        if not outputs:
            raise BadRequestError(f"the image '{self.image.name}' has no control of the kind {tag}.")
        return replace(self, outputs=outputs)

    def tolerance(self, control: str, default: float) -> float:
        """Return the tolerance in pixels of a control's polygons: its own, or the default."""
        own = (output.control.tolerance for output in self.every_output if output.control.name == control)
        return next((tolerance for tolerance in own if tolerance is not None), default)

    def _output(self, label: str) -> Output | None:
        return next((output for output in self.outputs if output.knows(label)), None)


@dataclass(frozen=True)
class TaskImage:
    """One of the images of a task.

    Attributes
    ----------
    target : Target, its tag and the controls that take its masks.
    index : int, its place among all images of the task that take masks, from 0.
    item_index : int, its place in the list of its tag, from 0; None if the tag has no list in this task.
    """

    target: Target
    index: int
    item_index: int | None

    @property
    def place(self) -> tuple[str, int]:
        """The tag's name and the item index, 0 without a list: to what a region of this image refers."""
        return self.target.image.name, self.item_index or 0

    def address(self, data: Mapping[str, Any]) -> str:
        """Return its address in the task's data; errors as of `ImageTag.source`."""
        return self.target.image.source(data, self.item_index or 0)


@dataclass(frozen=True)
class LabelingConfig:
    """The targets of a labeling config: one for each image tag that can take masks, in document order.

    Attributes
    ----------
    targets : tuple of Target, at least one.
    xml : str, the text.
    repeated : tuple of str, the lists for whose items Repeater tags repeat tags, for example "$images".
    controls : tuple of Control, all controls, also those that take no masks.
    """

    targets: tuple[Target, ...]
    xml: str = ""
    repeated: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()

    @staticmethod
    def parse(xml: str) -> LabelingConfig:
        """Parse a labeling config; equal texts are parsed once.

        A mask goes to the control that knows its label, and of several to the most exact one. The order of preference
        is brush, bitmask, polygon, vector, ellipse, rectangle; then a control with its own labels before a bare one
        with a `Labels` tag; then a control that is no smart tool before one that is. Before all of them comes the
        control that the prompt's own control asks for (`Target.output`): by its attribute `output`, or itself if it
        draws masks and is not there for prompts alone (`smartOnly`).

        Raises
        ------
        BadRequestError
            If the text is not XML, or has no image, or no control that can take a mask, or if an attribute `output`
            names none.
        """
        return _parse(xml, None)

    def of_task(self, data: Mapping[str, Any]) -> LabelingConfig:
        """Return the config as the page shows it for a task: what a Repeater repeats has the numbers of its items."""
        if not self.repeated:
            return self
        lists = (look_up(data, field.removeprefix("$")) for field in self.repeated)
        return _parse(self.xml, tuple(len(items) if isinstance(items, list) else 0 for items in lists))

    def images(self, data: Mapping[str, Any]) -> Iterator[TaskImage]:
        """Yield every image of a task that can take masks: every tag, and every item of a tag's list."""
        index = 0
        for target in self.of_task(data).targets:
            count = target.image.count(data)
            for item_index in (None,) if count is None else range(count):
                yield TaskImage(target, index, item_index)
                index += 1

    def page(self, target: Target, item_index: int | None) -> str:
        """Return the name of an image among several of a task, for example `front[1]`; "" for the only one."""
        item = "" if item_index is None else f"[{item_index}]"
        several = item or self.repeated or len(self.targets) > 1
        return brief(target.image.name, quoted=False) + item if several else ""

    def control(self, name: object) -> Control | None:
        """Return the control with a name; None if there is none."""
        return next((control for control in self.controls if control.name == name), None)

    @cached_property
    def given_texts(self) -> Mapping[str, str]:
        """The labels with the attribute `text`, and that text; "" says that a model is not to look for the label."""
        return {label: text for control in self.controls for label, text in control.texts}

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The labels that masks can have, and what each means: its `text`, else its name as annotators see it."""
        shown = {alias: value for labeler in self._labelers for value, alias in labeler.aliases}
        texts = {label: self.given_texts.get(label, shown.get(label, label)) for label in self.labels}
        return {label: text for label, text in texts.items() if text}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that masks can have, in the order of the config; those that come with a task are not known."""
        labels = (label for labeler in self._labelers for label in labeler.labels if not label.startswith("$"))
        return tuple(dict.fromkeys(labels))

    @property
    def _labelers(self) -> list[Control]:
        return [output.labeler for target in self.targets for output in target.outputs if output.labeler]

    def knows(self, label: str) -> bool:
        """Return whether a mask on one of the images can have the label."""
        return any(target.knows(label) for target in self.targets)

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
            f"The prompt was drawn on '{brief(image_name, quoted=False)}', but the labeling config takes masks on "
            f"{listed(target.image.name for target in self.targets)}."
        )


class _Kept(LRUCache[tuple[str, tuple[int, ...] | None], LabelingConfig]):
    """Parsed labeling configs, bounded by their characters."""

    def __init__(self) -> None:
        super().__init__(_CACHED_CHARACTERS, getsizeof=lambda config: len(config.xml) * len(config.targets))


@cached(_Kept(), key=lambda xml, counts: (xml, counts), lock=threading.Lock())
def _parse(xml: str, counts: tuple[int, ...] | None) -> LabelingConfig:
    tags = read_tags(xml, counts)
    if tags.videos and not tags.images:
        raise BadRequestError(
            "Label Studio asks no model about a box on a video: draw the first box of each object, save, and run "
            "sam-inspect track --project with the project's id."
        )
    if not tags.images:
        raise BadRequestError(
            "The labeling config has no <Image> tag with a name and a value; add one, "
            'for example <Image name="image" value="$image"/>.'
            if not counts or any(counts)
            else f"The labeling config repeats its images for {listed(tags.repeated)}, where this task has no list."
        )
    controls: dict[str, list[Control]] = {}
    for control in tags.controls:
        if (control.shape in SHAPES and not control.exemplars) or control.tag == "labels":
            for name in dict.fromkeys(control.to_names):
                controls.setdefault(name, []).append(control)
    if crowded := next((name for name, those in controls.items() if len(those) > MAX_CONTROLS), None):
        raise BadRequestError(
            f"The labeling config has {len(controls[crowded])} controls with shapes or labels on "
            f"'{brief(crowded, quoted=False)}'; at most {MAX_CONTROLS} are read."
        )
    if len(tags.images) > MAX_IMAGES:
        raise BadRequestError(f"The labeling config has {len(tags.images)} images; at most {MAX_IMAGES} are read.")
    prompting: dict[str, list[Control]] = {}
    for control in tags.controls:
        draws_masks = control.shape in EXACT and not (control.smart_only or control.exemplars)
        if control.output or draws_masks:
            for name in dict.fromkeys(control.to_names):
                prompting.setdefault(name, []).append(control)
    targets = []
    for image in tags.images:
        pairs = _pairs(controls.get(image.name, ()))
        if pairs:
            asked = _asked(prompting.get(image.name, ()), pairs, image.name)
            targets.append(Target(image, _preferred(pairs), asked))
    if not targets:
        spelled = sorted({tags.spelled[control.tag] for control in tags.controls})
        raise BadRequestError(
            f"The labeling config has no control that takes a mask on {listed(image.name for image in tags.images)} "
            f"(it has {listed(spelled)}); add {_OUTPUT_TAGS}, or one of them without labels and a Labels tag."
        )
    return LabelingConfig(tuple(targets), xml, tags.repeated, tags.controls)


def _pairs(controls: Sequence[Control]) -> tuple[Output, ...]:
    """Pair every control that can take a mask with the controls that label its regions, the preferred pair first."""
    labelers: list[Control | None] = [control for control in controls if control.tag == "labels"]
    shaped = [control for control in controls if control.shape in SHAPES]
    return tuple(
        Output(control, labeler)
        for control in sorted(shaped, key=lambda control: (*_rank(control), control.smart))
        for labeler in ([control] if control.tag.endswith("labels") else labelers or [None])
    )


def _rank(control: Control) -> tuple[int, bool]:
    return SHAPES.index(control.shape), not control.tag.endswith("labels")


def _preferred(pairs: Sequence[Output]) -> tuple[Output, ...]:
    """Return the pairs of the most exact kind, and of the other kinds those with a label that none before them knows.

    The others take a mask only where a prompt asks for them.
    """
    best = _rank(pairs[0].control)
    outputs: list[Output] = []
    known: set[str] = set()
    any_label = False
    for pair in pairs:
        labeler = pair.labeler
        adds = labeler is not None and not any_label and (labeler.any_label or not known.issuperset(labeler.labels))
        if _rank(pair.control) == best or adds:
            outputs.append(pair)
            known.update(labeler.labels if labeler else ())
            any_label |= labeler is None or labeler.any_label
    return tuple(outputs)


def _asked(prompting: Sequence[Control], pairs: Sequence[Output], image: str) -> tuple[tuple[str, Output], ...]:
    """Return (name of a control, the output that its prompts ask for)."""
    asked = []
    for control in prompting:
        wanted = [pair for pair in pairs if pair.control.name == (control.output or control.name)]
        if not wanted:
            raise BadRequestError(
                f"The output of the control '{brief(control.name, quoted=False)}' is the name of a control that takes "
                f"masks on the image '{brief(image, quoted=False)}', {listed(pair.control.name for pair in pairs)}; "
                f"the labeling config says {brief(control.output)}."
            )
        asked += [(control.name, pair) for pair in wanted]
    return tuple(asked)
