"""The frames of a video file, read one after the other by PyAV; never more than a few are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.extras import VIDEO, how_to_install, require
from sam_backend.progress import ProgressCallback, no_progress

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

OFF_BEAT = 0.5
"""Share of a frame's duration by which a frame of a constant frame rate may be away from its place."""

_END, _TAIL = 2.0, 0.02
"""Frames, and a share of the duration, by which a header may be wrong about the end."""

_ONLY_THIS_FILE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,mxf,ivf,gif,dv,"
    "m4v,h264,hevc,mjpeg,yuv4mpegpipe,rm,nut,wav,mp3,aac,flac",
}
"""A playlist would name other files, or addresses; who may upload a video must not read those."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes
    ----------
    index : int, from 0.
    time : float, seconds from the first frame to this one, by the file's own timestamps.
    pixels : uint8 RGB (H, W, 3), turned as the file says.
    """

    index: int
    time: float
    pixels: ImageArray


@dataclass(frozen=True, eq=False)
class Video:
    """A video file all of whose frames can be read.

    Attributes
    ----------
    path : Path.
    name : str, what messages call it.
    size : (H, W) in pixels of a frame, turned as the file says.
    times : (N,) float64, the time of each frame in seconds, ascending; the first is 0.
    stated_rate : float, frames a second as the file's header says; 0.0 if it says nothing.
    stated_duration : float, seconds as the header says; 0.0 if it says nothing of the video itself.
    """

    path: Path
    name: str
    size: tuple[int, int]
    times: NDArray[np.float64]
    stated_rate: float
    stated_duration: float = 0.0

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def rate(self) -> float:
        """Frames a second: their number by the time between the first and the last."""
        span = float(self.times[-1])
        return (len(self.times) - 1) / span if span > 0 else self.stated_rate or 25.0

    @property
    def duration(self) -> float:
        """Seconds to the end of the last frame."""
        return float(self.times[-1]) + 1 / self.rate

    @property
    def lost(self) -> str:
        """A sentence about an end that the header promises and that cannot be read; "" if nothing is missing.

        A damaged file is read as far as FFmpeg reads it, which says nothing of what it leaves out.
        """
        missing = self.stated_duration - self.duration
        # With a variable rate, the last frame may last long.
        if not self.has_constant_rate or missing <= max(_END / self.rate, _TAIL * self.stated_duration):
            return ""
        return (
            f"{self.name} says that it lasts {self.stated_duration:.2f} seconds, and its frames end after "
            f"{self.duration:.2f}: the rest cannot be read."
        )

    @property
    def has_constant_rate(self) -> bool:
        """Whether each frame is less than half a frame away from its place at the mean rate."""
        places = self.times * self.rate
        return bool(np.abs(places - np.arange(len(places))).max() < OFF_BEAT)

    def frames(self) -> Iterator[Frame]:
        """Yield all frames in order."""
        for frame, time in zip(_decoded(self.path, self.name), self.times.tolist(), strict=True):
            yield frame.at(time)


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A frame of PyAV with its number; its pixels are converted where they are asked for."""

    index: int
    frame: av.VideoFrame

    @property
    def turns(self) -> int:
        """Quarter turns to the left that the file asks for."""
        return round(self.frame.rotation / 90) % 4

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.frame.height, self.frame.width
        return (width, height) if self.turns % 2 else (height, width)

    def at(self, time: float) -> Frame:
        pixels = np.rot90(self.frame.to_ndarray(format="rgb24"), self.turns)
        return Frame(self.index, time, np.ascontiguousarray(pixels))


def open_video(path: Path, progress: ProgressCallback = no_progress, name: str = "") -> Video:
    """Read a video once, so that it is known how many frames it has and that all can be read.

    A header states a number of frames that may be wrong, so they are counted; none is kept. Messages call it by its
    path, or by `name`.

    Raises
    ------
    MissingExtraError
        If PyAV is not installed.
    BadRequestError
        If the file cannot be read to its end, has no video or no frame, or its frames change their size.
    """
    require(VIDEO, "A video", how_to_install("video"))
    name = name or str(path)
    with _opened(path, name) as container:
        stream = container.streams.video[0]
        rate, estimate = stream.average_rate, stream.frames
        duration = _stated_duration(container)
    ticks: list[int | None] = []
    size: tuple[int, int] | None = None
    base = Fraction(1)
    for one in _decoded(path, name):
        progress(one.index, max(estimate, one.index))
        if size is not None and one.size != size:
            raise BadRequestError(
                f"The frames of {name} change their size from {size[1]} x {size[0]} to {one.size[1]} x {one.size[0]} "
                f"pixels at frame {one.index}; write it anew with one size."
            )
        size, base = one.size, one.frame.time_base or base
        ticks.append(one.frame.pts)
    if size is None:
        raise BadRequestError(f"{name} has no frame; export it again.")
    progress(len(ticks), len(ticks))
    return Video(path, name, size, _times(ticks, base, rate), float(rate or 0), duration)


def _stated_duration(container: InputContainer) -> float:
    """Return how long the header says that the video lasts; 0.0 if it says nothing, or only how long with sound."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    only = len(container.streams) == 1 and container.duration
    return container.duration / 1_000_000 if only and container.duration is not None else 0.0


def _times(ticks: list[int | None], base: Fraction, rate: Fraction | None) -> NDArray[np.float64]:
    """Return the times of frames from their timestamps; where one is missing or goes back, from the stated rate."""
    known = [tick for tick in ticks if tick is not None]
    if len(known) == len(ticks) and all(later > tick for tick, later in pairwise(known)):
        return (np.array(known, np.float64) - known[0]) * float(base)
    return np.arange(len(ticks)) / float(rate or 25)


def _decoded(path: Path, name: str) -> Iterator[_Decoded]:
    import av

    index = -1
    with _opened(path, name) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(stream)):
                yield _Decoded(index, frame)
        except av.error.FFmpegError as error:
            raise BadRequestError(
                f"{name} cannot be read after {index + 1} frames ({error.strerror}); export it again."
            ) from None


@contextmanager
def _opened(path: Path, name: str) -> Iterator[InputContainer]:
    import av

    # From PyAV 19 on, text of a file that is not UTF-8 is never an error, and the option is gone.
    lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    try:
        container = av.open(f"file:{path}", options=_ONLY_THIS_FILE, **lenient)
    except FileNotFoundError:
        raise BadRequestError(f"There is no video {name}.") from None
    except IsADirectoryError:
        raise BadRequestError(f"{name} is a folder, not a video.") from None
    except av.error.FFmpegError as error:
        raise BadRequestError(f"{name} is no video that can be read ({error.strerror}).") from None
    with container:
        if not container.streams.video:
            what = "only sound" if container.streams.audio else "no video"
            raise BadRequestError(f"{name} holds {what}; give a file with a video.")
        yield container
