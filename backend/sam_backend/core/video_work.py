"""The videos of a project: what annotators drew on a frame is followed, and comes back as predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sam_backend.arrays import FloatArray
from sam_backend.core.project_work import open_registered
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.addresses import literal_origin, shown
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.projects import Project, ProjectTask
from sam_backend.labelstudio.region_json import prediction
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.labelstudio.transport import Transport
from sam_backend.labelstudio.video_config import VideoTarget
from sam_backend.labelstudio.video_sequences import DrawnSequence, PageFrames, read_sequences, sequence_value
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters.protocol import Prompt
from sam_backend.segmenters.tracking import Tracker
from sam_backend.settings import Settings
from sam_backend.video.following import follow
from sam_backend.video.prompts import VideoPrompt
from sam_backend.video.reading import Video, open_video

_TIMEOUT = 600.0
"""Seconds for the file of a video."""

_TOLERANCE = 0.0025
"""Share of a frame's longer side by which an interpolated side of a box may be away from its place; one pixel at
least."""


@dataclass
class TrackCounts:
    """What was followed.

    Attributes
    ----------
    tasks, objects, keyframes : int, tasks with a new prediction, their followed objects, and the keyframes of these.
    earlier : int, tasks whose prediction is newer than what was drawn.
    notes : list of str, a sentence for each task that was left out, or whose frames the page cannot all show.
    """

    tasks: int = 0
    objects: int = 0
    keyframes: int = 0
    earlier: int = 0
    notes: list[str] = field(default_factory=list)


class VideoWork:
    """A project with videos, opened.

    Parameters
    ----------
    settings : Settings.
    project : str, its id or uid.

    Raises
    ------
    BadRequestError
        If no such project is known, or its labeling config has no video with a `VideoRectangle`.
    """

    def __init__(self, settings: Settings, project: str) -> None:
        self._servers = ServerRegistry.of_settings(settings)
        self._project: Project = open_registered(self._servers, project)
        self._target = VideoTarget.parse(self._project.label_config)
        self._images = TaskImages(
            timeout=_TIMEOUT, max_pixels=settings.max_image_pixels, transport=Transport.of_settings(settings)
        )

    def run(
        self, tracker: Tracker, tasks: ProgressCallback, frames: ProgressCallback, *, again: bool = False
    ) -> TrackCounts:
        """Give every task on which something was drawn a prediction, in place of an earlier one of the tracker.

        Of a task, the newest annotation or draft counts. Its regions of a prediction that nobody changed stay as they
        are; every other one is followed from its keyframes on.

        Parameters
        ----------
        tracker : Tracker.
        tasks, frames : called with the tasks done and in all, and with the frames of the task at work.
        again : bool, whether tasks are followed anew whose prediction by this tracker is newer than what was drawn.
        """
        counts, drawn = TrackCounts(), []
        for task in self._project.tasks():
            newest = _newest(task)
            sequences = read_sequences(newest.get("result") or [], self._target.control)
            if all(one.is_unchanged for one in sequences):
                continue
            made = [one.created_at for one in task.predictions if one.model_version == tracker.version]
            if not again and max(made, default="") > str(newest.get("updated_at") or ""):
                counts.earlier += 1
            else:
                drawn.append((task, sequences))
        for done, (task, sequences) in enumerate(drawn):
            tasks(done, len(drawn))
            try:
                self._track(tracker, task, sequences, frames, counts)
            except SamInspectError as error:
                counts.notes.append(f"Task {task.id} is left out: {error}")
        tasks(len(drawn), len(drawn))
        return counts

    def _track(
        self,
        tracker: Tracker,
        task: ProjectTask,
        sequences: Sequence[DrawnSequence],
        progress: ProgressCallback,
        counts: TrackCounts,
    ) -> None:
        address = self._target.address(task.data)
        changed = {number: one for number, one in enumerate(sequences, 1) if not one.is_unchanged}
        boxes: dict[int, dict[int, FloatArray | None]] = {number: {} for number in changed}
        scores = []
        with self._fetched(task, address) as file:
            video = open_video(file, progress, name=shown(address))
            frames = PageFrames(self._target.rate(task.data), video.times, video.duration)
            prompts = [prompt for number, one in changed.items() for prompt in _prompts(number, one, video, frames)]
            for followed in follow(tracker, video, prompts, progress):
                for number, tracked in followed.objects.items():
                    box = np.array(tracked.mask.box, np.float32) if tracked.visible else None
                    boxes[number][followed.frame.index] = box
                    scores += [tracked.score] if tracked.visible else []
        if video.lost:
            counts.notes.append(f"Task {task.id}: {video.lost}")
        if not frames.fits:
            counts.notes.append(_does_not_fit(task.id, frames, video))
        tolerance = max(_TOLERANCE * max(video.size), 1.0)
        regions = []
        for number, one in enumerate(sequences, 1):
            region = {name: value for name, value in one.region.items() if name != "origin"}
            if number in changed:
                value = sequence_value(boxes[number], video.size, frames, one.label, tolerance)
                if value["sequence"]:
                    region["value"] = value
                else:
                    # The page cannot show a region without a keyframe.
                    counts.notes.append(f"Task {task.id}: nothing was outlined in region {one.id}; it stays as drawn.")
                counts.keyframes += len(region["value"]["sequence"])
            regions.append(region)
        self._project.predict(task, prediction(regions, float(np.mean(scores or [0.0])), tracker.version))
        counts.tasks += 1
        counts.objects += len(changed)

    @contextmanager
    def _fetched(self, task: ProjectTask, address: str) -> Iterator[Path]:
        """Fetch the video of a task into a file that is gone after the block."""
        server, configured = self._servers.find(self._project.uid), literal_origin(self._target.video.value)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "video"
            file.write_bytes(self._images.fetch(address, server, task.id, configured=configured))
            yield file


def _newest(task: ProjectTask) -> Mapping[str, Any]:
    """Return the annotation or draft of a task that was saved last; {} without any."""
    saved = [one for one in (*task.annotations, *task.drafts) if not one.get("was_cancelled")]
    return max(saved, key=lambda one: str(one.get("updated_at") or ""), default={})


def _prompts(number: int, drawn: DrawnSequence, video: Video, frames: PageFrames) -> list[VideoPrompt]:
    """Return the keyframes of a region as prompts in pixels."""
    height, width = video.size
    scale = np.array([width, height, width, height], np.float32) / 100
    prompts: dict[int, VideoPrompt] = {}
    for page_frame, share in sorted(drawn.boxes.items()):
        box, frame = np.clip(share * scale, 0, [width, height] * 2).astype(np.float32), frames.of_page(page_frame)
        if page_frame > frames.count or box[2] <= box[0] or box[3] <= box[1]:
            raise BadRequestError(
                f"The box of region {drawn.id} in frame {page_frame} lies outside of the video, which has "
                f"{frames.count} frames of {width} x {height} pixels."
            )
        prompts[frame] = VideoPrompt(frame, number, drawn.label, Prompt(box=box), f"region {drawn.id}")
    return list(prompts.values())


def _does_not_fit(task: int, frames: PageFrames, video: Video) -> str:
    if not video.has_constant_rate:
        return (
            f"The video of task {task} has no constant frame rate: the page shows {frames.count} frames of it at "
            f"{frames.rate:g} a second, and its boxes are those of the moments that the page shows."
        )
    return (
        f"The labeling config has framerate {frames.rate:g} and the video of task {task} {video.rate:.6g}: the page "
        f'numbers {frames.count} frames, not {len(video)}; write framerate="{video.rate:.6g}" to see each frame.'
    )
