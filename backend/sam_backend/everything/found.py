"""One image -> what `everything` keeps of it: its instances in words, and the three PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PIL import Image

from sam_backend.core.model_loading import WorkerModel
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.everything.label_maps import label_map, png_of_map
from sam_backend.everything.pictures import side_by_side
from sam_backend.everything.search import Instance, ProjectSearch, Search
from sam_backend.everything.tables import OBJECT, Described
from sam_backend.segmenters.automatic import AutomaticSettings
from sam_backend.segmenters.coco_counts import coco_counts
from sam_backend.stores import StorePath


@dataclass(frozen=True)
class AskedImage:
    """An image to search.

    Attributes
    ----------
    name : str, its name in messages.
    file : bytes of its file, or its place on a store.
    classes : tuple of str, the classes known so far; the first has the id 1.
    """

    name: str
    file: bytes | StorePath
    classes: tuple[str, ...]


@dataclass(frozen=True)
class FoundOnImage:
    """What is found on an image.

    Attributes
    ----------
    size : (H, W) in pixels.
    instances : list of Described.
    ids : class -> its id in the class map, of the classes that are shown.
    picture, instance_map, class_map : bytes of PNG files.
    """

    size: tuple[int, int]
    instances: list[Described]
    ids: dict[str, int]
    picture: bytes
    instance_map: bytes
    class_map: bytes


@dataclass(frozen=True)
class FindOnImage:
    """Finds what a search seeks, see `Work`; an image that cannot be used gives its error."""

    search: Search

    def __call__(self, asked: AskedImage | SamInspectError, /) -> FoundOnImage | SamInspectError:
        """Return what is found on an image."""
        if isinstance(asked, SamInspectError):
            return asked
        try:
            return self._find(asked)
        except SamInspectError as error:
            return error
        except FileNotFoundError as error:
            return unreadable(error)

    def elsewhere(self) -> Callable[[int], FindOnImage]:
        """Return what makes the same work in another process."""
        assert self.search.model is not None
        return partial(_open, self.search.model, self.search.automatic, self.search.project)

    def name_of(self, asked: AskedImage | SamInspectError, /) -> str:
        """Return the name of an image."""
        return "" if isinstance(asked, SamInspectError) else asked.name

    def _find(self, asked: AskedImage) -> FoundOnImage:
        search = self.search
        content = asked.file if isinstance(asked.file, bytes) else asked.file.read_bytes()
        fetched = search.fetch(content, asked.name)
        instances = search.instances(fetched)
        size = fetched.embedding.size
        masks = [one.mask for one in instances]
        by_instance = label_map(masks, range(1, len(masks) + 1), size)
        labels = [one.label or OBJECT for one in instances]
        ids = class_ids(labels, list(asked.classes))
        by_class = label_map(masks, [ids[label] for label in labels], size)
        picture = io.BytesIO()
        Image.fromarray(side_by_side(fetched.reader(), by_class if search.labels else by_instance)).save(picture, "PNG")
        described = [_described(one) for one in instances]
        return FoundOnImage(size, described, ids, picture.getvalue(), png_of_map(by_instance), png_of_map(by_class))


def class_ids(labels: Sequence[str], classes: list[str]) -> dict[str, int]:
    """Return the ids of the classes that labels name, from 1; classes that are not known yet are added.

    Examples
    --------
    >>> class_ids(["pit", "crack"], ["crack"])
    {'pit': 2, 'crack': 1}
    """
    shown = list(dict.fromkeys(labels))
    classes += [label for label in shown if label not in classes]
    return {label: classes.index(label) + 1 for label in shown}


def unreadable(error: OSError) -> BadRequestError:
    """Return the error for an image whose file cannot be read."""
    return BadRequestError(f"It cannot be read: {error.strerror}.")


def _open(model: WorkerModel, automatic: AutomaticSettings, project: ProjectSearch | None, threads: int) -> FindOnImage:
    return FindOnImage(Search(*model.load(threads), automatic, project))


def _described(one: Instance) -> Described:
    return Described(
        counts=coco_counts(one.mask),
        box=one.mask.box,
        area=one.mask.area,
        score=round(one.score, 4),
        stability=None if one.stability is None else round(one.stability, 4),
        contrast=round(one.contrast, 4),
        label=one.label,
    )
