"""Objects followed by examples of themselves: any segmenter with features, frame by frame.

In each frame, a few places are proposed for each object: where it is expected, where its appearance answers most, and
where its last mask would be. The segmenter outlines them. How likely each outline is the object follows from its
evidence; the objects then share the outlines so that no two have the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sam_backend.arrays import ImageArray
from sam_backend.samples import Cropped
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.tracking import TrackedMask
from sam_backend.video.appearance import Appearance, Cells
from sam_backend.video.evidence import Outline, evidence, score_of
from sam_backend.video.motion import WHOLE, Motion
from sam_backend.video.places import places
from sam_backend.video.sharing import SAME, share

_LEARNS = 0.8
"""Score from which an object's appearance learns from a frame."""


@dataclass(eq=False)
class _Followed:
    """An object that is followed."""

    motion: Motion
    appearance: Appearance = field(default_factory=Appearance)


class ExampleTracker:
    """A `Tracker` around a segmenter that has features.

    Parameters
    ----------
    segmenter : Segmenter.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.name, self.version = segmenter.name, segmenter.version

    def start(self) -> ExampleSession:
        """Begin a video."""
        return ExampleSession(self._segmenter)


class ExampleSession:
    """A `TrackingSession`; what it keeps does not grow with the video."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._objects: dict[int, _Followed] = {}
        self._asked: set[int] = set()

    def step(self, pixels: ImageArray, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        """Look at the next frame; see `TrackingSession.step`."""
        self._asked.update(prompts)
        # An object whose prompts gave nothing so far is not followed, and is nowhere.
        height, width = pixels.shape[:2]
        nowhere = {number: TrackedMask.absent((height, width)) for number in self._asked}
        if not (self._objects or prompts):
            return nowhere
        embedding = self._segmenter.encode(pixels)
        cells = Cells.of(self._segmenter, embedding)
        found = self._prompted(embedding, prompts)
        found |= self._looked_for(embedding, cells, prompts, [one.mask for one in found.values()])
        _part(found)
        self._remember(found, prompts, cells)
        return dict(sorted((nowhere | found).items()))

    def _prompted(self, embedding: Embedding, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        """Return what prompts say."""
        given = {
            number: TrackedMask(Cropped.of(prompt.mask), 1.0, visible=True)
            for number, prompt in prompts.items()
            if prompt.mask is not None and not len(prompt.points)
        }
        asked = {number: prompt for number, prompt in prompts.items() if number not in given}
        answers = self._segmenter.decode(embedding, list(asked.values())) if asked else []
        for number, answer in zip(asked, answers, strict=True):
            mask, predicted = _best(answer)
            given[number] = TrackedMask(mask, predicted, visible=True)
        return given

    def _looked_for(
        self, embedding: Embedding, cells: Cells, prompts: Mapping[int, Prompt], taken: Sequence[Cropped]
    ) -> dict[int, TrackedMask]:
        """Return where the objects without a prompt are; what prompts gave to others is taken."""
        objects = {number: one for number, one in self._objects.items() if number not in prompts}
        if not objects:
            return {}
        responses = {number: one.appearance.response(cells) for number, one in objects.items()}
        asked = [prompt for number, one in objects.items() for prompt in places(one.motion, responses[number], cells)]
        answers = self._segmenter.decode(embedding, asked, multimask=False) if asked else []
        outlines = [
            Outline(mask, predicted, cells.covered(mask))
            for mask, predicted in map(_best, answers)
            if mask.area and not any(mask.iou(other) > SAME for other in taken)
        ]
        scores = np.zeros((len(objects), len(outlines)))
        for row, (number, one) in enumerate(objects.items()):
            scores[row] = [score_of(evidence(one.motion, responses[number], outline)) for outline in outlines]
        quality = np.array([one.predicted_iou for one in outlines])
        chosen = share(scores, [one.mask for one in outlines], quality)
        found = {}
        for number, own, column in zip(objects, scores, chosen, strict=True):
            if column is None:
                found[number] = TrackedMask.absent(embedding.size, float(own.max(initial=0)))
            else:
                found[number] = TrackedMask(outlines[column].mask, float(own[column]), visible=True)
        return found

    def _remember(self, found: Mapping[int, TrackedMask], prompts: Iterable[int], cells: Cells) -> None:
        """Learn where the objects went, and what those look like that were prompted or are surely and wholly seen."""
        covered = {number: cells.covered(one.mask) for number, one in found.items() if one.mask.area}
        for number, one in found.items():
            followed, prompted = self._objects.get(number), number in prompts
            if prompted and one.mask.area:
                motion = Motion.of(one.mask, followed.motion if followed else None)
                followed = self._objects.setdefault(number, _Followed(motion))
                followed.motion = motion
            elif followed is None:
                # Its prompt gave nothing; the next one may.
                continue
            else:
                whole = one.mask.area >= WHOLE * followed.motion.area
                followed.motion = followed.motion.at(one.mask) if one.mask.area else followed.motion.hidden()
                if not whole or one.score < _LEARNS:
                    continue
            others = np.zeros(cells.shape, bool)
            for other, part in covered.items():
                others |= part & (other != number)
            followed.appearance.learn(cells, covered[number], others, prompted=prompted)


def _best(answer: Candidates) -> tuple[Cropped, float]:
    """Return the mask of an answer with the highest predicted IoU, and that."""
    return answer.crop(answer.best), float(answer.predicted_iou[answer.best])


def _part(found: dict[int, TrackedMask]) -> None:
    """Give pixels that several objects have to the one with the highest score."""
    order = sorted(found, key=lambda number: -found[number].score)
    for place, number in enumerate(order):
        for better in order[:place]:
            one = found[number]
            if one.mask.shared(found[better].mask):
                rest = one.mask.without(found[better].mask)
                found[number] = TrackedMask(rest, one.score, visible=bool(rest.area))
