"""Objects followed through a whole video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sam_backend.progress import ProgressCallback
from sam_backend.segmenters.tracking import TrackedMask, Tracker
from sam_backend.video.prompts import VideoPrompt, by_frame
from sam_backend.video.reading import Frame, Video


@dataclass(frozen=True, eq=False)
class FollowedFrame:
    """A frame and where its objects are.

    Attributes
    ----------
    frame : Frame.
    objects : number of an object -> TrackedMask, for the objects that had a prompt in this frame or before.
    """

    frame: Frame
    objects: Mapping[int, TrackedMask]


def follow(
    tracker: Tracker, video: Video, prompts: Sequence[VideoPrompt], progress: ProgressCallback
) -> Iterator[FollowedFrame]:
    """Yield all frames of a video with the objects of prompts, which lie in it."""
    session, asked = tracker.start(), by_frame(prompts)
    for frame in video.frames():
        progress(frame.index, len(video))
        yield FollowedFrame(frame, session.step(frame.pixels, asked.get(frame.index, {})))
    progress(len(video), len(video))
