"""A video of the result: each object's mask in its colour, with its number and label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sam_backend.arrays import ImageArray
from sam_backend.segmenters.tracking import TrackedMask
from sam_backend.video.reading import Video

_TICKS = 90_000
"""Steps of a second in the timestamps, where no frame lasts hours."""

_LONGEST = 2**29
"""Steps that a frame may last: MP4 counts in 32 bits, also how many frames a frame is decoded ahead of its time."""

_COLOURS = (
    (230, 60, 60),
    (60, 120, 240),
    (60, 190, 90),
    (240, 170, 40),
    (170, 80, 220),
    (40, 190, 200),
    (240, 100, 170),
)


@contextmanager
def video_writer(path: Path, video: Video) -> Iterator[Callable[[ImageArray, float], None]]:
    """Write an MP4 file like a video; what is yielded takes a frame, uint8 RGB (H, W, 3), and its time in seconds."""
    import av

    size = video.size
    ticks = min(_TICKS, max(1, int(_LONGEST / np.diff(video.times).max(initial=1.0))))
    last = -1

    # Without the option, FFmpeg takes smaller steps than it is given.
    with av.open(str(path), "w", format="mp4", options={"video_track_timescale": str(ticks)}) as container:
        stream = container.add_stream("h264", rate=max(Fraction(video.rate).limit_denominator(1001), Fraction(1, 1001)))
        stream.pix_fmt = "yuv420p"
        # The format needs even sides.
        stream.height, stream.width = (side + side % 2 for side in size)
        stream.codec_context.time_base = Fraction(1, ticks)

        def add(pixels: ImageArray, time: float) -> None:
            nonlocal last
            even = np.pad(pixels, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), "edge")
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            # Two frames may be closer than a step.
            last = max(round(time * ticks), last + 1)
            frame.pts, frame.time_base = last, Fraction(1, ticks)
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())


def draw_objects(pixels: ImageArray, objects: Mapping[int, TrackedMask], labels: Mapping[int, str]) -> ImageArray:
    """Return a frame with the masks of its visible objects, and the number and label of each above its box."""
    drawn = pixels.copy()
    for number, one in objects.items():
        if not one.visible:
            continue
        part, colour = drawn[one.mask.place], np.array(_COLOURS[number % len(_COLOURS)], np.uint8)
        part[one.mask.part] = (0.5 * part[one.mask.part] + 0.5 * colour).astype(np.uint8)
        rings, _ = cv2.findContours(one.mask.part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        row, column = one.mask.corner
        cv2.drawContours(drawn, rings, -1, colour.tolist(), max(pixels.shape[1] // 400, 1), offset=(column, row))
    picture = Image.fromarray(drawn)
    pen = ImageDraw.Draw(picture)
    size = max(pixels.shape[0] // 30, 10)
    for number, one in objects.items():
        if one.visible:
            left, top, _, _ = one.mask.box
            text = f"{number} {labels.get(number, '')}".strip()
            pen.text((left, max(top - size - 2, 0)), text, "white", font_size=size, stroke_width=1, stroke_fill="black")
    return np.asarray(picture)
