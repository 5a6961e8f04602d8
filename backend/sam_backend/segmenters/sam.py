"""Official Segment Anything checkpoints in PyTorch, with the modules of the package `segment-anything`."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.errors import WeightsError
from sam_backend.segmenters import sam_encoder
from sam_backend.segmenters.model_info import ModelInfo
from sam_backend.segmenters.sam_decoder import SamDecoder
from sam_backend.segmenters.sam_frame import SamFrame
from sam_backend.segmenters.torch_place import TorchPlace, on_its_place

logger = logging.getLogger(__name__)

_BROKEN = (pickle.UnpicklingError, SafetensorError)

Encode = Callable[[Any, Tensor], Tensor]
"""An image encoder and images (B, 3, S, S) -> features (B, C, h, w)."""


class SamSegmenter(SamFrame):
    """A `Segmenter` around a torch `Sam`; threads share only the weights.

    On a CUDA GPU the encoder is compiled and computes in bfloat16, and the version says so.

    Parameters
    ----------
    model : Sam of the official classes; it is put into evaluation mode, and its weights must not change from now on.
    info : ModelInfo, its entry.
    version : str, the name and a hash of the weights.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.

    Attributes
    ----------
    model : Sam.
    place : TorchPlace, where it computes.
    """

    def __init__(self, model: Sam, info: ModelInfo, *, version: str, device: str | None = None) -> None:
        self.place = TorchPlace(info.name, device)
        self.model: Sam = self.place.put(model)
        self._decoder = self.place.put(SamDecoder(model))
        self._compiled: Encode | None = self.place.run(self._compile)
        super().__init__(info, f"{version}-bf16" if self._on_gpu else version, model.image_encoder.img_size)

    @staticmethod
    def build(name: str) -> Sam:
        """Return the model of an entry's name, with random weights."""
        model: Sam = sam_model_registry[name.removeprefix("sam:")]()
        return model

    @staticmethod
    def weights_of(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of an official checkpoint under the names that `build` gives them."""
        return checkpoint

    @staticmethod
    def plain_encode(encoder: Any, images: Tensor) -> Tensor:
        """Return the features of images, normalised and padded, by the encoder of `build`."""
        return sam_encoder.encode(encoder, images)

    @classmethod
    def from_checkpoint(cls, info: ModelInfo, path: Path, device: str | None = None, tuned: Path | None = None) -> Self:
        """Load an official model from a file whose SHA-256 has been checked.

        Parameters
        ----------
        info : ModelInfo, the official model's entry.
        path : Path, the official checkpoint.
        device : str or None, a torch device; None takes a CUDA GPU if there is one.
        tuned : Path or None, the file of the weights that a fine-tuning changed.

        Raises
        ------
        WeightsError
            If a file holds no weights, or those of another model.
        """
        name, published = info.name, info.files[0]
        model = cls.build(name)
        try:
            model.load_state_dict(cls.weights_of(torch.load(path, map_location="cpu", weights_only=True)))
        except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
            raise WeightsError(
                f"{path} does not hold the weights of {name}: expected a file like {published.filename}, "
                f"as `sam-inspect download {name}` brings it."
            ) from error
        digest = published.sha256
        if tuned is not None:
            try:
                unknown = model.load_state_dict(read_tuned(tuned), strict=False)
                with tuned.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except (OSError, RuntimeError, EOFError, AttributeError, TypeError, *_BROKEN) as error:
                raise WeightsError(f"{tuned} does not hold weights tuned from {name}; fine-tune again.") from error
            if unknown.unexpected_keys:
                raise WeightsError(f"{tuned} is tuned from another model than {name}; fine-tune again.")
        return cls(model, info, version=f"{name}-{digest[:8]}", device=device)

    @property
    def device(self) -> str:
        """The torch device, for example `cuda`."""
        return self.place.device

    @property
    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def _compile(self) -> Encode | None:
        """Return the compiled encoder on a GPU."""
        return compiled_encoder(self.model, self.plain_encode) if self._on_gpu else None

    @on_its_place
    def _encoded(self, image: ImageArray) -> FloatArray:
        pixels = torch.tensor(image, device=self.device).permute(2, 0, 1)[None]
        encode = self._compiled if self._compiled and self._on_gpu else self.plain_encode
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=self._on_gpu):
            encoded = encode(self.model.image_encoder, self.model.preprocess(pixels))
        return _numpy(encoded[0].float())

    @on_its_place
    def _answered(
        self, maps: Mapping[str, FloatArray], coords: FloatArray, labels: NDArray[np.int64], logits: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        parts = (maps["features"][None], coords, labels)
        given = (torch.as_tensor(part, device=self.device) for part in parts)
        fed_back = None if logits is None else torch.as_tensor(logits, device=self.device)
        with torch.inference_mode():
            masks, predicted_iou = self._decoder(*given, fed_back)
        return _numpy(masks), _numpy(predicted_iou)


def compiled_encoder(model: Sam, encode: Encode = sam_encoder.encode) -> Encode:
    """Return `encode` compiled for a model's device and encoder, after its first call; takes a minute.

    Where torch cannot compile, for example without a C compiler, the log says so and the plain function is returned.
    """
    side, device = model.image_encoder.img_size, model.device
    compiled: Encode = torch.compile(encode)
    logger.info("Compiling the image encoder for %s", device)
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            compiled(model.image_encoder, torch.zeros(1, 3, side, side, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        logger.warning("The image encoder runs without torch.compile, slower: %s", str(error).partition("\n")[0])
        return encode
    return compiled


def read_tuned(path: Path) -> dict[str, torch.Tensor]:
    """Return tuned weights by name, on the CPU.

    Parameters
    ----------
    path : Path, a safetensors file, or a file of `torch.save` with the suffix `.pt`, as earlier versions wrote it.

    Raises
    ------
    OSError, pickle.UnpicklingError, safetensors.SafetensorError
        If the file is missing or holds no weights.
    """
    if path.suffix == ".pt":
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    tensors: dict[str, torch.Tensor] = load_file(path)
    return tensors


def _numpy(tensor: Tensor) -> FloatArray:
    values: FloatArray = tensor.cpu().numpy()
    return values
