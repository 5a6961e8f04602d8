"""Simulated annotators who ask for all objects of a class at once: by its name, or by a box around one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from sam_backend.samples import Cropped, Object
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.model_info import PromptKind
from sam_backend.segmenters.protocol import POSITIVE
from sam_evaluation.protocols.simulated_clicks import tight_box

TEXT, EXEMPLAR = "text", "exemplar"


@dataclass(frozen=True, eq=False)
class FoundClass:
    """What a segmenter found of one class.

    Attributes
    ----------
    label : str, the class.
    objects : tuple of int, the indices in the sample of the objects that were to be found.
    masks : sequence of Cropped, what was found.
    scores : sequence of float in [0, 1].
    """

    label: str
    objects: tuple[int, ...]
    masks: Sequence[Cropped]
    scores: Sequence[float]


@dataclass(frozen=True)
class ByText:
    """Gives the name of each class that the image shows; `_` in it becomes a space."""

    name: str = TEXT
    needs: frozenset[PromptKind] = frozenset({"text"})

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], _rng: Generator
    ) -> Iterator[FoundClass]:
        """Yield what is found of each class of an image."""
        for label, indices in _classes(objects):
            found = find_instances(segmenter, embedding, Concept(label.replace("_", " ")))
            yield FoundClass(label, tuple(indices), found.crops(), found.scores.tolist())


@dataclass(frozen=True)
class ByExemplar:
    """Gives the tight box of one object of each class, drawn at random, where the image has more than one.

    The others are to be found. The mask that shares most with the given object, if any, does not count.
    """

    name: str = EXEMPLAR
    needs: frozenset[PromptKind] = frozenset({"exemplars"})

    def run(
        self, segmenter: Segmenter, embedding: Embedding, objects: Sequence[Object], rng: Generator
    ) -> Iterator[FoundClass]:
        """Yield what is found of each class of an image."""
        for label, indices in _classes(objects):
            if len(indices) < 2:
                continue
            given = indices[int(rng.integers(len(indices)))]
            example = objects[given].cropped
            box = tight_box(example.mask)[None]
            found = find_instances(segmenter, embedding, Concept(boxes=box, labels=np.array([POSITIVE])))
            masks, scores = list(found.crops()), found.scores.tolist()
            shared = [mask.shared(example) for mask in masks]
            if any(shared):
                own = int(np.argmax(shared))
                del masks[own], scores[own]
            yield FoundClass(label, tuple(index for index in indices if index != given), masks, scores)


ConceptProtocol = ByText | ByExemplar


def _classes(objects: Sequence[Object]) -> Iterator[tuple[str, list[int]]]:
    """Yield each class with the indices of its objects, in the order of the first ones."""
    for label in dict.fromkeys(target.label for target in objects):
        yield label, [index for index, target in enumerate(objects) if target.label == label]
