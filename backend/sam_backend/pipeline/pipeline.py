"""A pipeline: a file that names steps, which propose masks in an image one after the other."""

from __future__ import annotations

import hashlib
import logging
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sam_backend.errors import BadRequestError, SamInspectError, StepError, brief
from sam_backend.names import did_you_mean
from sam_backend.pipeline.built_in import STEPS
from sam_backend.pipeline.scene import Proposed, ProposedMask, Scene
from sam_backend.pipeline.step import PROJECT, WORDS, Kind, Step, StepDescription
from sam_backend.segmenters import ModelInfo
from sam_backend.segmenters.model_registry import require_prompts

logger = logging.getLogger(__name__)

ENTRY_POINTS = "sam_inspect.steps"
"""The group of entry points in which a package registers a step: name -> function or class, see `Step.read`."""


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Steps that propose masks, one after the other.

    Attributes
    ----------
    name : str, that of the file without its ending.
    version : str, the name and a hash of the file's text.
    steps : sequence of Step; each fits the one before.
    path : Path, its file.
    """

    name: str
    version: str
    steps: Sequence[Step]
    path: Path

    @classmethod
    def load(cls, path: Path) -> Pipeline:
        """Read a pipeline's file: TOML with a table `[[step]]` for each step.

        Raises
        ------
        BadRequestError
            If the file cannot be read, a step or an option does not exist, or a step does not fit the one before.
        """
        try:
            content = path.read_bytes()
            # Some editors of Windows put a mark before the text.
            parsed = tomllib.loads(content.decode("utf-8-sig"))
        except OSError as error:
            raise BadRequestError(f"The pipeline {path} cannot be read: {error.strerror or error}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequestError(f"The pipeline {path} is no TOML file: {error}.") from None
        expected = 'expected a table [[step]] for each step, with use = "everything" or another step'
        tables = parsed.pop("step", None)
        if parsed:
            raise BadRequestError(f"The pipeline {path} has {brief(next(iter(parsed)))} beside its steps; {expected}.")
        if not isinstance(tables, list) or not tables:
            raise BadRequestError(f"The pipeline {path} has no steps; {expected}.")
        steps = []
        for number, table in enumerate(tables, 1):
            use = table.get("use") if isinstance(table, dict) else None
            if not isinstance(use, str):
                raise BadRequestError(f"Step {number} of {path} names nothing to use; {expected}.")
            options = {key: value for key, value in table.items() if key != "use"}
            try:
                steps.append(Step.read(use, _step(use), options, path.parent))
            except SamInspectError as error:
                raise BadRequestError(f"{path}, step {number}: {error}") from None
        _require_fit(path, steps)
        digest = hashlib.sha256(content).hexdigest()[:8]
        return cls(path.stem, f"{path.stem}-{digest}", tuple(steps), path)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process as the path of its file, which must be the same there."""
        return self.load_version, (self.path.resolve(), self.version)

    @classmethod
    def load_version(cls, path: Path, version: str) -> Pipeline:
        """Read a pipeline's file; BadRequestError as of `load`, or if it has another version."""
        pipeline = cls.load(path)
        if pipeline.version != version:
            raise BadRequestError(
                f"The pipeline {path} has the version {pipeline.version}; expected {version}, that of the machine that "
                "asked. Copy its file."
            )
        return pipeline

    @property
    def needs_project(self) -> bool:
        """Whether a step proposes by what was accepted in the project."""
        return any(PROJECT in step.needs for step in self.steps)

    def require(self, info: ModelInfo) -> None:
        """Check that a model takes all prompts that the steps give.

        Raises
        ------
        BadRequestError
            If it does not.
        """
        require_prompts(info, {need for step in self.steps for need in step.needs if need != PROJECT})

    def propose(self, scene: Scene) -> list[ProposedMask]:
        """Return the proposed masks, the highest score first.

        Raises
        ------
        StepError
            If a step fails, or gives what its annotations do not say.
        """
        proposed: list[Proposed] = []
        for number, step in enumerate(self.steps, 1):
            try:
                proposed = step.propose(scene, proposed)
            except (BadRequestError, StepError) as error:
                raise StepError(f"Pipeline {self.name}, step {number}: {error}") from error
        masks = [one for one in proposed if isinstance(one, ProposedMask) and one.mask.part.size]
        return sorted(masks, key=lambda one: -one.score)


def known_steps() -> Iterator[StepDescription]:
    """Yield what each step does, those of other packages last; a broken one is logged and left out."""
    points = entry_points(group=ENTRY_POINTS)
    for point in points:
        if point.name in STEPS:
            logger.warning(
                "A step is left out: %s has the name %s, which is one of our own steps.", point.value, point.name
            )
    for name in dict.fromkeys((*STEPS, *sorted(point.name for point in points))):
        try:
            yield StepDescription.of(name, _step(name))
        except BadRequestError as error:
            logger.warning("A step is left out: %s", error)


def _step(name: str) -> Callable[..., Any]:
    if name in STEPS:
        return STEPS[name]
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in points:
        known = [*STEPS, *points]
        raise BadRequestError(
            f"there is no step {brief(name)}; there are {', '.join(known)}{did_you_mean(name, known)}"
        )
    try:
        loaded: Callable[..., Any] = points[name].load()
        return loaded
    except Exception as error:
        raise BadRequestError(f"the step {name} of {points[name].value} cannot be used: {error}") from error


def _require_fit(path: Path, steps: Sequence[Step]) -> None:
    """Raise BadRequestError if a step does not take what there is before it, or the last one gives no masks."""
    there: Kind | None = None
    for number, step in enumerate(steps, 1):
        has = "nothing is proposed" if there is None else f"there are {WORDS[there]}"
        if step.takes and there not in step.takes:
            wants = " or ".join(WORDS[kind] for kind in step.takes)
            raise BadRequestError(f"{path}, step {number}: {step.name} takes {wants}, but before it {has}.")
        if not step.takes and there is not None and step.gives is not there:
            assert step.gives is not None
            raise BadRequestError(
                f"{path}, step {number}: {step.name} proposes {WORDS[step.gives]}, but before it {has}; put a step "
                "segment between them."
            )
        there = step.gives or there
    if there is not ProposedMask:
        raise BadRequestError(
            f"{path} ends with boxes; add a step segment, or fill where the boxes themselves are wanted."
        )
