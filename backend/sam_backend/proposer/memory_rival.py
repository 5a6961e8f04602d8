"""A memory of the training images alone, so that a proposer is compared with what has seen as much as it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.memory_proposer import MemoryProposer
from sam_backend.memory.project_memory import ProjectMemory, used_examples
from sam_backend.memory.records import Record
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.samples import Sample
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.views import View


def memory_of(
    labels: Mapping[str, Sequence[str]],
    load: Callable[[str], Sample],
    segmenter: Segmenter,
    folder: Path,
    progress: ProgressCallback = no_progress,
) -> MemoryProposer | None:
    """Return what a memory of some images proposes; None if they have no examples.

    It learns only what a memory would use in the end, so of thousands of images it takes no longer than of hundreds.

    Parameters
    ----------
    labels : mapping, the name of each image that it may learn -> the labels of its objects; the last is the newest.
    load : function that reads an image and its objects by name.
    segmenter : Segmenter whose features it uses.
    folder : Path, an empty folder for the memory's files.
    progress : ProgressCallback, called with the images done and their number.
    """
    newest = list(labels)[::-1]
    used = [newest[place] for place in used_examples([labels[name] for name in newest])]
    memory = ProjectMemory(folder)
    for number, name in enumerate(reversed(used), 1):
        memory.store.put(Record(number, task=number, image=name))

    def embed(record: Record) -> Embedding:
        return segmenter.encode(load(record.image).image)

    def read_masks(record: Record, _view: View | None) -> list[AcceptedMask]:
        return [AcceptedMask(target.mask, target.label) for target in load(record.image).objects]

    memory.catch_up(segmenter, embed, read_masks, progress=progress)
    memory.recalibrate(segmenter, embed, read_masks)
    classes = memory.classes(segmenter.version, lambda label: True)
    return memory.proposer(classes, segmenter.version) if classes else None
