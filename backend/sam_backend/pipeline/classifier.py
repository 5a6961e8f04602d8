"""The step `classify`: an ONNX classifier looks at the crop of each mask and names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import softmax

from sam_backend.errors import BadRequestError, brief
from sam_backend.pipeline.onnx_images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Channels,
    Fit,
    ImageModel,
    Side,
    labels_in,
)
from sam_backend.pipeline.scene import ProposedMask, Scene
from sam_backend.pipeline.step import File, Share

_TOLERANCE = 1e-3
"""By how much probabilities may miss a sum of 1."""


class Classify:
    """Name each mask by an ONNX classifier, which sees the crop around it.

    The probability of the label is multiplied with the score, so that a doubtful label makes a proposal doubtful.

    Parameters
    ----------
    file : Path of the ONNX file: (1, 3, H, W) -> (1, C) logits or probabilities.
    labels : the C labels in their order; empty for those in the file's metadata.
    drop : labels whose masks are dropped, such as a background.
    margin : share of the longer side of a mask's box that is added around it.
    min_score : least probability of the label; masks below are dropped.
    size, fit, mean, std : how a crop becomes the input, see `ImageModel`.
    """

    def __init__(
        self,
        *,
        file: File,
        labels: tuple[str, ...] = (),
        drop: tuple[str, ...] = ("background",),
        margin: Annotated[float, Field(ge=0, le=4)] = 0.2,
        min_score: Share = 0.0,
        size: Side | None = None,
        fit: Fit = "stretch",
        mean: Channels = IMAGENET_MEAN,
        std: Channels = IMAGENET_STD,
    ) -> None:
        self._file, self._model = file, ImageModel(file, size, fit, mean, std)
        self._labels = list(labels) or labels_in(self._model.session)
        self._drop, self._margin, self._min_score = drop, margin, min_score
        outputs = self._model.session.get_outputs()
        count = outputs[0].shape[-1]
        if len(outputs[0].shape) != 2:
            raise BadRequestError(f"{file} gives {outputs[0].name} {outputs[0].shape}; expected classes as [1, C].")
        if not self._labels:
            raise BadRequestError(f"{file} names no labels; add labels = [...] in the order of its outputs.")
        if isinstance(count, int) and count != len(self._labels):
            raise BadRequestError(f"{file} gives {count} classes, but there are {len(self._labels)} labels.")

    def __call__(self, scene: Scene, proposed: Sequence[ProposedMask]) -> list[ProposedMask]:
        """Return the masks with their labels."""
        image, named = scene.image if proposed else None, []
        for one in proposed:
            assert image is not None
            left, top, right, bottom = one.mask.box
            around = round(self._margin * max(right - left, bottom - top))
            crop = image[max(top - around, 0) : bottom + around, max(left - around, 0) : right + around]
            outputs, _ = self._model.run(crop)
            values = next(iter(outputs.values()))[0]
            if len(values) != len(self._labels) or not np.isfinite(values).all():
                raise BadRequestError(
                    f"{self._file} gave {brief(values.tolist())} for {len(self._labels)} labels; expected "
                    "a number each."
                )
            is_probability = (values >= 0).all() and abs(values.sum() - 1) < _TOLERANCE
            shares = values if is_probability else softmax(values.astype(np.float64))
            best = int(np.argmax(shares))
            label, share = self._labels[best], float(shares[best])
            if label not in self._drop and share >= self._min_score:
                named.append(replace(one, label=label, score=one.score * share))
        return named
