"""What annotators accept, kept as examples while the service runs: stored at once, learnt in a background thread."""

from __future__ import annotations

import logging
import threading

from sam_backend.core.accepted_records import accepted_masks, make_records
from sam_backend.core.background_model import BackgroundModel
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.messages import Annotation, Event, Task
from sam_backend.memory.memories import Memories
from sam_backend.memory.records import EmbedRecord, Record
from sam_backend.segmenters import Segmenter

logger = logging.getLogger(__name__)

_MODEL_TIMEOUT = 600.0
"""Seconds to wait for the model before a project is not learnt."""


class Learner:
    """Keeps the memories of projects up to date with Label Studio's webhooks.

    An event is on disk before the request is answered. The image is encoded later. A failure is logged in one line; the
    record is tried again when the service restarts or the memory is rebuilt.
    """

    def __init__(self, memories: Memories, embeddings: TaskEmbeddings, model: BackgroundModel) -> None:
        self._memories = memories
        self._embeddings = embeddings
        self._model = model
        self._waiting: dict[str, None] = {}
        """Projects to learn, in the order of their events."""
        self._checked: dict[str, tuple[str, int]] = {}
        """Project -> the model's version and the state of its records, when `check` last saw them."""
        self._changed = threading.Condition()
        self._stopping = self._busy = False
        self._thread: threading.Thread | None = None

    def handle(self, event: Event, *, learn: bool = True) -> bool:
        """Store what an event says; return whether the memory depends on the event. Never fails: an error is logged.

        Parameters
        ----------
        event : Event, any event of a project.
        learn : bool, whether to learn the changed records in this process. A process that ends soon cannot.
        """
        if event.project is None:
            return False
        try:
            depends, changed = self._store(event, event.project.uid)
        except (SamInspectError, OSError) as error:
            logger.warning("Project %s: %s is not remembered: %s", event.project.id, event.action, error)
            return False
        if changed and learn:
            self._wake(event.project.uid)
        return depends

    def check(self, project: str, version: str) -> None:
        """Learn the records of a project that changed since the last check, whichever process stored them.

        Parameters
        ----------
        project : str, the project's uid.
        version : str, the version of the model that answers, for example "nano-cca3e915".
        """
        changed = self._memories.of(project).store.changed()
        if changed and self._checked.get(project) != (version, changed):
            self._checked[project] = (version, changed)
            self._wake(project)

    def stop(self) -> None:
        """Stop the thread after its current example."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until all stored events are learnt; return whether that happened within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def _store(self, event: Event, project: str) -> tuple[bool, bool]:
        """Store what an event says; return whether it is about examples, and whether it changed any."""
        store, annotations = self._memories.of(project).store, event.all_annotations
        if event.action in ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED"):
            tasks = {task.id: task for task in event.all_tasks}
            changes = [_records_of(event, annotation, tasks.get(annotation.task)) for annotation in annotations]
            return True, bool(sum(store.put(*records) for records in changes))
        if event.action == "ANNOTATIONS_DELETED":
            return True, bool(sum(store.put(Record(annotation.id, deleted=True)) for annotation in annotations))
        if event.action == "TASKS_DELETED":
            return True, bool(sum(store.delete_task(int(task.id)) for task in event.all_tasks if task.id is not None))
        return False, False

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
                # Before the learning: an event that comes meanwhile adds the project again.
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
        segmenter = self._embeddings.measured(self._model.get(_MODEL_TIMEOUT))
        embed = embed_records(self._embeddings, segmenter, project)
        memory = self._memories.of(project)
        memory.catch_up(segmenter, embed, accepted_masks, should_stop=lambda: self._stopping)
        if not self._stopping:
            memory.recalibrate(segmenter, embed, accepted_masks)


def _records_of(event: Event, annotation: Annotation, task: Task | None) -> list[Record]:
    if task is None or event.project is None or event.project.label_config is None:
        raise SamInspectError(
            f"the event says of annotation {annotation.id} neither task nor labeling config; run sam-inspect "
            "memory rebuild."
        )
    return make_records(annotation, task, event.project.label_config)


def embed_records(embeddings: TaskEmbeddings, segmenter: Segmenter, project: str) -> EmbedRecord:
    """Return a function that computes the embedding of a record's image."""
    return lambda record: embeddings.fetch(segmenter, record.image, project, record.task).embedding
