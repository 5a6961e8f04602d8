"""What annotators accept, kept as examples while the service runs: stored at once, learnt in a background thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from sam_backend.core.accepted_records import accepted_masks, records_or_reason, view_of_masks
from sam_backend.core.agreements import compare_annotations
from sam_backend.core.background_model import BackgroundModel
from sam_backend.core.device_queue import Rank
from sam_backend.core.gathering import gather
from sam_backend.core.incomplete import IncompleteProjects
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.messages import Event
from sam_backend.labelstudio.projects import open_project
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.memory.agreement import Compared
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import EmbedRecord, Record
from sam_backend.segmenters import Embedding, Segmenter

logger = logging.getLogger(__name__)

_MODEL_TIMEOUT = 600.0
"""Seconds to wait for the model before a project is not learnt."""

_QUIET, _PATIENCE = 3.0, 60.0
"""Seconds without a request after which a long fit begins, and the longest wait for them."""

_CHECKED_PROJECTS = 1024
_CHANGES = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED")


class NotKeptError(SamInspectError):
    """An event could not be written to the home folder (HTTP 503)."""

    status = 503


@dataclass(frozen=True)
class KeptEvent:
    """What the memory did with an event.

    Attributes
    ----------
    changed : int, annotations or tasks whose records changed.
    set_aside : list of str, why items of the event could not be read.
    """

    changed: int
    set_aside: list[str]


class Learner:
    """Keeps the memories of projects up to date with Label Studio's webhooks.

    An event is on disk before the request is answered. The image is encoded later. A failure is logged in one line; the
    record is tried again when the service restarts or the memory is rebuilt. Where events could not be kept, Label
    Studio is asked for all annotations of the project as soon as the home folder can be written again.

    Parameters
    ----------
    memories, embeddings, model, servers : the parts that it uses.
    on_learnt : function, called with a project's uid in the learning thread when its memory is up to date.
    """

    def __init__(
        self,
        memories: Memories,
        embeddings: TaskEmbeddings,
        model: BackgroundModel,
        servers: ServerRegistry,
        on_learnt: Callable[[str], None] = lambda project: None,
    ) -> None:
        self._memories = memories
        self._embeddings = embeddings
        self._model = model
        self._servers = servers
        self._on_learnt = on_learnt
        self._incomplete = IncompleteProjects(memories)
        self._waiting: dict[str, None] = {}
        """Projects to learn, in the order of their events."""
        self._checked: LRUCache[str, tuple[str, str]] = LRUCache(_CHECKED_PROJECTS)
        """Project -> the model's version and the state of its records, when `check` last saw them."""
        self._uncompared: set[str] = set()
        """Projects whose annotations could not be compared with their predictions at the last attempt."""
        self._changed = threading.Condition()
        self._asked = 0.0
        """When a request was last about a project, on the monotonic clock."""
        self._stopping = self._busy = False
        self._thread: threading.Thread | None = None

    def handle(self, event: Event, *, learn: bool = True) -> KeptEvent | None:
        """Store what an event says; return what changed, or None if the memory does not depend on the event.

        Parameters
        ----------
        event : Event, any event of a project.
        learn : bool, whether to learn the changed records in this process. A process that ends soon cannot.

        Raises
        ------
        BadRequestError
            If the event does not say what was annotated or deleted.
        NotKeptError
            If the home folder cannot be written. Label Studio is asked for what is missing when it can.
        """
        _require_content(event)
        if event.project is None:
            return None
        project = event.project.uid
        try:
            kept = self._store(event, project)
        except OSError as error:
            self._incomplete.mark(project)
            logger.error("Project %s: %s cannot be kept: %s", event.project.id, event.action, error)
            raise NotKeptError(
                f"{event.action} of project {event.project.id} cannot be kept: {error}. Make the home folder of SAM "
                "Inspect writable again; then the next event of the project brings what is missing from Label Studio."
            ) from error
        if kept is not None and learn and (kept.changed or self._incomplete.is_due(project)):
            self._wake(project)
        return kept

    def check(self, project: str, version: str) -> None:
        """Learn the records of a project that changed since the last check, whichever process stored them.

        Parameters
        ----------
        project : str, the project's uid.
        version : str, the version of the model that answers, for example "nano-cca3e915".
        """
        try:
            changed = self._memories.of(project).store.changed()
        except OSError as error:
            logger.warning("Project %s: its memory cannot be read: %s", project, error)
            return
        with self._changed:
            self._asked = time.monotonic()
            is_new = bool(changed) and self._checked.get(project) != (version, changed)
            if is_new:
                self._checked[project] = (version, changed)
        if is_new or self._incomplete.is_due(project):
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

    def _store(self, event: Event, project: str) -> KeptEvent | None:
        """Store what an event says; None if it is not about examples."""
        memory, annotations = self._memories.of(project), event.all_annotations
        store, config = memory.store, event.project.label_config if event.project else None
        if event.action in _CHANGES:
            tasks = {str(task.id): task for task in event.all_tasks}
            several = [records_or_reason(one, tasks.get(str(one.task)), config) for one in annotations]
            changed = sum(store.put(*records) for records in several)
        elif event.action == "ANNOTATIONS_DELETED":
            changed = sum(store.put(Record(annotation.id, deleted=True)) for annotation in annotations)
        elif event.action == "TASKS_DELETED":
            changed = sum(store.delete_task(int(task.id)) for task in event.all_tasks if task.id is not None)
        else:
            return None
        self._memories.keep_owner(project)
        self._memories.keep_title(project, event.project.title if event.project else "")
        refused = [f"{event.action}: {reason}" for reason in event.refused]
        if refused:
            # Two servers may have something to add at once.
            with store.writing():
                store.gaps.set_aside(refused)
        return KeptEvent(changed, refused)

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
                self._gather_what_is_missing(project)
                with self._embeddings.queue.job(Rank.BACKGROUND, f"learning project {project}"):
                    try:
                        self._learn(project)
                    finally:
                        # Also for a model without features, which learns nothing.
                        self._compare(project)
                if not self._stopping:
                    self._on_learnt(project)
            except SamInspectError as error:
                logger.warning("Project %s: nothing is learnt: %s", project, error)
            except OSError as error:
                logger.error("Project %s: what is learnt cannot be kept: %s", project, error)
                # The next request about the project tries again.
                with self._changed:
                    self._checked.pop(project, None)
            except Exception:
                logger.exception("Project %s: nothing is learnt", project)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _gather_what_is_missing(self, project: str) -> None:
        """Read all annotations from Label Studio if events of the project could not be kept; log a failure."""
        attempt = self._incomplete.start(project)
        if attempt is None:
            return
        try:
            gather(open_project(self._servers, project), self._memories.of(project))
        except (SamInspectError, OSError) as error:
            logger.warning("Project %s: what could not be kept is still missing: %s", project, error)
        else:
            self._incomplete.finish(project, attempt)
            logger.info("Project %s: its annotations were read from Label Studio, since events were missing", project)

    def _learn(self, project: str) -> None:
        segmenter = self._embeddings.measured(self._model.get(_MODEL_TIMEOUT))
        memory = self._memories.of(project)
        embed = embed_records(self._embeddings, segmenter, project, memory)
        memory.learn(
            segmenter,
            embed,
            accepted_masks,
            should_stop=lambda: self._stopping,
            wait_for_quiet=self._wait_for_quiet,
        )

    def _compare(self, project: str) -> None:
        """Compare new annotations with the predictions that they were begun with; log a failure once."""
        store = self._memories.of(project).store
        if self._stopping or not store.uncompared():
            return
        observer = self._embeddings.observer

        def count(compared: Compared) -> None:
            observer.compared(project, compared.outcomes, compared.ious)

        try:
            compare_annotations(open_project(self._servers, project), store, count, lambda: self._stopping)
        except SamInspectError as error:
            if project not in self._uncompared:
                self._uncompared.add(project)
                logger.warning("Project %s: what became of its proposals is not known. %s", project, error)
        else:
            self._uncompared.discard(project)

    def _wait_for_quiet(self) -> None:
        """Wait until no request came for some seconds, a minute at most."""
        end = time.monotonic() + _PATIENCE
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                rest = min(self._asked + _QUIET, end) - now
                if rest <= 0:
                    return
                self._changed.wait(rest)


def _require_content(event: Event) -> None:
    """Refuse an event about annotations or tasks that does not name them: it would be lost without a word."""
    about_annotations = event.action in (*_CHANGES, "ANNOTATIONS_DELETED")
    if about_annotations:
        lacks = event.annotation is None and event.annotations is None
    elif event.action == "TASKS_DELETED":
        lacks = event.task is None and event.tasks is None
    else:
        return
    if lacks or event.project is None:
        what = "project" if event.project is None else "annotations" if about_annotations else "tasks"
        raise BadRequestError(
            f"{event.action} comes without its {what}, so nothing is remembered of it; switch 'Send payload' on for "
            "this webhook in Label Studio, then run sam-inspect memory rebuild."
        )


def embed_records(embeddings: TaskEmbeddings, segmenter: Segmenter, project: str, memory: ProjectMemory) -> EmbedRecord:
    """Return a function that computes the embedding of a record's image, of a large one of the tile with most masks."""

    def embed(record: Record) -> Embedding:
        fetched = embeddings.fetch(segmenter, record.image, project, record.task)
        if fetched.large is None:
            return fetched.embedding
        view = view_of_masks(memory.store.whole(record.key) or record, fetched.large.size)
        return view.part_of(fetched.large.embedding(segmenter, view))

    return embed
