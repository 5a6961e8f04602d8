"""Reads an ordinary function or a class as a step of a pipeline: what it takes and gives, and its options."""

from __future__ import annotations

import inspect
import json
import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, create_model

from sam_backend.errors import BadRequestError, SamInspectError, StepError, brief
from sam_backend.names import did_you_mean
from sam_backend.pipeline.scene import Proposed, ProposedBox, ProposedMask, Scene
from sam_backend.samples import Cropped
from sam_backend.segmenters.model_info import PromptKind

Kind = type[ProposedBox] | type[ProposedMask]

WORDS: Mapping[Kind, str] = {ProposedBox: "boxes", ProposedMask: "masks"}
"""What boxes and masks are called in messages."""

Need = PromptKind | Literal["project"]
"""What a step needs: a kind of prompt that the model takes, or what was accepted in the project."""

PROJECT: Literal["project"] = "project"

AnyCallable = TypeVar("AnyCallable", bound=Callable[..., object])


def needs(*what: Need) -> Callable[[AnyCallable], AnyCallable]:
    """Mark a step with what it needs, which is checked before any work."""

    def mark(step: AnyCallable) -> AnyCallable:
        step.needs = frozenset(what)  # type: ignore[attr-defined]
        return step

    return mark


def _existing(path: Path, info: ValidationInfo) -> Path:
    file = Path(str(info.context), path.expanduser())
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    return file


Share = Annotated[float, Field(ge=0, le=1)]
"""An option from 0 to 1."""

File = Annotated[Path, AfterValidator(_existing)]
"""An option that names a file, relative to the folder of the pipeline's file."""


@dataclass(frozen=True, eq=False)
class Step:
    """A step with its options.

    Attributes
    ----------
    name : str, as the pipeline's file calls it.
    run : function of the scene, and of what was proposed before unless the step begins.
    takes : tuple of ProposedBox or ProposedMask; empty for a step that begins.
    gives : ProposedBox or ProposedMask; None for a step that gives what it takes.
    needs : what it needs.
    """

    name: str
    run: Callable[..., Sequence[Proposed]]
    takes: tuple[Kind, ...]
    gives: Kind | None
    needs: frozenset[Need]

    @classmethod
    def read(cls, name: str, step: Callable[..., Any], options: Mapping[str, object], folder: Path) -> Step:
        """Read a step.

        Parameters
        ----------
        name : str, for messages.
        step : a function `(scene, proposed, *, options)` or `(scene, *, options)`; or a class whose parameters are the
            options and whose `__call__` is such a function without them. Its annotations say what it takes and gives.
        options : the options as the file has them.
        folder : Path, files that options name are relative to it.

        Raises
        ------
        BadRequestError
            If an option is unknown, missing or wrong, or the annotations are those of no step.
        """
        is_class = inspect.isclass(step)
        takes, gives = _kinds(name, _function(step))
        values = _checked(name, step, is_class, options, folder)
        try:
            run = step(**values) if is_class else partial(step, **values)
        except (SamInspectError, MemoryError):
            raise
        except Exception as error:
            raise BadRequestError(f"The step {name} cannot be used: {_reason(error)}.") from error
        return cls(name, run, takes, gives, getattr(run if is_class else step, "needs", frozenset()))

    def propose(self, scene: Scene, proposed: Sequence[Proposed]) -> list[Proposed]:
        """Return what is proposed after the step; what a step that begins proposes comes behind what was there.

        Raises
        ------
        StepError
            If the step fails, or gives what its annotations do not say.
        """
        try:
            given = list(self.run(scene, proposed) if self.takes else self.run(scene))
        except (SamInspectError, TimeoutError, MemoryError):
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise StepError(
                f"The step {self.name} failed with {_reason(error)} ({Path(place.filename).name}, line {place.lineno})."
            ) from error
        for one in given:
            if reason := _wrong(one, self.takes if self.gives is None else (self.gives,), scene.size):
                raise StepError(f"The step {self.name} gave {reason}.")
        return given if self.takes else [*proposed, *given]


@dataclass(frozen=True)
class StepDescription:
    """What a user must know to use a step.

    Attributes
    ----------
    name : str.
    takes, gives : str, "boxes", "masks", "boxes or masks"; "" for nothing before it.
    options : tuple of str, each with its default, as in a pipeline's file; one without a default must be given.
    summary : str, one sentence.
    """

    name: str
    takes: str
    gives: str
    options: tuple[str, ...]
    summary: str

    @classmethod
    def of(cls, name: str, step: Callable[..., Any]) -> StepDescription:
        """Describe a step; raises BadRequestError as `Step.read`."""
        takes, gives = _kinds(name, _function(step))
        before = " or ".join(WORDS[kind] for kind in takes)
        options = [
            one.name if one.default is one.empty else f"{one.name} = {_default(one.default)}" for one in _options(step)
        ]
        summary = (inspect.getdoc(step) or "").partition("\n")[0]
        return cls(name, before, WORDS[gives] if gives else before, tuple(options), summary)


def _default(value: object) -> str:
    """Return a default as a pipeline's file has it; TOML has no word for None."""
    if value is None:
        return "none"
    return repr(value) if isinstance(value, float) else json.dumps(value, default=str, ensure_ascii=False)


def _reason(error: Exception) -> str:
    return brief(" ".join(f"{type(error).__name__}: {error}".split()), quoted=False)


def _wrong(one: object, kinds: tuple[Kind, ...], size: tuple[int, int]) -> str:
    """Return what is wrong with a box or mask that a step gave for an image of a size; "" if nothing."""
    words = " or ".join(WORDS[kind] for kind in kinds)
    if not isinstance(one, kinds):
        return f"{type(one).__name__} where {words} were expected"
    if not isinstance(one.label, str | None):
        return f"the label {brief(one.label)}; expected a text or None"
    if not _are_numbers([one.score]):
        return f"the score {brief(one.score)}; expected a number from 0 to 1"
    if isinstance(one, ProposedBox):
        is_box = isinstance(one.box, Sequence) and len(one.box) == 4 and _are_numbers(one.box)
        return "" if is_box else f"the box {brief(one.box)}; expected four numbers"
    if not isinstance(one.mask, Cropped):
        return f"{type(one.mask).__name__} as a mask; expected Cropped.of(mask)"
    if tuple(one.mask.size) != tuple(size):
        return f"a mask for an image of {list(one.mask.size)} pixels (height, width), but this one has {list(size)}"
    return ""


def _are_numbers(values: Iterable[object]) -> bool:
    return all(isinstance(value, Real) and math.isfinite(value) for value in values)


def _function(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs: the function itself, or the method of a class."""
    return getattr(step, "__call__") if inspect.isclass(step) else step  # noqa: B004, B009


def _options(step: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters that a file gives: all of a class, those by keyword alone of a function."""
    parameters = inspect.signature(step).parameters.values()
    return [one for one in parameters if inspect.isclass(step) or one.kind is one.KEYWORD_ONLY]


def _kinds(name: str, function: Callable[..., Any]) -> tuple[tuple[Kind, ...], Kind | None]:
    """Return what a function takes and gives, by its annotations."""
    try:
        hints = get_type_hints(function)
        places = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        given = [one.name for one in inspect.signature(function).parameters.values() if one.kind in places]
        inputs = [hints[one] for one in given if one != "self"]
        (output,) = get_args(hints["return"])
        if inputs[0] is not Scene or len(inputs) > 2:
            raise TypeError
        takes = _named(get_args(inputs[1])[0]) if inputs[1:] else ()
        gives = None if isinstance(output, TypeVar) else _named(output)[0]
    except (KeyError, IndexError, ValueError, TypeError, NameError):
        raise BadRequestError(
            f"The step {name} is none: expected a function annotated like (scene: Scene, proposed: "
            "Sequence[ProposedMask], *, least: int = 20) -> list[ProposedMask]."
        ) from None
    return takes, gives


def _named(hint: object) -> tuple[Kind, ...]:
    kinds = hint.__constraints__ if isinstance(hint, TypeVar) else (hint,)
    if not kinds or not all(kind in WORDS for kind in kinds):
        raise TypeError(hint)
    return kinds


def _checked(
    name: str, step: Callable[..., Any], is_class: bool, options: Mapping[str, object], folder: Path
) -> dict[str, Any]:
    """Return the options as the types that the step asks for."""
    hints = get_type_hints(step.__init__ if is_class else step, include_extras=True)
    known: dict[str, Any] = {
        one.name: (hints.get(one.name, Any), ... if one.default is one.empty else one.default) for one in _options(step)
    }
    for option in options:
        if option not in known:
            which = ", ".join(known) or "none"
            raise BadRequestError(
                f"The step {name} has no option {option}; it takes {which}{did_you_mean(option, known)}"
            )
    model = create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **known)
    try:
        checked: BaseModel = model.model_validate(options, context=folder)
    except ValidationError as reason:
        first = reason.errors(include_url=False, include_input=False)[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        message = message.replace("a valid tuple", "a list").replace("a valid dictionary", "a table")
        raise BadRequestError(f"The option {place} of the step {name} is wrong: {message}.") from None
    return {option: getattr(checked, option) for option in known}
