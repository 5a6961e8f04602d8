"""The last step before tuned weights serve: they are verified, loaded and asked one click."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sam_backend.errors import SamInspectError, WeightsError
from sam_backend.finetune.version_record import VersionError, read_record
from sam_backend.finetune.versions import SHIPPED, Versions
from sam_backend.segmenters import Prompt, Segmenter

logger = logging.getLogger(__name__)

LoadWeights = Callable[[Path | None], Segmenter]
"""A function that loads a segmenter from the folder of a version, or what ships for None."""

_SIZE = (96, 128)
"""Height and width in pixels of the image of the test click."""


@dataclass(frozen=True, eq=False)
class ServedVersion:
    """The model that serves.

    Attributes
    ----------
    segmenter : Segmenter.
    name : str, its version, or `SHIPPED`.
    folder : Path or None, the folder of the version; None for what ships.
    problem : str, why it is not the version that was promoted, or what could not be checked of it; empty if nothing.
    """

    segmenter: Segmenter
    name: str
    folder: Path | None
    problem: str = ""


def load_served(versions: Versions, model: str, load: LoadWeights) -> ServedVersion:
    """Load the promoted version of a model; if it is damaged, load what ships and say why.

    Raises
    ------
    SamInspectError
        If what ships cannot be loaded either.
    """
    serving = versions.serving(model)
    problem = serving.problem
    if serving.folder is not None:
        try:
            return load_version(versions, serving.name, load)
        except SamInspectError as error:
            problem = f"The shipped {model} serves, not {serving.name}, which was promoted. {error}"
    if problem:
        logger.error("%s", problem)
    return ServedVersion(load(None), SHIPPED, None, problem)


def load_version(versions: Versions, name: str, load: LoadWeights) -> ServedVersion:
    """Verify a version, load it and ask it one click.

    Raises
    ------
    VersionError
        If there is no such version, or its record or a file is damaged.
    WeightsError
        If it cannot be loaded, or does not answer the click.
    """
    folder = versions.verified(name)
    try:
        segmenter = load(folder)
    except SamInspectError as error:
        raise VersionError(f"{name} cannot be used: {error}") from error
    except Exception as error:
        raise WeightsError(f"{name} cannot be used: loading it failed ({_short(error)}); fine-tune again.") from error
    require_answer(segmenter, name)
    problem = ""
    if not read_record(folder).files:
        problem = (
            f"{name} was made before versions recorded their files' SHA-256: it answered a test click, but whether its "
            "files changed cannot be checked. Fine-tune again to have them checked."
        )
        logger.warning("%s", problem)
    return ServedVersion(segmenter, name, folder, problem)


def promote(versions: Versions, name: str, load: LoadWeights) -> str:
    """Let a version serve from now on, after it was verified, loaded and asked one click.

    Returns
    -------
    str
        The name of the version that served before.

    Raises
    ------
    VersionError, WeightsError
        If it is damaged or does not answer.
    OSError
        If the promotion cannot be written.
    """
    load_version(versions, name, load)
    return versions.promote(name)


def require_answer(segmenter: Segmenter, name: str) -> None:
    """Ask a model for the mask of a bright square in a synthetic image; check shapes and finite numbers.

    Parameters
    ----------
    segmenter : Segmenter.
    name : str, what the messages call it, for example "nano-0003".

    Raises
    ------
    WeightsError
        If it fails, or its answer is no answer.
    """
    height, width = _SIZE
    image = np.full((height, width, 3), 60, np.uint8)
    image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 200
    click = Prompt(points=np.array([[width / 2, height / 2]]), labels=np.array([1]))
    try:
        (answer,) = segmenter.decode(segmenter.encode(image), [click])
        masks, numbers = np.asarray(answer.masks), (np.asarray(answer.predicted_iou), np.asarray(answer.logits))
    except Exception as error:
        raise WeightsError(
            f"{name} cannot be used: it fails on a test click ({_short(error)}); its files may be damaged or mixed up. "
            "Fine-tune again."
        ) from error
    count = len(masks)
    shapes_fit = masks.shape[1:] == _SIZE and all(len(values) == count for values in numbers)
    if not count or masks.dtype != np.bool_ or not shapes_fit or not all(np.isfinite(part).all() for part in numbers):
        raise WeightsError(
            f"{name} cannot be used: its answer to a test click is no mask with finite numbers; its files may be "
            "damaged. Fine-tune again."
        )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]} …"
