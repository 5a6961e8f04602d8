"""Model names -> segmenters; the only list of the models there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from sam_backend.errors import MissingExtraError, UnknownModelError, WeightsError
from sam_backend.second_look import Focus
from sam_backend.segmenters.protocol import Segmenter
from sam_backend.segmenters.weights import CHECKPOINTS, Checkpoint, find_checkpoint, obtain_checkpoint

TORCH_EXTRA = "pip install 'sam-inspect[torch]'"

TUNED = "weights.pt"
"""What a folder of a tuned `sam:*` holds: the weights that differ from the official checkpoint's."""


@dataclass(frozen=True)
class ModelInfo:
    """What a user must know to choose a model.

    Attributes
    ----------
    name : what `load_segmenter` takes.
    description : what it is, in one line.
    licence : SPDX identifier of the licence of its weights or, without weights, of its code.
    checkpoint : the file of weights it needs beside the package; None when the package is enough.
    weights : where that file lies on this machine (not checked yet), or None.
    missing_packages : what it imports and this machine does not have.
    """

    name: str
    description: str
    licence: str
    checkpoint: Checkpoint | None = None
    weights: Path | None = None
    missing_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    description: str
    licence: str
    load: Callable[[str, Path | None, int], Segmenter]
    packages: tuple[str, ...] = ()
    focus_pays: bool = False


def _load_nano(_name: str, checkpoint: Path | None, threads: int) -> Segmenter:
    from sam_backend.segmenters.nano.segmenter import NanoSegmenter

    return NanoSegmenter(checkpoint, threads)


def _load_grabcut(name: str, checkpoint: Path | None, _threads: int) -> Segmenter:
    if checkpoint:
        raise WeightsError(f"{name} has no weights; got the checkpoint {checkpoint}. Leave it out.")
    from sam_backend.segmenters.grabcut import GrabCutSegmenter

    return GrabCutSegmenter()


def _load_sam(name: str, checkpoint: Path | None, threads: int) -> Segmenter:
    tuned = checkpoint / TUNED if checkpoint and checkpoint.is_dir() else None
    path = obtain_checkpoint(CHECKPOINTS[name], None if tuned else checkpoint)
    # After the weights, for torch takes seconds to import, and missing weights should be told at once.
    from sam_backend.segmenters.sam import SamSegmenter

    segmenter = SamSegmenter.from_checkpoint(name, path, tuned=tuned)
    if threads:
        import torch

        torch.set_num_threads(threads)
    return segmenter


_TORCH = ("torch", "torchvision", "segment_anything")

_ENTRIES: dict[str, _Entry] = {
    "nano": _Entry(
        "The embedded model: SAM's architecture made small; ships with the package.",
        "Apache-2.0",
        _load_nano,
        focus_pays=True,
    ),
    "sam:vit_b": _Entry("The official SAM with a ViT-B encoder, 91 M parameters.", "Apache-2.0", _load_sam, _TORCH),
    "sam:vit_l": _Entry("The official SAM with a ViT-L encoder, 308 M parameters.", "Apache-2.0", _load_sam, _TORCH),
    "sam:vit_h": _Entry("The official SAM with a ViT-H encoder, 636 M parameters.", "Apache-2.0", _load_sam, _TORCH),
    "grabcut": _Entry("OpenCV's GrabCut, the classical baseline; no weights.", "Apache-2.0", _load_grabcut),
}


def known_models() -> tuple[ModelInfo, ...]:
    """Return every model there is, the embedded one first; looks for files of weights but opens none."""
    return tuple(_describe(name, entry) for name, entry in _ENTRIES.items())


def model_info(name: str) -> ModelInfo:
    """Return what is known of one model.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    """
    return _describe(name, _entry(name))


def load_segmenter(
    name: str, checkpoint: Path | None = None, *, threads: int = 0, focus: Focus = Focus.AUTO
) -> Segmenter:
    """Load a model, downloading its checkpoint where that is needed and possible.

    Parameters
    ----------
    name : one of the names of `known_models`.
    checkpoint : where its weights are, instead of the places that are looked in by default: a `.pth` or the folder of a
        tuned version for `sam:*`, a folder for `nano`; `grabcut` has none.
    threads : that it computes with, for several processes side by side; 0 for as many as there are cores.
    focus : when it takes a second look, as `sam_backend.segmenters.focus` does: at what is small in the image. AUTO is
        for `nano` alone; what it does not change has no other version than with OFF.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    MissingExtraError
        If the model needs packages that are not installed.
    WeightsError
        If its weights are missing, corrupt, or cannot be downloaded.
    """
    entry = _entry(name)
    if missing := _missing(entry):
        raise MissingExtraError(f"{name} needs {' and '.join(missing)}, not installed here; run {TORCH_EXTRA}")
    segmenter = entry.load(name, checkpoint, threads)
    if focus is Focus.OFF or (focus is Focus.AUTO and not entry.focus_pays):
        return segmenter
    from sam_backend.segmenters.focus import PAYS_FROM, Focused

    return Focused(segmenter, PAYS_FROM if focus is Focus.AUTO else 1.0)


def _entry(name: str) -> _Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    nearest = get_close_matches(name.lower(), _ENTRIES, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    raise UnknownModelError(f"There is no model {name!r}; the known ones are {', '.join(_ENTRIES)}{hint}")


def _missing(entry: _Entry) -> tuple[str, ...]:
    return tuple(package for package in entry.packages if find_spec(package) is None)


def _describe(name: str, entry: _Entry) -> ModelInfo:
    checkpoint = CHECKPOINTS.get(name)
    weights = find_checkpoint(checkpoint) if checkpoint else None
    return ModelInfo(name, entry.description, entry.licence, checkpoint, weights, _missing(entry))
