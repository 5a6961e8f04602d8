"""Checks of a model: its weights, that it loads, and a click without Label Studio."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.doctor.findings import BrokenOffError, Check, Outcome
from sam_backend.doctor.machine import Found
from sam_backend.errors import SamInspectError
from sam_backend.segmenters import ModelInfo, Prompt, Segmenter, WeightFolders
from sam_backend.segmenters.hub import find_weights
from sam_backend.segmenters.protocol import POSITIVE
from sam_backend.settings import Settings

_SIDE = 512
_SLOW = 2.0
"""Seconds of CPU for an image from which an annotator notices every first click."""


def model_checks(
    settings: Settings, info: ModelInfo, load: Callable[[], Segmenter], checkpoint: Path | None
) -> list[Check]:
    """Return the checks of a model, each of which needs the one before."""
    loaded: list[Segmenter] = []

    def weights() -> Found:
        folders = WeightFolders.of_settings(settings)
        missing = [one for one in info.weights if find_weights(one, folders) is None]
        if missing and checkpoint is None:
            size = sum(one.size for one in missing) / 1e6
            raise BrokenOffError(
                f"The weights of {info.name} are not here ({size:,.0f} MB).",
                f"sam-inspect download {info.name}, or put them into the folder SAM_INSPECT_WEIGHTS.",
            )
        where = "given with --checkpoint" if checkpoint else "here" if info.weights else "part of the package"
        yield Outcome.OK, f"The weights of {info.name} are {where}.", ""

    def loads() -> Found:
        start = time.monotonic()
        try:
            loaded.append(load())
        except SamInspectError as error:
            raise BrokenOffError(str(error), f"sam-inspect models shows what {info.name} needs.") from None
        yield (
            Outcome.OK,
            f"{loaded[0].version} is loaded in {time.monotonic() - start:.1f} s; weights are checked by their SHA-256.",
            "",
        )

    def click() -> Found:
        segmenter, image = loaded[0], _image()
        start, cpu = time.monotonic(), time.process_time()
        embedding = segmenter.encode(image)
        encoded = time.monotonic()
        middle = np.full((1, 2), _SIDE / 2, np.float32)
        around = np.array([_SIDE / 2 - 80, _SIDE / 2 - 80, _SIDE / 2 + 80, _SIDE / 2 + 80], np.float32)
        prompt = Prompt(middle, np.array([POSITIVE])) if "points" in info.prompts else Prompt(box=around)
        (answer,) = segmenter.decode(embedding, [prompt])
        end, cpu = time.monotonic(), time.process_time() - cpu
        if not np.asarray(answer.masks[answer.best]).any():
            yield Outcome.WARNING, f"{info.name} found nothing under a click on a dark disc.", "Check the weights."
            return
        found = (
            f"A click on an image of {_SIDE} x {_SIDE} pixels: {(encoded - start) * 1000:.0f} ms to encode it, "
            f"{(end - encoded) * 1000:.0f} ms to answer."
        )
        if cpu > _SLOW and end - start > _SLOW:
            yield Outcome.WARNING, found, "Serve a smaller model, such as nano, or use a GPU; see docs/performance.md."
        else:
            yield Outcome.OK, found, ""

    return [Check("weights", weights), Check("model", loads), Check("click", click)]


def _image() -> ImageArray:
    """Return a dark disc on a bright, noisy surface, uint8 RGB."""
    rows, columns = np.indices((_SIDE, _SIDE)) - _SIDE / 2
    surface = np.random.default_rng(0).normal(180, 6, (_SIDE, _SIDE)) - 110 * (np.hypot(rows, columns) < 70)
    return np.repeat(surface.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
