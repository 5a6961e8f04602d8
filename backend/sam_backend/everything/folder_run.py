"""A folder of images -> a folder of results; a run that was interrupted goes on when it is repeated."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from sam_backend.cluster.work import THIS_PROCESS, Workers
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.everything.found import AskedImage, FindOnImage, FoundOnImage, class_ids, unreadable
from sam_backend.everything.search import Search
from sam_backend.everything.tables import OBJECT, Part, coco_of, csv_of, csv_text
from sam_backend.files import link_or_copy, sweep, write_whole
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters.image_folder import images_in
from sam_backend.stores import StorePath, files_below

logger = logging.getLogger(__name__)

RUN, PARTS, IMAGES = "everything.json", "parts", "images"
PNGS = (PICTURES, INSTANCE_MAPS, CLASS_MAPS) = ("side_by_side", "instance_maps", "class_maps")
COCO, TABLE, BROKEN = "annotations/instances.json", "instances.csv", "broken.csv"


@dataclass
class FolderResult:
    """What a run wrote.

    Attributes
    ----------
    parts : list of Part, one for each image that could be used.
    broken : list of (name, reason), the other images.
    classes : list of str, the classes; the first has the id 1.
    """

    parts: list[Part] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of instances on all images."""
        return sum(len(part.instances) for part in self.parts)


class FolderRun:
    """The images of a folder, with its subfolders, and the folder of what is found on them.

    Parameters
    ----------
    images, out : Path, the two folders, each on a disk or on a store.

    Raises
    ------
    BadRequestError
        If there is no image, one folder lies in the other, or `out` holds something else.
    """

    def __init__(self, images: Path, out: Path) -> None:
        if images.resolve().is_relative_to(out.resolve()) or out.resolve().is_relative_to(images.resolve()):
            raise BadRequestError(f"{out} lies within {images}, or around it; name another folder for the results.")
        if out.exists() and not out.is_dir():
            raise BadRequestError(f"{out} is a file; name a new folder.")
        if out.is_dir() and any(out.iterdir()) and not (out / RUN).is_file():
            raise BadRequestError(f"{out} holds other files; name a new folder.")
        self._files = {file.relative_to(images).as_posix(): file for file in images_in(images)}
        self._pngs = _names_of_pngs(list(self._files))
        self.out = out

    def run(self, search: Search, progress: ProgressCallback, workers: Workers = THIS_PROCESS) -> FolderResult:
        """Find the instances on all images, and write them.

        Of each image the folder gets its file in `images/` (linked where the file system can), a picture of it and its
        instances in `side_by_side/`, their ids in `instance_maps/` and their classes in `class_maps/`; of all images
        `annotations/instances.json` in COCO's format, `instances.csv`, and `broken.csv` with those that were left out.

        Parameters
        ----------
        search : Search.
        progress : called with the numbers of images done and in all, and the name of the next one.
        workers : Workers, who search.

        Raises
        ------
        BadRequestError
            If `out` holds a run of another model or with other settings, or no image can be used.
        """
        self._claim(search)
        result, find = FolderResult(classes=list(search.labels or (OBJECT,))), FindOnImage(search)
        places = {name: self._place(name) for name in self._files}
        there = {name: place for name, place in places.items() if isinstance(place, Path)}
        kept = {name: place for name, place in there.items() if self._is_whole(name, place)}
        waiting = (
            self._asked(name, result.classes) if isinstance(place, Path) else place
            for name, place in places.items()
            if name not in kept
        )
        with closing(workers.map(find, waiting)) as answers:
            for done, (name, place) in enumerate(places.items()):
                progress(done, len(places), name)
                if name in kept:
                    part = self._read_part(name, kept[name])
                    ids = class_ids([one.label or OBJECT for one in part.instances], result.classes) if part else None
                    if part and part.ids in (None, ids):
                        result.parts.append(part)
                        continue
                    # It is damaged, or images before it that came or went have changed the numbers of classes.
                    found = find(self._asked(name, result.classes))
                else:
                    found = next(answers)
                if isinstance(found, FoundOnImage) and class_ids(list(found.ids), result.classes) != found.ids:
                    # It was searched before all classes of the images before it were known.
                    found = find(self._asked(name, result.classes))
                if isinstance(place, Path) and isinstance(found, FoundOnImage):
                    found = self._copied(name) or found
                if isinstance(found, SamInspectError):
                    result.broken.append((name, str(found)))
                elif isinstance(place, Path):
                    result.parts.append(self._write_part(name, place, found))
        progress(len(self._files), len(self._files))
        if not result.parts:
            raise BadRequestError(
                f"0 of {len(result.broken)} images can be used. The first is {': '.join(result.broken[0])}"
            )
        self._remove_stale(result.parts)
        self._write(COCO, json.dumps(coco_of(result.parts, result.classes)).encode())
        # A file's name need not be UTF-8, and a table must.
        self._write(TABLE, csv_of(result.parts).encode(errors="backslashreplace"))
        self._write(BROKEN, csv_text(("image", "reason"), result.broken).encode(errors="backslashreplace"))
        return result

    def _claim(self, search: Search) -> None:
        """Check that the folder is new, or that of the same search; mark it as ours."""
        marker = self.out / RUN
        if not marker.is_file():
            self._write(RUN, json.dumps(search.identity, indent=1).encode())
            return
        try:
            before = dict(json.loads(marker.read_bytes()))
        except (ValueError, TypeError):
            raise BadRequestError(f"{marker} cannot be read; name a new folder.") from None
        now = search.identity
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            name = differing[0]
            had, has = before.get(name), now.get(name)
            raise BadRequestError(f"{self.out} holds a run with {name} {had}, this one has {has}; name a new folder.")
        # What a killed run left.
        sweep(self.out)

    def _place(self, name: str) -> Path | BadRequestError:
        """Return the file for what is kept of an image; an error if it is not there, or the results cannot have it."""
        png = self._pngs[name]
        if isinstance(self.out, StorePath):
            files = self.out / IMAGES / name, *(self.out / kind / png for kind in (PICTURES, INSTANCE_MAPS, CLASS_MAPS))
            if fault := next(filter(None, (file.fault_of_name() for file in files)), None):
                return BadRequestError(f"It cannot be written to {self.out}: {fault}; give it another name.")
        try:
            stamp = self._files[name].stat()
        except OSError as error:
            return unreadable(error)
        key = json.dumps([name, png, stamp.st_size, stamp.st_mtime_ns])
        return self.out / PARTS / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _asked(self, name: str, classes: list[str]) -> AskedImage | BadRequestError:
        """Return an image to search: with its content, or on a store its address, which the worker reads."""
        file = self._files[name]
        try:
            return AskedImage(name, file if isinstance(file, StorePath) else file.read_bytes(), tuple(classes))
        except OSError as error:
            return unreadable(error)

    def _copied(self, name: str) -> BadRequestError | None:
        """Put an image into the results; return an error if it is gone meanwhile."""
        try:
            link_or_copy(self._files[name], self.out / IMAGES / name)
        except FileNotFoundError as error:
            return unreadable(error)
        return None

    def _write_part(self, name: str, place: Path, found: FoundOnImage) -> Part:
        """Write what is found on an image, and return what is kept of it."""
        png = self._pngs[name]
        part = Part(place.name, name, png, found.size, found.instances, found.ids)
        for folder, content in zip(PNGS, (found.picture, found.instance_map, found.class_map), strict=True):
            self._write(f"{folder}/{png}", content)
        write_whole(place, part.content(), private=False)
        return part

    def _remove_stale(self, parts: Sequence[Part]) -> None:
        """Remove what earlier runs wrote of images that are gone, changed, or of another name."""
        names, pngs, files = map(set, zip(*((part.name, part.png, part.file) for part in parts), strict=True))
        for kept in (self.out / PARTS).glob("*.json"):
            if kept.name in files:
                continue
            # A damaged one names no files.
            with suppress(ValueError):
                part = Part.read(kept.read_bytes())
                if part.name not in names:
                    (self.out / IMAGES / part.name).unlink(missing_ok=True)
                for folder in PNGS if part.png not in pngs else ():
                    (self.out / folder / part.png).unlink(missing_ok=True)
            kept.unlink()

    def _is_whole(self, name: str, place: Path) -> bool:
        """Return whether earlier runs left all results of an image, none of them empty."""
        pngs = (self.out / folder / self._pngs[name] for folder in PNGS)
        return self._kept.issuperset((place, self.out / IMAGES / name, *pngs))

    def _read_part(self, name: str, place: Path) -> Part | None:
        """Return what an earlier run kept of an image; None if its file is damaged."""
        try:
            part = Part.read(place.read_bytes())
        except ValueError:
            part = None
        if part and (part.file, part.name, part.png) == (place.name, name, self._pngs[name]):
            return part
        logger.warning("%s is damaged; its image %s is searched again.", place, name)
        return None

    @cached_property
    def _kept(self) -> frozenset[Path]:
        """The files of earlier runs that are not empty, listed once: a store takes longer to say it of a single one."""
        folders = (self.out / folder for folder in (PARTS, IMAGES, *PNGS))
        files = (file for folder in folders for file in files_below(folder))
        return frozenset(file for file in files if file.is_file() and file.stat().st_size)

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.out / name, content, private=False)


def _names_of_pngs(names: Sequence[str]) -> dict[str, str]:
    """Return the name of each image's PNG files: its own with another suffix, or behind it where two would be equal."""
    stems = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    # "a.png.tif" has the stem "a.png", which "a.png" beside "a.tif" takes as well.
    counts = Counter(text.casefold() for name, stem in stems.items() for text in (stem, name))
    return {name: f"{stem if counts[stem.casefold()] == 1 else name}.png" for name, stem in stems.items()}
