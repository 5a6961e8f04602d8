"""The accepted annotations on pictures of spectrograms, as intervals of time and frequency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sam_backend.arrays import FloatArray
from sam_backend.errors import BadRequestError, BrokenSampleError, SamInspectError
from sam_backend.labelstudio.accepted_masks import ImageRegions, read_annotation
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.exports import Export, ExportedAnnotation, ExportedTask
from sam_backend.labelstudio.region_masks import entries_by_region, region_id, regions_of
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.signals.calibration import KEY, Calibration
from sam_backend.signals.intervals import Interval, interval_of
from sam_backend.signals.picture import read_calibration, read_levels

ReadPicture = Callable[[ExportedTask, str, Calibration | None], bytes]
"""A function that returns the file of a task's picture, by its address and its calibration, as far as they are known;
SamInspectError if it cannot."""


@dataclass(frozen=True)
class MarkedInterval:
    """An accepted region on a spectrogram: its task, its id, its label, and the interval."""

    task: int
    region: str
    label: str
    calibration: Calibration
    interval: Interval


@dataclass
class MarkedIntervals:
    """What the annotations of a project mark.

    Attributes
    ----------
    rows : list of MarkedInterval.
    problems : list of str, sentences about annotations and regions that are left out, and about peaks that are unknown.
    """

    rows: list[MarkedInterval] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_intervals(
    export: Export,
    config: LabelingConfig | None,
    what: str,
    read_picture: ReadPicture | None,
    progress: ProgressCallback = no_progress,
) -> MarkedIntervals:
    """Read the newest annotation of every task.

    The calibration is that of the task's data, or else of the text of its picture.

    Parameters
    ----------
    export : Export.
    config : LabelingConfig of the project; None where it is unknown.
    what : str, names the source in errors, for example "Project 5".
    read_picture : ReadPicture, for peak frequencies; None to leave them out.
    progress : ProgressCallback, called with the tasks done and the total.

    Raises
    ------
    BadRequestError
        If nothing is annotated, or the images are not of spectrograms.
    """
    annotated = [(task, newest) for task in export.tasks if (newest := task.newest()) is not None]
    if not annotated:
        raise BadRequestError(f"{what} has no accepted annotation yet.")
    found = MarkedIntervals(problems=[f"{problem} It is left out." for problem in export.unreadable])
    are_spectrograms = any(KEY in task.data for task, _ in annotated)
    for done, (task, annotation) in enumerate(annotated):
        progress(done, len(annotated), "Reading annotations")
        for address, regions in _images(export, task, annotation, config, found):
            page = _read_page(task, address, read_picture)
            are_spectrograms |= page.calibration is not None
            if not are_spectrograms:
                raise BadRequestError(
                    f"{what} has no spectrograms of sam-inspect signal render: the image of task {task.id} has no "
                    f"calibration. {page.problem}".rstrip()
                )
            _add(found, task.id, regions, page)
    progress(len(annotated), len(annotated), "Reading annotations")
    return found


@dataclass(frozen=True, eq=False)
class _Page:
    """What is known of a picture: its calibration, the dB of its data area, and why something of it is not known."""

    calibration: Calibration | None
    levels: FloatArray | None
    problem: str


def _read_page(task: ExportedTask, address: str, read_picture: ReadPicture | None) -> _Page:
    calibration, levels, problem = None, None, ""
    try:
        if KEY in task.data:
            calibration = Calibration.of_data(task.data[KEY], f"task {task.id}")
        if read_picture is not None:
            picture = read_picture(task, address, calibration)
            calibration = calibration or read_calibration(picture, f"the image of task {task.id}")
            levels = None if calibration is None else read_levels(picture, calibration)
            problem = "" if levels is not None else "Its image is not the picture that was rendered."
    except SamInspectError as error:
        problem = str(error)
    return _Page(calibration, levels, problem)


def _images(
    export: Export,
    task: ExportedTask,
    annotation: ExportedAnnotation,
    config: LabelingConfig | None,
    found: MarkedIntervals,
) -> Iterator[tuple[str, ImageRegions]]:
    """Yield the images that have regions, with their addresses, "" where they are unknown; add what is no mask."""
    if config is None:
        images = [("", regions) for regions in export.read(task, annotation.result)]
        unused = tuple(region for _, regions in images for region in regions.unused)
    else:
        try:
            accepted = read_annotation(annotation.result, task.data, config)
        except SamInspectError as error:
            found.problems.append(f"Task {task.id} is left out: {error}")
            return
        images = [(image.address, image.regions) for image in accepted.images]
        unused = accepted.unused
    found.problems += [f"Task {task.id}, region {region.id}: {region.reason}; it is left out." for region in unused]
    yield from images


def _add(found: MarkedIntervals, task: int, regions: ImageRegions, page: _Page) -> None:
    """Add the intervals of one picture, and what is wrong with it."""
    if not regions.entries:
        return
    calibration, about = page.calibration, f"Task {task}"
    if calibration is None:
        found.problems.append(f"{about} is left out: its image has no calibration. {page.problem}".rstrip())
        return
    if page.problem:
        found.problems.append(f"{about} has no peak frequencies. {page.problem}")
    for entries in entries_by_region(regions.entries):
        where = f"{about}, region {region_id(entries[0])}"
        try:
            for region in regions_of(entries):
                height, width = region.cropped.size
                if (height, width) != (calibration.height, calibration.width):
                    raise BrokenSampleError(
                        f"it was drawn on an image of {width} x {height} pixels, and the picture has "
                        f"{calibration.width} x {calibration.height}."
                    )
                interval = interval_of(region.cropped, calibration, page.levels)
                if interval is None:
                    raise BrokenSampleError("it covers no pixel of the spectrogram.")
                found.rows.append(MarkedInterval(task, region.id, region.label, calibration, interval))
        except BrokenSampleError as error:
            found.problems.append(f"{where} is left out: {error}")
