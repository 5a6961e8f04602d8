"""An encoder and a decoder as ONNX that other projects wrote: samexporter, labelme and osam.

They are of SAM or MobileSAM, with the decoder that `segment-anything` exports, or of SAM 2. What a file is, is read
from the names and shapes of its inputs and outputs; how it is called does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from PIL import Image

from sam_backend.arrays import FloatArray, ImageArray
from sam_backend.errors import WeightsError
from sam_backend.masks import mask_box
from sam_backend.samples import Cropped
from sam_backend.segmenters.enlarging import enlarged_mask
from sam_backend.segmenters.mask_stack import MaskStack
from sam_backend.segmenters.model_info import ModelInfo, WeightFolders
from sam_backend.segmenters.onnx_sessions import device_of, open_session
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding
from sam_backend.segmenters.sam_frame import SamFrame
from sam_backend.segmenters.weights import file_sha256

_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)
"""Of the colours (R, G, B) in 0..255: with these SAM and SAM 2 normalise an image."""

_CELL = 16
"""Pixels of the encoder's square for a cell of its features."""

_PROMPT = ("point_coords", "point_labels", "mask_input", "has_mask_input")
_SIZE = "orig_im_size"
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_FINER = (("high_res_feats_0", "high_res_feats_1"), ("high_res_features1", "high_res_features2"))
"""What SAM 2's finer maps are called, by samexporter and by osam."""


@dataclass(frozen=True)
class _Pair:
    """Two files that belong together.

    Attributes
    ----------
    encoder, decoder : sessions.
    outputs : name of an array of the embedding -> name of the encoder's output.
    inputs : name of an array of the embedding -> name of the decoder's input.
    masks : str, the decoder's output of low-resolution logits.
    side : int, side in pixels of the encoder's square.
    """

    encoder: InferenceSession
    decoder: InferenceSession
    outputs: dict[str, str]
    inputs: dict[str, str]
    masks: str
    side: int


def load_pair(info: ModelInfo, folder: Path, files: list[Path], threads: int, weights: WeightFolders) -> OnnxPair:
    """Load the two ONNX files of a folder.

    Raises
    ------
    WeightsError
        If they are no encoder and decoder in one of the layouts that are read here.
    """
    sessions = {path.name: open_session(path, threads, "model", "export it again") for path in files}
    decoders = {
        name: session for name, session in sessions.items() if set(_PROMPT) <= _shapes(session.get_inputs()).keys()
    }
    pair = None
    if len(decoders) == 1:
        (decoder,) = decoders.values()
        (encoder,) = (session for session in sessions.values() if session is not decoder)
        pair = _pair(encoder, decoder)
    if pair is None:
        found = "; ".join(f"{name} makes {_told(session)}" for name, session in sessions.items())
        raise WeightsError(
            f"{folder} holds no pair of ONNX files that is read here: expected the encoder and the decoder of a SAM, "
            f"MobileSAM or SAM 2 as samexporter, labelme or osam write them; {found}."
        )
    digest = hashlib.sha256(
        "".join(file_sha256(path, weights) for path in sorted(folder.iterdir()) if path.is_file()).encode()
    )
    kind = StretchedPair if len(pair.inputs) > 1 else OnnxPair
    return kind(info, pair, f"{info.name}-{digest.hexdigest()[:8]}")


class OnnxPair(SamFrame):
    """A SAM or MobileSAM; an encoder that normalises and pads by itself takes the image as it is."""

    def __init__(self, info: ModelInfo, pair: _Pair, version: str) -> None:
        super().__init__(info, version, pair.side)
        self._pair = pair

    @property
    def device(self) -> str:
        """The execution provider, for example `cuda`."""
        return device_of(self._pair.encoder)

    def _encoded(self, image: ImageArray) -> FloatArray:
        return self._run_encoder(image)["features"]

    def _run_encoder(self, image: ImageArray) -> dict[str, FloatArray]:
        """Return the maps (C, h, w) of an image that fits into the encoder's square."""
        (taken,) = self._pair.encoder.get_inputs()
        given = image.astype(np.float32)
        if len(taken.shape) == 4:
            rows, columns = image.shape[:2]
            given = np.zeros((1, 3, self._side, self._side), np.float32)
            given[0, :, :rows, :columns] = ((image - _MEAN) / _STD).transpose(2, 0, 1)
        names = self._pair.outputs
        maps = self._pair.encoder.run(list(names.values()), {taken.name: given})
        return {name: values[0] for name, values in zip(names, maps, strict=True)}

    def _answered(
        self, maps: Mapping[str, FloatArray], coords: FloatArray, labels: NDArray[np.int64], logits: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        pair = self._pair
        shared = {pair.inputs[name]: values[None] for name, values in maps.items()}
        shared["has_mask_input"] = np.array([logits is not None], np.float32)
        rows, columns = (4 * length for length in maps["features"].shape[1:])
        # The masks that some decoders draw themselves are not used; in this size they cost the least.
        sizes = {taken.name: taken.type for taken in pair.decoder.get_inputs() if taken.name == _SIZE}
        shared |= {name: np.array([rows, columns], _TYPES[kind]) for name, kind in sizes.items()}
        fed_back = np.zeros((len(coords), 1, rows, columns), np.float32) if logits is None else logits
        answers = []
        # Most of these files take one prompt at a time.
        for index in range(len(coords)):
            one = slice(index, index + 1)
            points = {"point_coords": coords[one], "point_labels": labels[one].astype(np.float32)}
            given = shared | points | {"mask_input": fed_back[one]}
            answers.append(pair.decoder.run([pair.masks, "iou_predictions"], given))
        masks, predicted_iou = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return masks, predicted_iou


class StretchedPair(OnnxPair):
    """A SAM 2: the image is stretched to the encoder's square, and the decoder takes two finer maps besides."""

    _maps = ("features", "fine0", "fine1")
    _pads = False

    def encode(self, image: ImageArray) -> Embedding:
        """Encode an image: uint8 RGB (H, W, 3).

        Returns
        -------
        Embedding
            `features`, `fine0` and `fine1`, each (C, h, w) float32, and `input_size` (2,) int64, the encoder's square.
        """
        square = (self._side, self._side)
        stretched = np.asarray(Image.fromarray(image).resize(square, Image.Resampling.BILINEAR))
        arrays: dict[str, Any] = {**self._run_encoder(stretched), "input_size": np.array(square, np.int64)}
        return Embedding(arrays, (image.shape[0], image.shape[1]))

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Return the coarsest map, (n, n, C), with the image's own aspect ratio."""
        values = np.asarray(embedding.arrays["features"], np.float32).transpose(1, 2, 0)
        side, longer = len(values), max(embedding.size)
        rows, columns = (max(round(side * length / longer), 1) for length in embedding.size)
        square = np.zeros_like(values)
        square[:rows, :columns] = _shares(side, columns) @ np.tensordot(_shares(side, rows), values, 1)
        return DenseFeatures(square, (rows, columns))

    def _candidates(self, embedding: Embedding, logits: FloatArray, predicted_iou: FloatArray) -> Candidates:
        """Return the answer of logits (K, h, w); a mask is drawn when it is asked for, inside its box."""
        rows, columns = logits.shape[1:]

        def draw(index: int) -> Cropped:
            box = mask_box(logits[index] > 0) or (0, 0, 0, 0)
            # What is enlarged begins and ends with negative logits, or at the edge.
            left, top = (max(0, edge - 1) for edge in box[:2])
            part = logits[index, top : box[3] + 1, left : box[2] + 1]
            return enlarged_mask(part, (top, left), (rows, columns), embedding.size, np.zeros((0, 2), np.float32))

        return Candidates(MaskStack(len(logits), embedding.size, draw), predicted_iou, logits)


def _pair(encoder: InferenceSession, decoder: InferenceSession) -> _Pair | None:
    """Return the pair if the two files belong together in a layout that is read here."""
    takes, gives = _shapes(decoder.get_inputs()), _shapes(decoder.get_outputs())
    made = _shapes(encoder.get_outputs())
    finer = next((names for names in _FINER if set(names) <= takes.keys()), ())
    coarse = [name for name in takes if name not in (*_PROMPT, _SIZE, *finer)]
    masks = "low_res_masks" if "low_res_masks" in gives else "masks"
    # Without a size, what is called `masks` is the low-resolution logits.
    is_low = masks != "masks" or _SIZE not in takes
    if len(coarse) != 1 or not is_low or "iou_predictions" not in gives or len(gives.get(masks, ())) != 4:
        return None
    if not {*finer, *coarse} <= made.keys() if finer else len(made) != 1:
        return None
    inputs = {"features": coarse[0]} | {f"fine{level}": name for level, name in enumerate(finer)}
    outputs = inputs if finer else {"features": next(iter(made))}
    cells = takes[coarse[0]][-1]
    if not isinstance(cells, int) or not _takes_an_image(encoder, _CELL * cells, is_whole=bool(finer)):
        return None
    return _Pair(encoder, decoder, outputs, inputs, masks, _CELL * cells)


def _takes_an_image(encoder: InferenceSession, side: int, *, is_whole: bool) -> bool:
    """Return whether the encoder takes a normalised square (1, 3, S, S) or, if not `is_whole`, colours (h, w, 3)."""
    first, *more = encoder.get_inputs()
    if more or first.type != "tensor(float)":
        return False
    square = len(first.shape) == 4 and list(first.shape[1:]) == [3, side, side]
    return square or (len(first.shape) == 3 and first.shape[2] == 3 and not is_whole)


def _shapes(values: list[Any]) -> dict[str, list[Any]]:
    return {value.name: value.shape for value in values}


def _shares(cells: int, fewer: int) -> FloatArray:
    """Return (fewer, cells), what each cell gives to the mean of those that become one."""
    edges = np.arange(fewer + 1) * cells
    starts, ends = edges[:-1] // fewer, -(-edges[1:] // fewer)
    inside = (np.arange(cells) >= starts[:, None]) & (np.arange(cells) < ends[:, None])
    shares: FloatArray = (inside / inside.sum(1, keepdims=True)).astype(np.float32)
    return shares


def _told(session: InferenceSession) -> str:
    outputs, inputs = (", ".join(_shapes(values)) for values in (session.get_outputs(), session.get_inputs()))
    return f"{outputs} of {inputs}"
