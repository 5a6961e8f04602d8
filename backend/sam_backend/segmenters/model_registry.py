"""Model names -> entries and segmenters: the models of this project and those of installed packages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from sam_backend.errors import BadRequestError, UnknownModelError
from sam_backend.extras import require
from sam_backend.names import did_you_mean
from sam_backend.second_look import Focus
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.exported import PREFIX, exported_info
from sam_backend.segmenters.model_info import ModelInfo, PromptKind, WeightFolders
from sam_backend.segmenters.protocol import Embedding, Segmenter

logger = logging.getLogger(__name__)

ENTRY_POINTS = "sam_inspect.segmenters"
"""The group of entry points in which a package registers a model: name -> `ModelInfo`, or a function returning it."""

_PLURALS: dict[PromptKind, str] = {"box": "boxes", "text": "texts", "exemplars": "exemplar boxes"}


def known_models() -> tuple[ModelInfo, ...]:
    """Return the entry of every model, the embedded one first, those of other packages last."""
    return *OWN.values(), *_of_packages()


def model_info(name: str) -> ModelInfo:
    """Return the entry of one model; `onnx:` and a folder is the one that `sam-inspect export-model` wrote there.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    WeightsError
        If the folder holds no exported model.
    """
    if name.startswith(PREFIX):
        return exported_info(name, OWN)
    known = {info.name: info for info in known_models()}
    if name not in known:
        raise UnknownModelError(
            f"There is no model {name!r}; the known ones are {', '.join(known)}{did_you_mean(name, known)}"
        )
    return known[name]


def load_segmenter(
    name: str,
    checkpoint: Path | None = None,
    *,
    threads: int = 0,
    focus: Focus = Focus.AUTO,
    folders: WeightFolders | None = None,
) -> Segmenter:
    """Load a model; download its checkpoint where that is needed and possible.

    Parameters
    ----------
    name : str, one of the names of `known_models`, or `onnx:` and the folder of an exported model.
    checkpoint : Path or None, the file or folder of its weights instead of the default places: a `.pth` or the folder
        of a tuned version for `sam:*`, a folder for `nano`; `grabcut` has none.
    threads : int, the number of threads that it computes with, for several processes side by side; 0 for all cores.
    focus : Focus, when it takes a second look at what is small in the image (`sam_backend.segmenters.focus`). AUTO
        does so for the models for which it pays. A model without a second look has the same version as with OFF.
        Prompts with a mask are answered by the refiner (`sam_backend.segmenters.correcting`).
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    MissingExtraError
        If the model needs packages that are not installed.
    WeightsError
        If its weights are missing, corrupt, or cannot be downloaded.
    """
    info = model_info(name)
    require(info.packages, name, info.install)
    from sam_backend.segmenters.correcting import Correcting, shipped_refiner

    segmenter = info.load(info, checkpoint, threads, folders or WeightFolders.of_settings(None))
    if focus is Focus.ON or (focus is Focus.AUTO and info.focus_pays):
        from sam_backend.segmenters.focus import PAYS_FROM, Focused

        segmenter = Focused(segmenter, PAYS_FROM if focus is Focus.AUTO else 1.0)
    return Correcting(segmenter, shipped_refiner())


def no_features(embedding: Embedding) -> BadRequestError:
    """Return the error that `Segmenter.features` raises for a model without features."""
    suitable = _families(info for info in known_models() if info.has_features)
    return BadRequestError(
        f"Examples are remembered by the features of {suitable}; "
        f"this model's embedding has only {list(embedding.arrays)}."
    )


def require_prompts(info: ModelInfo, kinds: Collection[PromptKind]) -> None:
    """Check that a model takes prompts of some kinds.

    Raises
    ------
    BadRequestError
        If it does not; the message names the models that do.
    """
    if missing := sorted(set(kinds) - info.prompts):
        able = _families(other for other in known_models() if other.prompts.issuperset(kinds))
        what = " and ".join(_PLURALS.get(kind, kind) for kind in missing)
        instead = f"serve {able} instead" if able else "no known model does"
        raise BadRequestError(f"The model {info.name} takes no {what}; {instead}.")


def _families(infos: Iterable[ModelInfo]) -> str:
    """Return the names of models, those of one family by a pattern: `nano or sam:*`."""
    parts = (info.name.partition(":") for info in infos)
    return " or ".join(dict.fromkeys(family + colon + "*" * bool(colon) for family, colon, _ in parts))


@cache
def _of_packages() -> tuple[ModelInfo, ...]:
    """Return the entries that other packages register; a broken one is logged and left out."""
    entries: dict[str, ModelInfo] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            registered = point.load()
            info = registered if isinstance(registered, ModelInfo) else registered()
            if not isinstance(info, ModelInfo):
                raise TypeError(f"it gives {type(info).__name__}, not ModelInfo")
        except Exception as error:
            logger.warning("The model %s of %s cannot be used: %s", point.name, point.value, error)
            continue
        if info.name in OWN or info.name in entries:
            logger.warning("The model %s of %s is left out: the name is taken.", info.name, point.value)
            continue
        entries[info.name] = info
    return tuple(entries.values())
