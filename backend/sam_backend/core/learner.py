"""What annotators accept, kept as examples while the service runs: heard at once, learnt in a thread of its own."""

from __future__ import annotations

import logging
import threading

from sam_backend.core.embeddings import TaskEmbeddings
from sam_backend.core.model import BackgroundModel
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.accepted_masks import has_prompts_only, mask_regions, read_masks
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import Annotation, Event, Task
from sam_backend.memory.features import AcceptedMask
from sam_backend.memory.memory import Embed, Memories
from sam_backend.memory.store import Record
from sam_backend.segmenters import Segmenter
from sam_backend.service.tracing import Trace

logger = logging.getLogger(__name__)

_PATIENCE = 600.0
"""Seconds that the model may take to be loaded before an example of it is given up."""


class Learner:
    """Keeps the memories of projects as Label Studio's webhooks say.

    What is heard is on disk before the request is answered; the image is looked at afterwards. What fails is told in
    one line and tried again when the service starts anew or the memory is rebuilt.
    """

    def __init__(self, memories: Memories, embeddings: TaskEmbeddings, model: BackgroundModel) -> None:
        self._memories = memories
        self._embeddings = embeddings
        self._model = model
        self._waiting: dict[str, None] = {}
        self._seen: dict[str, tuple[str, int]] = {}
        self._changed = threading.Condition()
        self._stopping = self._busy = False
        self._thread: threading.Thread | None = None

    def hear(self, event: Event, *, learn: bool = True) -> bool:
        """Take in an event; return whether the memory depends on it. Nothing of it fails: a problem is logged.

        Without `learn` it is kept only, for another process to learn: one that ends soon cannot.
        """
        if event.project is None:
            return False
        try:
            depends, changed = self._take(event, event.project.uid)
        except (SamInspectError, OSError) as error:
            logger.warning("Project %s: %s is not remembered: %s", event.project.id, event.action, error)
            return False
        if changed and learn:
            self._wake(event.project.uid)
        return depends

    def look_at(self, project: str, version: str) -> None:
        """See to it that a model looks at what is new of a project, whichever process heard of it."""
        changed = self._memories.of(project).store.changed()
        if changed and self._seen.get(project) != (version, changed):
            self._seen[project] = (version, changed)
            self._wake(project)

    def stop(self) -> None:
        """End the thread after the example under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until all that was heard is learnt; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def _take(self, event: Event, project: str) -> tuple[bool, bool]:
        """Return whether an event is about examples, and whether it changed any."""
        store = self._memories.of(project).store
        if event.action in ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED"):
            tasks = {task.id: task for task in event.all_tasks}
            records = [self._record(each, tasks.get(each.task), event) for each in event.all_annotations]
            return True, bool(sum(map(store.put, records)))
        if event.action == "ANNOTATIONS_DELETED":
            return True, bool(sum(store.put(Record(each.id, deleted=True)) for each in event.all_annotations))
        if event.action == "TASKS_DELETED":
            return True, bool(sum(store.delete_task(int(task.id)) for task in event.all_tasks if task.id is not None))
        return False, False

    def _record(self, annotation: Annotation, task: Task | None, event: Event) -> Record:
        if task is None or event.project is None or event.project.label_config is None:
            raise SamInspectError(
                f"the event says of annotation {annotation.id} neither task nor labeling config; run sam-inspect "
                "memory rebuild."
            )
        return make_record(annotation, task, event.project.label_config)

    def _wake(self, project: str) -> None:
        with self._changed:
            self._waiting[project] = None
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="learn", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                project = next(iter(self._waiting))
                # Before it is looked at: what is heard meanwhile wakes it again.
                del self._waiting[project]
                self._busy = True
            try:
                self._learn(project)
            except SamInspectError as error:
                logger.warning("Project %s: nothing is learnt: %s", project, error)
            except Exception:
                logger.exception("Project %s: nothing is learnt", project)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _learn(self, project: str) -> None:
        segmenter = self._embeddings.measured(self._model.get(_PATIENCE))
        embed = embed_records(self._embeddings, segmenter, project)
        memory = self._memories.of(project)
        memory.catch_up(segmenter, embed, accepted_masks, is_over=lambda: self._stopping)
        if not self._stopping:
            memory.recalibrate(segmenter, embed, accepted_masks)


def make_record(annotation: Annotation, task: Task, label_config: str) -> Record:
    """Return what is to be remembered of an annotation as Label Studio has it.

    Raises
    ------
    BadRequestError
        If the labeling config has no control for masks, or the task no image.
    """
    target = LabelingConfig.parse(label_config).target()
    result = annotation.result or []
    left_out = ""
    if annotation.was_cancelled:
        left_out = "it was skipped"
    elif has_prompts_only(result, target):
        left_out = "it has boxes or points, but no mask"
    return Record(
        annotation.id,
        annotation.updated_at or "",
        int(annotation.task or task.id or 0),
        target.image.source(task.data),
        [] if left_out else mask_regions(result, target),
        left_out,
    )


def accepted_masks(record: Record) -> list[AcceptedMask]:
    """Return the masks of a record, empty ones too. Errors as of `read_masks`."""
    return [AcceptedMask(region.mask, region.label) for region in read_masks(record.regions)]


def embed_records(embeddings: TaskEmbeddings, segmenter: Segmenter, project: str) -> Embed:
    """Return what gives the embedding of a record's image."""
    return lambda record: embeddings.fetch(segmenter, record.image, project, record.task, Trace())[1]
