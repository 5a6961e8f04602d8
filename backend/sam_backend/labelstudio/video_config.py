"""The part of a labeling config that is about videos: the `Video` tag, its frame rate, and what follows boxes on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.config_tags import read_tags
from sam_backend.labelstudio.image_tag import ImageTag, look_up

DEFAULT_RATE = 24.0
"""Frames a second where the tag names none, as on Label Studio's page."""


@dataclass(frozen=True)
class VideoTarget:
    """A video of a labeling config.

    Attributes
    ----------
    video : ImageTag, its name and the address of its file.
    control : str, the name of its `VideoRectangle`.
    framerate : str, the tag's attribute as it is written; "" without one.
    """

    video: ImageTag
    control: str
    framerate: str

    @classmethod
    def parse(cls, xml: str) -> VideoTarget:
        """Return the first video of a labeling config that has a `VideoRectangle`.

        Raises
        ------
        BadRequestError
            If the text is not XML, or has no such video.
        """
        tags = read_tags(xml)
        for video in tags.videos:
            for control in tags.controls:
                if control.tag == "videorectangle" and video.tag.name in control.to_names:
                    return cls(video.tag, control.name, video.framerate)
        raise BadRequestError(
            'The labeling config has no video on which objects are followed; add <Video name="video" '
            'value="$video" framerate="25"/> and <VideoRectangle name="box" toName="video"/>.'
        )

    def rate(self, data: Mapping[str, Any]) -> float:
        """Return the frames a second by which the page numbers the frames of a task.

        The attribute is a number, or `$field` with a field of the task. A number below 1 is the seconds of a frame.
        """
        value: Any = self.framerate
        if self.framerate.startswith("$"):
            value = look_up(data, self.framerate[1:])
        try:
            rate = float(value)
        except (TypeError, ValueError):
            return DEFAULT_RATE
        if not 0 < rate < math.inf:
            return DEFAULT_RATE
        return 1 / rate if rate < 1 else rate

    def address(self, data: Mapping[str, Any]) -> str:
        """Return the address of a task's video; raises BadRequestError if the task has none."""
        address = self.video.source(data)
        if not isinstance(address, str):
            raise BadRequestError(f"The task's video should be an address; got {brief(address)}.")
        return address
