"""Encodes the images of the tasks that annotators open next, before they click; a pause for every request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from cachetools import LRUCache, TTLCache

from sam_backend.core.background_model import BackgroundModel
from sam_backend.core.claims import Claims
from sam_backend.core.device_queue import Rank
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.addresses import literal_origin
from sam_backend.labelstudio.config import LabelingConfig, TaskImage
from sam_backend.labelstudio.projects import ListedTask, open_project
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.labelstudio.upcoming_tasks import upcoming_tasks
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_AGAIN = 60.0
"""Seconds after which the same request reads the order of the tasks again."""

_SPACING = 5.0
"""Seconds between two readings for one page; an import may announce every task by itself."""

_MODEL_TIMEOUT = 600.0
_MOST_PAGES = 256
_MOST_ROUNDS = 8
_MOST_IMAGES = 64
"""Images of a round, where tasks have many pages."""


@dataclass(frozen=True)
class _Asked:
    """The page that asked: a project's uid and the task that is open there, None if it is not known."""

    project: str
    task: int | None


@dataclass
class _Round:
    """What one page will need: images of tasks, and the bytes of memory that their embeddings may still take."""

    asked: _Asked
    images: list[tuple[ListedTask, TaskImage]]
    room: float


class Prefetcher:
    """Encodes images ahead of the annotators, in one thread, the page first that asked last.

    Servers with one cache folder share the images of a page: what one encodes at this moment, the other passes over.

    Parameters
    ----------
    settings : Settings, with the number of tasks (`prefetch`; 0 does nothing) and the memory for embeddings.
    model, embeddings, servers : the parts that it uses.
    """

    def __init__(
        self,
        settings: Settings,
        model: BackgroundModel,
        embeddings: TaskEmbeddings,
        servers: ServerRegistry,
    ) -> None:
        self._tasks = settings.prefetch
        self._room = settings.embedding_memory_mb * 2**20 / 2
        self._model = model
        self._embeddings = embeddings
        self._servers = servers
        self._claims = Claims(settings.cache / "prefetching" if settings.embedding_disk_mb else None)
        self._asked: dict[_Asked, float] = {}
        """Pages, the last one that asked at the end -> when the order is to be read."""
        self._rounds: list[_Round] = []
        self._recent: TTLCache[_Asked, float] = TTLCache(_MOST_PAGES, _AGAIN, monotonic)
        """Pages -> when their order was, or will be, read for the last time."""
        self._told: LRUCache[str, bool] = LRUCache(_MOST_PAGES)
        """Failures that were logged."""
        self._changed = threading.Condition()
        self._stopping = self._busy = False
        self._thread: threading.Thread | None = None

    def ask(self, project: str, task: int | str | None = None, *, is_new: bool = False) -> bool:
        """Encode what a page opens next; returns at once. The same page asks once a minute.

        Parameters
        ----------
        project : str, the project's uid.
        task : int or str, the task that is open; None if none is.
        is_new : bool, whether the project has new tasks, so that its order is read again.

        Returns
        -------
        bool
            Whether anything is encoded ahead.
        """
        asked = _Asked(project, int(task) if task is not None and str(task).isdecimal() else None)
        with self._changed:
            before = self._recent.get(asked)
            if not self._tasks or self._stopping:
                return False
            if before is not None and not is_new:
                return True
            now = monotonic()
            due = self._asked.pop(asked, None) or (now if before is None else max(now, before + _SPACING))
            self._recent[asked] = self._asked[asked] = due
            if len(self._asked) > _MOST_PAGES:
                del self._asked[next(iter(self._asked))]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def remaining(self) -> int:
        """Return how many images are still to be encoded, as far as that is known."""
        return sum(len(one.images) for one in list(self._rounds))

    def stop(self) -> None:
        """Stop the thread after its current image."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until everything is encoded; return whether that happened within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._asked or self._rounds or self._busy), timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                while (asked := self._due()) is None and not self._rounds and not self._stopping:
                    self._changed.wait(min(self._asked.values()) - monotonic() if self._asked else None)
                if self._stopping:
                    return
                if asked is not None:
                    del self._asked[asked]
                self._busy = True
            if asked is not None:
                with self._failures(f"reading the next tasks of project {asked.project}"):
                    self._plan(asked)
            else:
                self._encode_next(self._rounds[-1])
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _due(self) -> _Asked | None:
        """Return the page that asked last of those whose order is to be read now."""
        now = monotonic()
        return next((asked for asked, due in reversed(self._asked.items()) if due <= now), None)

    def _plan(self, asked: _Asked) -> None:
        server = self._servers.find(asked.project)
        if server is None or not server.token:
            return
        project = open_project(self._servers, asked.project)
        config = LabelingConfig.parse(project.label_config)
        tasks = upcoming_tasks(project, asked.task, self._tasks)
        images = list(islice(self._images(config, tasks), _MOST_IMAGES))
        others = [one for one in self._rounds if one.asked != asked]
        self._rounds = [*others, _Round(asked, images, self._room)][-_MOST_ROUNDS:]

    def _images(self, config: LabelingConfig, tasks: Iterable[ListedTask]) -> Iterator[tuple[ListedTask, TaskImage]]:
        for task in tasks:
            with self._failures(f"prefetching task {task.id}"):
                yield from ((task, image) for image in config.images(task.data))

    def _encode_next(self, now: _Round) -> None:
        if not now.images or now.room <= 0:
            self._rounds.remove(now)
            return
        task, image = now.images.pop(0)
        with self._failures(f"prefetching task {task.id}"):
            url, configured = image.address(task.data), literal_origin(image.target.image.value)
            with self._claims.claim(f"{now.asked.project} {url}") as is_ours:
                if not is_ours:
                    return
                with self._embeddings.queue.job(Rank.BACKGROUND, f"prefetching task {task.id}"):
                    segmenter = self._embeddings.measured(self._model.get(_MODEL_TIMEOUT))
                    fetched = self._embeddings.fetch(segmenter, url, now.asked.project, task.id, configured=configured)
            now.room -= fetched.embedding.nbytes

    @contextmanager
    def _failures(self, doing: str) -> Iterator[None]:
        """Report an error of the block; the annotator gets the same sentence at the click."""
        try:
            yield
        except (SamInspectError, OSError) as error:
            if str(error) not in self._told:
                self._told[str(error)] = True
                logger.warning("%s does not work: %s", doing.capitalize(), error)
        except Exception:
            logger.exception("%s failed", doing.capitalize())
