"""Recent answers, of which the next click needs the last one: in memory, and on disk for after a restart."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from diskcache import Disk
from diskcache.core import MODE_BINARY, MODE_RAW
from numpy.typing import NDArray

from sam_backend.arrays import BoolArray, FloatArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.embedding_folder import BROKEN, DISK_ERRORS, open_disk
from sam_backend.segmenters.protocol import Window

logger = logging.getLogger(__name__)

_MEMO_BYTES = 64 * 2**20
_MOST_WAITING = 32
"""Answers that wait to be written; of more, the newest are not written."""


@dataclass(frozen=True, eq=False)
class EarlierAnswer:
    """What the next click needs of an answer.

    Attributes
    ----------
    logits : (h, w) float32, fed back to a model that corrects its own answers; else None.
    window : the part of the image that the logits show.
    packed : NDArray, the mask inside its box, eight pixels a byte; None with logits.
    box : xyxy of the mask in pixels, half-open.
    size : (height, width) of the image.
    """

    logits: FloatArray | None = None
    window: Window | None = None
    packed: NDArray[np.uint8] | None = None
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    size: tuple[int, int] = (0, 0)

    @classmethod
    def of_mask(cls, mask: Cropped) -> EarlierAnswer:
        """Return an answer that keeps its mask."""
        height, width = mask.size
        return cls(packed=np.packbits(mask.part), box=mask.box, size=(height, width))

    @property
    def mask(self) -> BoolArray:
        """The mask (H, W) of an answer without logits."""
        assert self.packed is not None
        left, top, right, bottom = self.box
        whole = np.zeros(self.size, np.bool_)
        shape = bottom - top, right - left
        whole[top:bottom, left:right] = np.unpackbits(self.packed, count=shape[0] * shape[1]).reshape(shape)
        return whole

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(array.nbytes for array in (self.logits, self.packed) if array is not None)

    def pack(self) -> bytes:
        """Return the answer as an .npz: reading it runs no code, unlike a pickle."""
        buffer = io.BytesIO()
        arrays = {"logits": self.logits, "packed": self.packed}
        arrays |= {"window": None if self.window is None else np.array(self.window)}
        kept = {name: array for name, array in arrays.items() if array is not None}
        np.savez_compressed(buffer, allow_pickle=False, box=self.box, size=self.size, **kept)
        return buffer.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> EarlierAnswer:
        """Return the answer that `pack` wrote; raise ValueError or KeyError for what another version wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            window = tuple(arrays["window"].tolist()) if "window" in arrays else None
            logits = arrays.get("logits")
            packed = arrays["packed"] if logits is None else None
            left, top, right, bottom = box = tuple(arrays["box"].tolist())
            height, width = size = tuple(arrays["size"].tolist())
        if packed is not None:
            bits = (bottom - top) * (right - left)
            is_own = 0 <= left <= right <= width and 0 <= top <= bottom <= height and packed.size == -(-bits // 8)
        else:
            is_own = logits.ndim == 2 and bool(np.isfinite(logits).all()) and len(window or (0,) * 4) == 4
        if not is_own:
            raise ValueError("it has other arrays than this version writes")
        return cls(logits, window, packed, box, size)


class AnswersMemo:
    """Recent answers, so that the next click costs one decoding, also after a restart.

    Missing answers are computed again, so answers never depend on this memo. Answers are written by a thread of its
    own, after they were given; a disk that fails only makes the clicks after a restart slower. Safe to share between
    threads.

    Parameters
    ----------
    limit_bytes : int, the limit of what is held in memory, and on disk; the least recently used are dropped first.
    folder : Path or None, the folder of the answers on disk; None keeps none there.
    """

    def __init__(self, limit_bytes: int = _MEMO_BYTES, folder: Path | None = None) -> None:
        self._answers: LRUCache[bytes, EarlierAnswer] = LRUCache(limit_bytes, getsizeof=lambda earlier: earlier.nbytes)
        self._lock = threading.Lock()
        self._disk = None if folder is None else open_disk(folder, limit_bytes, _BytesDisk)
        self._writer = ThreadPoolExecutor(1, "write-answers")
        self._waiting = 0

    def get(self, key: bytes) -> EarlierAnswer | None:
        """Return the answer kept for `key`, or None."""
        with self._lock:
            earlier = self._answers.get(key)
        if earlier is None and self._disk is not None:
            try:
                content = self._disk.get(key)
                earlier = None if content is None else EarlierAnswer.unpack(content)
            except (*DISK_ERRORS, *BROKEN) as error:
                logger.warning("An answer on disk cannot be read and is computed again: %s", error)
        return earlier

    def put(self, key: bytes, earlier: EarlierAnswer) -> None:
        """Keep the answer to `key`."""
        with self._lock:
            if earlier.nbytes > self._answers.maxsize:
                return
            self._answers[key] = earlier
            if self._disk is None or self._waiting >= _MOST_WAITING:
                return
            self._waiting += 1
        # A request may end after `close`.
        with suppress(RuntimeError):
            self._writer.submit(self._write, self._disk.set, key, earlier)

    def close(self) -> None:
        """Write what waits, and close the files."""
        self._writer.shutdown()
        if self._disk is not None:
            self._disk.close()

    def _write(self, keep: Callable[[bytes, bytes], object], key: bytes, earlier: EarlierAnswer) -> None:
        try:
            keep(key, earlier.pack())
        except DISK_ERRORS as error:
            logger.warning("An answer cannot be kept on disk: %s", error)
        finally:
            with self._lock:
                self._waiting -= 1


class _BytesDisk(Disk):  # type: ignore[misc]  # diskcache has no types
    """The files of a cache of bytes: a pickle, which could run code, is never read."""

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:
        if mode not in (MODE_RAW, MODE_BINARY):
            raise ValueError("it is not a file that this program wrote")
        return super().fetch(mode, filename, value, read)
