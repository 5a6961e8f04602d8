"""Baselines without learning, with the same protocol as SAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters import Candidates, DenseFeatures, Embedding, ModelInfo, Prompt, Segmenter, WeightFolders
from sam_backend.segmenters.model_registry import no_features
from sam_evaluation.errors import EvaluationError

SCALES = (100, 400)
"""Scales of Felzenszwalb's segmentation: the larger, the larger its regions."""


def _load(info: ModelInfo, checkpoint: Path | None, _threads: int, _folders: WeightFolders) -> Segmenter:
    if checkpoint:
        raise EvaluationError(f"{info.name} has no weights; got the checkpoint {checkpoint}. Leave it out.")
    return FilledBox() if info is FILLED_BOX else Felzenszwalb()


FILLED_BOX = ModelInfo("boxfill", "The box itself, filled.", "Apache-2.0", _load, prompts=frozenset({"box"}))

FELZENSZWALB = ModelInfo(
    "felzenszwalb",
    "The region under a click of Felzenszwalb's segmentation.",
    "Apache-2.0",
    _load,
    prompts=frozenset({"points"}),
)


class FilledBox:
    """The filled box: every model must be better."""

    info = FILLED_BOX
    name = FILLED_BOX.name
    version = "boxfill-1"

    def encode(self, image: ImageArray) -> Embedding:
        """Keep only the size of the image uint8 RGB (H, W, 3)."""
        return Embedding({}, (image.shape[0], image.shape[1]))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Fill each box.

        Raises
        ------
        BadRequestError
            If a prompt has no box.
        """
        answers = []
        for prompt in prompts:
            if prompt.box is None:
                raise BadRequestError("boxfill answers boxes; got a prompt without one.")
            mask = np.zeros((1, *embedding.size), bool)
            x0, y0, x1, y1 = np.rint(prompt.box).astype(int)
            mask[0, max(y0, 0) : y1, max(x0, 0) : x1] = True
            answers.append(_certain(mask))
        return answers

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Raise BadRequestError: there are none."""
        raise no_features(embedding)


class Felzenszwalb:
    """The region under a click of Felzenszwalb's graph-based segmentation (IJCV 2004), at two scales."""

    info = FELZENSZWALB
    name = FELZENSZWALB.name
    version = "felzenszwalb-1"

    def encode(self, image: ImageArray) -> Embedding:
        """Segment the image uint8 RGB (H, W, 3) at each scale."""
        from skimage.segmentation import felzenszwalb

        maps = [felzenszwalb(image, scale=scale, sigma=0.8, min_size=20) for scale in SCALES]
        return Embedding({"segments": np.stack(maps)}, (image.shape[0], image.shape[1]))

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        """Return the regions under each prompt's positive points, one mask a scale, without those under negative ones.

        Raises
        ------
        BadRequestError
            If a prompt has no point.
        """
        segments = embedding.arrays["segments"]
        limit = np.array(embedding.size[::-1]) - 1
        answers = []
        for prompt in prompts:
            if not len(prompt.points):
                raise BadRequestError("felzenszwalb answers clicks; got a prompt without one.")
            columns, rows = np.clip(prompt.points.astype(int), 0, limit).T
            under = segments[:, rows, columns]
            wanted, unwanted = under[:, prompt.labels == 1], under[:, prompt.labels == 0]
            masks = np.stack(
                [
                    np.isin(regions, np.setdiff1d(inside, outside))
                    for regions, inside, outside in zip(segments, wanted, unwanted, strict=True)
                ]
            )
            answers.append(_certain(masks))
        return answers

    def features(self, embedding: Embedding) -> DenseFeatures:
        """Raise BadRequestError: there are none."""
        raise no_features(embedding)


def _certain(masks: BoolArray) -> Candidates:
    """Return masks (K, H, W) as an answer; the predicted IoU is one half, since there is no estimate."""
    logits = np.where(masks, np.float32(1), np.float32(-1))
    return Candidates(masks, np.full(len(masks), 0.5, np.float32), logits)
