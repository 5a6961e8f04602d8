"""Model names -> segmenters, the baselines that need no model included."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from sam_backend.second_look import Focus
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.registry import known_models, load_segmenter
from sam_evaluation.baselines import Felzenszwalb, FilledBox
from sam_evaluation.errors import EvaluationError

_HEAVY = "sam:"
_BASELINES: dict[str, Callable[[], Segmenter]] = {"boxfill": FilledBox, "felzenszwalb": Felzenszwalb}


def load_model(name: str, checkpoint: Path | None = None, *, threads: int = 0, focus: Focus = Focus.AUTO) -> Segmenter:
    """Return a model or a baseline; see `sam_backend.segmenters.registry.load_segmenter` for parameters and errors."""
    if name not in _BASELINES:
        return load_segmenter(name, checkpoint, threads=threads, focus=focus)
    if checkpoint:
        raise EvaluationError(f"{name} has no weights; got the checkpoint {checkpoint}. Leave it out.")
    return _BASELINES[name]()


def check_model(name: str) -> None:
    """Check that there is such a model or baseline.

    Raises
    ------
    EvaluationError
        If not.
    """
    known = [*(info.name for info in known_models()), *_BASELINES]
    if name not in known:
        nearest = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]}?" if nearest else "."
        raise EvaluationError(f"There is no model {name!r}; the known ones are {', '.join(known)}{hint}")


def answers(model: Segmenter, needs: str) -> bool:
    """Tell whether a model takes prompts of a kind: "box", "points", "text" or "everything"."""
    if needs == "everything":
        return not hasattr(model, "prompts")
    return needs in getattr(model, "prompts", {"box", "points"})


def threads_of(model: str, jobs: int) -> int:
    """Return how many threads a model gets in each of several jobs: SAM's checkpoints share the cores, all else one.

    What takes a tenth of a second for an image goes faster with one image a core than with all cores on one image.
    """
    return max((os.cpu_count() or 1) // jobs, 1) if model.startswith(_HEAVY) else 1


def default_jobs(models: Sequence[str]) -> int:
    """Return a job a core; just one where a model is so large that each job would hold gigabytes of it."""
    return 1 if any(model.startswith(_HEAVY) for model in models) else os.cpu_count() or 1
