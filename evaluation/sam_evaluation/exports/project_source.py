"""What annotators accepted in a project of Label Studio, task by task, with its images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam_backend.errors import BrokenSampleError, SamInspectError
from sam_backend.labelstudio.accepted import FetchFailures, accepted_images, fetch_image
from sam_backend.labelstudio.accepted_masks import AnnotatedImage
from sam_backend.labelstudio.addresses import split_page
from sam_backend.labelstudio.client import RefusedTokenError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.exports import ExportedTask
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.projects import Project, ProjectTask
from sam_backend.labelstudio.region_masks import UNLABELLED
from sam_backend.labelstudio.servers import Server
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Sample
from sam_backend.validation import checked
from sam_evaluation.datasets.instances import objects_of_instances
from sam_evaluation.datasets.label_studio import region_instances
from sam_evaluation.datasets.tally import Tally
from sam_evaluation.exports.source import CANNOT_BE_READ, EVERY_OBJECT, Source, SourceImage

NOT_FETCHED = "image that could not be fetched"


class ProjectSource(Source):
    """The newest annotation of each task that was not skipped, by the one reader of accepted annotations.

    Parameters
    ----------
    project : Project.
    server : Server that holds it.
    images : TaskImages, fetches the images.
    """

    def __init__(self, project: Project, server: Server, images: TaskImages) -> None:
        self._project, self._server, self._images = project, server, images
        self._config = LabelingConfig.parse(project.label_config)
        self.title, self.folder = f"Project {project.id}", None

    def classes(self) -> Sequence[str]:
        """Return the labels of the labeling config, in its order."""
        return self._config.labels

    def images(self, fetched: Path, tally: Tally, progress: ProgressCallback) -> Iterator[SourceImage]:
        """Yield the annotated images; raises ImageServerError where none of the first ones can be fetched."""
        failures = FetchFailures(self._project.id)
        total = sum(1 for _ in self._project.list_tasks())
        for done, task in enumerate(self._project.tasks()):
            progress(done, total)
            yield from self._of_task(task, fetched, tally, failures)
        progress(total, total)
        failures.report()

    def _of_task(
        self, task: ProjectTask, fetched: Path, tally: Tally, failures: FetchFailures
    ) -> Iterator[SourceImage]:
        what = f"task {task.id}"
        kept = [annotation for annotation in task.annotations if not annotation.get("was_cancelled")]
        if not kept:
            reason = "task that was skipped" if task.annotations else "task without an annotation"
            tally.leave_out(f"{reason}, with a draft that nobody submitted" if task.drafts else reason, what)
            return
        if task.drafts:
            tally.leave_out("draft beside a submitted annotation", what)
        for _ in kept[1:]:
            tally.leave_out("annotation that is not the newest of its task", what)
        fields = {"id": task.id, "data": dict(task.data), "annotations": list(task.annotations)}
        try:
            exported = checked(ExportedTask, fields, f"Task {task.id}")
        except BrokenSampleError as error:
            tally.leave_out("task that cannot be read", str(error))
            return

        def leave_out(reason: str) -> None:
            tally.leave_out(f"task or image: {reason}", what)

        for image in accepted_images(exported, self._config, leave_out):
            name = hashlib.sha256(f"{task.id}\n{image.address}".encode(errors="surrogatepass")).hexdigest()[:32]
            # Few files a folder: each image looks for its file in a list of them.
            folder = fetched / name[:2]
            try:
                file = fetch_image(image.address, self._server, task.id, folder, name, self._images)
            except RefusedTokenError:
                raise
            except SamInspectError as error:
                failures.add(error)
                tally.leave_out(NOT_FETCHED, str(error))
                continue
            failures.fetched += 1
            try:
                sample = self._sample(image, folder / file, what)
            except SamInspectError as error:
                tally.leave_out(CANNOT_BE_READ, str(error))
                continue
            address = "" if image.address[:5].lower() == "data:" else split_page(image.address)[0]
            key = f"{task.id}_{image.index}" if image.index else str(task.id)
            yield SourceImage(address, key, str(task.id), sample)

    def _sample(self, image: AnnotatedImage, file: Path, what: str) -> Sample:
        """Return the image with its masks."""
        pixels = self._images.open(file.read_bytes(), image.address).whole().rgb()
        tally = Tally()
        for region in image.regions.unused:
            tally.leave_out(f"region that is no mask: {region.reason}", f"region {region.id}" if region.id else "")
        size = pixels.shape[0], pixels.shape[1]
        every = region_instances(image.regions, size, what, tally)
        labelled = (pair for pair in every if not self.classes() or _is_labelled(pair[1], tally))
        objects = objects_of_instances(labelled, EVERY_OBJECT, tally)
        is_page = split_page(image.address)[1] is not None
        return tally.sample(what, pixels, objects, None if is_page else file)


def _is_labelled(label: str, tally: Tally) -> bool:
    if label != UNLABELLED:
        return True
    tally.leave_out("mask without a label")
    return False
