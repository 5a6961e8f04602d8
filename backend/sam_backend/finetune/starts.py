"""The PyTorch form of the model that is tuned, with the weights that serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from segment_anything import sam_model_registry

from sam_backend.errors import WeightsError
from sam_backend.finetune.onnx_weights import nano_weights
from sam_backend.segmenters.entries import NANO, TUNED
from sam_backend.segmenters.nano import architecture, segmenter
from sam_backend.segmenters.registry import known_models
from sam_backend.segmenters.weights import obtain_checkpoint


@dataclass(frozen=True, eq=False)
class Start:
    """A model to be tuned.

    Attributes
    ----------
    name : as users know it.
    model : a `segment_anything.modeling.Sam`.
    size : side in pixels of the square that the encoder takes.
    pieces : whether serving keeps only the clicked pieces of a mask.
    tuned : whether its weights are another tuning's already.
    """

    name: str
    model: Any
    size: int
    pieces: bool
    tuned: bool

    def digest(self) -> str:
        """Return eight hex digits that tell the weights apart, as they are now."""
        found = hashlib.sha256()
        for name, values in self.model.state_dict().items():
            found.update(name.encode() + values.contiguous().numpy().tobytes())
        return found.hexdigest()[:8]

    @property
    def padding(self) -> tuple[int, int, int]:
        """The colour (R, G, B) of what an image does not fill: about zero once normalised."""
        red, green, blue = (round(value) for value in self.model.pixel_mean.flatten().tolist())
        return red, green, blue


def load_start(name: str, checkpoint: Path | None = None) -> Start:
    """Return a model with the weights that serving would load.

    Parameters
    ----------
    name : `nano` or `sam:*`.
    checkpoint : folder of a tuned version or of a training; None for what ships or is published.

    Raises
    ------
    WeightsError
        If weights are missing or do not fit, or the model cannot be tuned.
    """
    trainable = {info.name: info for info in known_models() if info.is_trainable}
    if name not in trainable:
        raise WeightsError(f"{name} cannot be tuned; choose one of {', '.join(trainable)}.")
    if name == NANO.name:
        model = architecture.build_nano()
        model.load_state_dict(nano_weights(checkpoint or Path(segmenter.__file__).parent))
        return Start(name, model, architecture.IMAGE_SIZE, True, checkpoint is not None)
    official = obtain_checkpoint(trainable[name].files[0])
    model = sam_model_registry[name.removeprefix("sam:")]()
    model.load_state_dict(torch.load(official, map_location="cpu", weights_only=True))
    if checkpoint:
        model.load_state_dict(torch.load(checkpoint / TUNED, map_location="cpu", weights_only=True), strict=False)
    return Start(name, model, model.image_encoder.img_size, False, checkpoint is not None)
