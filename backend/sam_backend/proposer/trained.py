"""A trained proposer on onnxruntime; needs no PyTorch."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from sam_backend.arrays import BoolArray, FloatArray, ImageArray
from sam_backend.memory.proposals import Proposal
from sam_backend.proposer.manifest import MANIFEST, WEIGHTS, read_manifest
from sam_backend.proposer.regions import Region, find_regions
from sam_backend.proposer.tiles import shares_of
from sam_backend.segmenters import Embedding, Prompt, Segmenter
from sam_backend.segmenters.onnx_sessions import open_session
from sam_backend.segmenters.pixels import reader_of

MIN_SCORE = 0.25
"""Proposals with a lower score are not shown. On held-out training images of NEU-Seg this leaves out four of ten false
proposals and one of fifty correct ones."""


class TrainedProposer:
    """A net that was trained on a project's accepted images.

    Parameters
    ----------
    folder : Path, the folder of `proposer.onnx` and `proposer.json`.
    threads : int, threads of onnxruntime; 0 takes all cores.

    Raises
    ------
    WeightsError
        If a file is missing or damaged.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = read_manifest(folder)
        path = folder / WEIGHTS
        self._session = open_session(path, threads, "proposer", "train the proposer again")
        digest = hashlib.sha256(path.read_bytes() + (folder / MANIFEST).read_bytes()).hexdigest()[:8]
        self._name = f"proposer-{digest}"
        self._folder = folder
        self._threads = threads

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to another process as the two files."""
        files = {name: (self._folder / name).read_bytes() for name in (WEIGHTS, MANIFEST)}
        return _of_files, (files, self._threads)

    @property
    def name(self) -> str:
        """`proposer-` and eight hex digits of the SHA-256 of its files."""
        return self._name

    def propose(self, segmenter: Segmenter, embedding: Embedding, *, limit: int | None = None) -> list[Proposal]:
        """Return the proposals for an image; see `Proposer.propose`."""
        regions = self.regions(reader_of(embedding).rgb())
        scored = [(self.manifest.score(region), region) for region in regions]
        kept = sorted((pair for pair in scored if pair[0] >= MIN_SCORE), key=lambda pair: -pair[0])[:limit]
        masks = [mask_in(region, embedding.size) for _, region in kept]
        if self.manifest.is_polished:
            masks = polished(segmenter, embedding, masks)
        labels = self.manifest.labels
        proposals = [
            Proposal(mask, labels[region.index], score) for mask, (score, region) in zip(masks, kept, strict=True)
        ]
        return [proposal for proposal in proposals if proposal.mask.any()]

    def shares(self, image: ImageArray) -> FloatArray:
        """Return the shares (1 + K, h, w) of background and classes in an image uint8 (H, W, 3), scaled."""
        scale, (height, width) = self.manifest.scale, image.shape[:2]
        if scale != 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return shares_of(np.ascontiguousarray(image), self._run)

    def regions(self, image: ImageArray) -> list[Region]:
        """Return the regions in an image uint8 (H, W, 3), in pixels of the scaled image."""
        return find_regions(self.shares(image), self.manifest.least_area)

    def _run(self, image: ImageArray) -> FloatArray:
        (shares,) = self._session.run(None, {"image": image[None]})
        whole: FloatArray = shares[0]
        return whole


def _of_files(files: Mapping[str, bytes], threads: int) -> TrainedProposer:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        return TrainedProposer(Path(folder), threads)


def mask_in(region: Region, size: tuple[int, int]) -> BoolArray:
    """Return the mask bool (H, W) of a region in an image of `size` (H, W)."""
    mask = region.shown.mask
    if mask.shape == size:
        return mask
    resized = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    inside: BoolArray = resized >= 0.5
    return inside


def polished(segmenter: Segmenter, embedding: Embedding, masks: list[BoolArray]) -> list[BoolArray]:
    """Return masks of an image, each corrected by the segmenter without a click; an empty answer changes nothing."""
    prompts = {index: Prompt(mask=mask) for index, mask in enumerate(masks) if mask.any()}
    answers = segmenter.decode(embedding, list(prompts.values())) if prompts else []
    after = list(masks)
    for index, answer in zip(prompts, answers, strict=True):
        if answer.masks[answer.best].any():
            after[index] = answer.masks[answer.best]
    return after
