"""The refiner: corrects a mask, whoever made it, by clicks, at the image's own resolution."""

from __future__ import annotations

import filecmp
import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from cachetools import LRUCache
from numpy.typing import NDArray
from scipy.special import expit

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.masks import mask_box
from sam_backend.segmenters.image_reader import ImageReader
from sam_backend.segmenters.onnx_sessions import ONE, open_session
from sam_backend.segmenters.protocol import POSITIVE
from sam_backend.segmenters.refiner.guidance import WINDOW, guidance_maps
from sam_backend.segmenters.refiner.merging import Part, enclosing, keep_clicks, merge
from sam_backend.segmenters.refiner.placing import place
from sam_backend.segmenters.refiner.resampling import Square

BACKBONE, HEAD = "backbone.onnx", "head.onnx"

WEIGHTS = "weights.safetensors"
"""The weights of the head, from which a project's own head is tuned; not needed for serving."""

_CURE = "install sam-inspect again"
_MOST_WINDOWS = 5
_WINDOWS_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Correction:
    """A corrected mask bool (H, W) and its predicted IoU in [0, 1]."""

    mask: BoolArray
    predicted_iou: float


@dataclass(frozen=True, eq=False)
class View:
    """What the head sees of a click in a window.

    Attributes
    ----------
    pixels : uint8 (1, S, S, 3).
    features : the backbone's features of them, each (1, C, h, w).
    maps : float32 (MAPS, S, S), see `guidance_maps`.
    """

    pixels: NDArray[np.uint8]
    features: list[FloatArray]
    maps: FloatArray


class Refiner:
    """Corrects masks. Safe to share between threads.

    Parameters
    ----------
    folder : Path or None, the folder of `backbone.onnx` and `head.onnx`; None for the package's own.
    beside : Refiner or None, another one, with which it shares the backbone and the windows seen, if its backbone has
        the same file.

    Raises
    ------
    WeightsError
        If a file is missing or is not an ONNX model.
    """

    def __init__(self, folder: Path | None = None, beside: Refiner | None = None) -> None:
        self.folder = folder or Path(__file__).parent
        self._files = (self.folder / BACKBONE, self.folder / HEAD)
        self._head = open_session(self._files[1], ONE, "refiner", _CURE)
        shares = beside is not None and self.has_backbone_of(beside)
        self._backbone: _Backbone = (
            beside._backbone if beside and shares else _Backbone(open_session(self._files[0], ONE, "refiner", _CURE))
        )

    @cached_property
    def version(self) -> str:
        """Eight hex digits of the SHA-256 of both files."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:8]

    def has_backbone_of(self, other: Refiner) -> bool:
        """Return whether both backbones have the same file, so that their heads take the same features."""
        path = self._files[0]
        return path.exists() and filecmp.cmp(path, other._files[0], shallow=False)

    def correct(self, image: ImageReader, mask: BoolArray, points: FloatArray, labels: NDArray[np.int64]) -> Correction:
        """Return the mask that the clicks about it ask for.

        Positive clicks are inside the answer and negative ones outside; of two clicks on one pixel the last one counts.
        If the mask fulfils the newest click already, it stays as it is.

        Parameters
        ----------
        image : ImageReader.
        mask : bool (H, W), the last mask; may be empty.
        points, labels : (N, 2) xy in pixels of the image and (N,), all clicks about this mask in their order, the
            newest last; none of them asks for a better mask without a click.
        """
        state, predicted = np.array(mask, np.bool_), 0.0
        box = mask_box(state)
        points = np.clip(np.floor(points), 0, np.array(state.shape[::-1]) - 1).astype(np.float32)
        focus = points[-1] if len(points) else None
        is_fulfilled = len(points) > 0 and state[int(points[-1][1]), int(points[-1][0])] == (labels[-1] == POSITIVE)
        for number in range(_MOST_WINDOWS):
            square = place(state, box, points, focus)
            logits, quality = self._answer(self.view(image, square, state, points, labels))
            predicted = quality if number == 0 else min(predicted, quality)
            if is_fulfilled:
                break
            part = Part.of(square, state.shape)
            focus = merge(state, part, square.to_image(logits, part.box), points, labels)
            if focus is None:
                break
            box = part.box if box is None else enclosing(box, part.box)
        keep_clicks(state, points, labels)
        return Correction(state, predicted)

    def view(
        self,
        image: ImageReader,
        square: Square,
        mask: BoolArray,
        points: FloatArray,
        labels: NDArray[np.int64],
    ) -> View:
        """Return what the head sees of the newest click in a window; see `correct`."""
        seen = self._backbone.look(image, square)
        placed = square.to_window(points)
        newest = len(placed) - 1 if len(placed) and bool(((placed[-1] >= 0) & (placed[-1] < WINDOW)).all()) else None
        return View(seen.pixels, seen.features, guidance_maps(square.coverage(mask), placed, labels, newest))

    def forget(self) -> None:
        """Forget the windows that were seen."""
        self._backbone.forget()

    def _answer(self, view: View) -> tuple[FloatArray, float]:
        """Return logits (S, S) in a window, and their predicted IoU."""
        inputs = {"pixels": view.pixels, "maps": view.maps[None]}
        inputs |= {f"features{level}": feature for level, feature in enumerate(view.features)}
        logits, quality = self._head.run(None, inputs)
        return logits[0], float(expit(quality[0]))


@dataclass(frozen=True, eq=False)
class _Seen:
    """Pixels uint8 (1, S, S, 3) of a window, and the backbone's features of them."""

    pixels: NDArray[np.uint8]
    features: list[FloatArray]

    def bytes(self) -> int:
        return self.pixels.nbytes + sum(feature.nbytes for feature in self.features)


class _Backbone:
    """A backbone, and the windows that it has seen lately, which are kept between clicks."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._windows: LRUCache[tuple[str, Square], _Seen] = LRUCache(_WINDOWS_BYTES, getsizeof=_Seen.bytes)
        self._lock = threading.Lock()

    def features(self, pixels: NDArray[np.uint8]) -> list[FloatArray]:
        features: list[FloatArray] = self._session.run(None, {"pixels": pixels[None]})
        return features

    def forget(self) -> None:
        with self._lock:
            self._windows.clear()

    def look(self, image: ImageReader, square: Square) -> _Seen:
        """Return a window's pixels and features."""
        key = image.digest, square
        with self._lock:
            kept = self._windows.get(key)
        if kept is None:
            pixels = square.read(image)
            kept = _Seen(pixels[None], self.features(pixels))
            with self._lock:
                self._windows[key] = kept
        return kept
