"""The PyTorch form of a model that can be tuned, with the weights that serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from segment_anything import sam_model_registry
from torch import Tensor

from sam_backend.errors import WeightsError
from sam_backend.files import write_whole
from sam_backend.finetune.adapters import merge_adapters
from sam_backend.finetune.onnx_export import export_nano
from sam_backend.finetune.tunable_models import require_tunable
from sam_backend.segmenters import WeightFolders
from sam_backend.segmenters.entries import NANO, TUNED, tuned_weights
from sam_backend.segmenters.model_registry import model_info
from sam_backend.segmenters.nano import architecture, segmenter
from sam_backend.segmenters.sam import read_tuned
from sam_backend.segmenters.weights import obtain_checkpoint


@dataclass(frozen=True, eq=False)
class TrainableModel:
    """A model that can be tuned.

    Attributes
    ----------
    name : str, the name users know it by, for example "sam:vit_b".
    model : a `segment_anything.modeling.Sam`.
    size : int, side in pixels of the square image that the encoder takes.
    clicked_pieces : bool, whether serving keeps only the clicked pieces of a mask.
    official : Path or None, the published checkpoint of a `sam:*`.
    """

    name: str
    model: Any
    size: int
    clicked_pieces: bool
    official: Path | None = None

    def digest(self) -> str:
        """Return eight hex digits that identify the present weights."""
        return digest_of(self.model.state_dict())[:8]

    @property
    def padding(self) -> tuple[int, int, int]:
        """The colour (R, G, B) around an image that does not fill the square: about zero once normalised."""
        red, green, blue = (round(value) for value in self.model.pixel_mean.flatten().tolist())
        return red, green, blue

    def write(self, folder: Path) -> None:
        """Write what serving loads, and what the next fine-tuning starts from, into an existing folder.

        A `nano` becomes three ONNX files and its weights. A `sam:*` becomes the weights that differ from its published
        checkpoint, since an encoder that was never trained has hundreds of megabytes.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        merge_adapters(self.model.image_encoder)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        if self.name == NANO.name:
            export_nano(weights, folder)
        else:
            assert self.official is not None
            published = torch.load(self.official, map_location="cpu", weights_only=True)
            weights = {name: value for name, value in weights.items() if not torch.equal(value, published[name])}
        # `save_file` would let only this user read the file; the service may run as another one.
        write_whole(folder / TUNED, save(weights), private=False)


def digest_of(weights: dict[str, Tensor]) -> str:
    """Return sixteen hex digits that identify weights on any device."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode() + values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_trainable(name: str, checkpoint: Path | None = None, folders: WeightFolders | None = None) -> TrainableModel:
    """Return a model with the weights that serving would load, on the CPU.

    Parameters
    ----------
    name : str, "nano" or one of "sam:*".
    checkpoint : Path or None, the folder of a tuned version; None for what ships or is published.
    folders : WeightFolders, where files of weights are; None for those of the settings of this process.

    Raises
    ------
    WeightsError
        If weights are missing or do not fit, or the model cannot be tuned.
    """
    require_tunable(name)
    if name == NANO.name:
        folder = checkpoint or Path(segmenter.__file__).parent
        return TrainableModel(name, load_nano(folder), architecture.IMAGE_SIZE, clicked_pieces=True)
    official = obtain_checkpoint(model_info(name).files[0], folders or WeightFolders.of_settings(None))
    model = sam_model_registry[name.removeprefix("sam:")]()
    model.load_state_dict(torch.load(official, map_location="cpu", weights_only=True))
    if checkpoint:
        model.load_state_dict(read_tuned(tuned_weights(checkpoint)), strict=False)
    return TrainableModel(name, model, model.image_encoder.img_size, clicked_pieces=False, official=official)


def load_nano(folder: Path) -> Any:
    """Return `nano` in PyTorch from the weights in a folder.

    Raises
    ------
    WeightsError
        If the folder has no such weights; it says what to do.
    """
    path = folder / TUNED
    if not path.exists():
        raise WeightsError(
            f"{folder} has no {TUNED}: an earlier version of SAM Inspect made it, and it can serve but not be tuned "
            "further. Run `sam-inspect models rollback` until the shipped model serves, then fine-tune again."
        )
    model = architecture.build_nano()
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path} does not hold the weights of nano ({reason}); install or tune it again.") from error
    return model
