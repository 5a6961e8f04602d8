"""The one protocol behind which models that follow objects through the frames of a video differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import Prompt


@dataclass(frozen=True, eq=False)
class TrackedMask:
    """Where an object is in one frame.

    Attributes
    ----------
    mask : Cropped, the part of the object that is seen; without pixels where it is not visible.
    score : float in 0..1, how sure it is that this is the object; where it is not visible, how sure it would be of the
        best place that was found.
    visible : bool, whether the object is in the frame and not hidden.
    """

    mask: Cropped
    score: float
    visible: bool

    @classmethod
    def absent(cls, size: tuple[int, int], score: float = 0.0) -> TrackedMask:
        """Return that of an object that is not seen in a frame of `size` (H, W)."""
        return cls(Cropped(np.zeros((0, 0), bool), (0, 0), size), score, visible=False)


class TrackingSession(Protocol):
    """One video: its frames are given in order."""

    def step(self, pixels: ImageArray, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        """Look at the next frame.

        Parameters
        ----------
        pixels : uint8 RGB (H, W, 3), of the size of all frames.
        prompts : number of an object -> where it is in this frame. The object is followed from here on; one that is
            followed already is corrected. A prompt with a mask and no points gives the object's mask itself.

        Returns
        -------
        dict
            Number of an object -> where it is, for all objects that had a prompt in this frame or before.
        """


class Tracker(Protocol):
    """A model that follows objects. Sessions hold all that is remembered of a video."""

    @property
    def name(self) -> str:
        """The name that users give, for example `nano`."""

    @property
    def version(self) -> str:
        """The name and a hash of the weights; trackers with equal versions give equal masks."""

    def start(self) -> TrackingSession:
        """Begin a video."""
