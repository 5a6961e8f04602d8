"""Encodes all images of a project or a folder into the cache, before anybody clicks on them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sam_backend.cluster.work import THIS_PROCESS, Workers
from sam_backend.core.image_work import EncodeFile, ImageFile
from sam_backend.core.model_loading import WorkerModel, load_model
from sam_backend.core.observer import Observer
from sam_backend.core.project_work import open_registered
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.core.warm_counts import WarmCounts
from sam_backend.errors import BadRequestError, ImageServerError, SamInspectError
from sam_backend.labelstudio.addresses import literal_origin
from sam_backend.labelstudio.config import LabelingConfig, TaskImage
from sam_backend.labelstudio.projects import ListedTask, Project
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.progress import ProgressCallback
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_PAUSE = 15.0
"""Seconds between two questions to a Label Studio that does not answer."""

_PATIENCE = 40
"""Questions after which it is given up."""

_SAMPLE = 5
"""Images from whose size that of all is estimated."""

_MOST_UNKEPT = 5
"""Embeddings that a lock of another process may cost before a warm-up is given up; a disk that is full ends it at once.
"""

_FULL = 0.95
"""The share of the cache that is filled; the rest are the pages of its database."""


@dataclass(frozen=True)
class _Image:
    """An image: its name for people, its file, and its embedding.

    `read` returns None for an image that is in the cache. `keep` gets the file and the embedding that a worker made of
    it, each if there is one, and returns what is kept.
    """

    name: str
    read: Callable[[], ImageFile | None]
    keep: Callable[[ImageFile | None, Embedding | None], Embedding]


@dataclass(frozen=True, eq=False)
class Warming:
    """A model, and the cache that it fills.

    Attributes
    ----------
    servers : ServerRegistry, knows the Label Studio of each project.
    segmenter : Segmenter, encodes.
    embeddings : TaskEmbeddings, keep what is encoded.
    cache : EmbeddingCache, in which they keep it.
    pause : callable, waits so many seconds.
    model : WorkerModel, what workers elsewhere load; None where there are none.
    """

    servers: ServerRegistry
    segmenter: Segmenter
    embeddings: TaskEmbeddings
    cache: EmbeddingCache
    pause: Callable[[float], None] = time.sleep
    model: WorkerModel | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, model: str, checkpoint: Path | None) -> Iterator[Warming]:
        """Load a model and open the cache.

        Raises
        ------
        SamInspectError
            If the settings keep no embeddings on disk, or the model cannot be loaded.
        """
        servers, cache = ServerRegistry.of_settings(settings), EmbeddingCache.of_settings(settings)
        try:
            if not cache.fill().disk_limit:
                raise BadRequestError(
                    f"Embeddings cannot be kept on disk in {settings.cache}; make room, make it writable, and set "
                    "SAM_INSPECT_EMBEDDING_DISK_MB to more than 0."
                )
            embeddings = TaskEmbeddings.of_settings(settings, servers, cache, Observer(), trusts_configs=True)
            segmenter = load_model(settings, model, checkpoint)
            elsewhere = WorkerModel.of(settings, model, checkpoint, segmenter)
            yield cls(servers, segmenter, embeddings, cache, model=elsewhere)
        finally:
            cache.close()

    def warm_project(
        self,
        project: str,
        counts: WarmCounts,
        reading: ProgressCallback,
        encoding: ProgressCallback,
        workers: Workers = THIS_PROCESS,
    ) -> None:
        """Encode the images of all tasks of a project, those first that nobody has touched.

        A Label Studio that stops answering is asked again every 15 seconds, for ten minutes.

        Parameters
        ----------
        project : str, the project's id or uid.
        counts : WarmCounts, counts the images, also of a warm-up that ends early.
        reading, encoding : ProgressCallback, called for the images that are listed and for those that are ready.
        workers : Workers, who encode; elsewhere, they get the files from here.

        Raises
        ------
        BadRequestError
            If no Label Studio with such a project is known.
        ImageServerError
            If Label Studio refuses, or has not answered for ten minutes.
        SamInspectError
            If the disk does not take the embeddings.
        """
        opened = open_registered(self.servers, project)
        config = LabelingConfig.parse(opened.label_config)
        images: list[tuple[bool, _Image]] = []
        for task in opened.list_tasks():
            images += ((task.is_done, self._of_task(opened, task, image)) for image in config.images(task.data))
            reading(len(images), 0)
        reading(len(images), len(images))
        untouched_first = sorted(images, key=lambda pair: pair[0])
        self._warm([image for _, image in untouched_first], counts, encoding, opened, workers)

    def warm_files(
        self, files: Iterable[Path], counts: WarmCounts, encoding: ProgressCallback, workers: Workers = THIS_PROCESS
    ) -> None:
        """Encode image files; the same files in a project are then found in the cache; see `warm_project`."""
        self._warm([self._of_file(file) for file in files], counts, encoding, None, workers)

    def _of_task(self, project: Project, task: ListedTask, image: TaskImage) -> _Image:
        embeddings, where = self.embeddings, (project.uid, task.id)
        configured = literal_origin(image.target.image.value)

        def read() -> ImageFile | None:
            url = image.address(task.data)
            if embeddings.is_ready(self.segmenter, url, project.uid):
                return None
            return ImageFile(embeddings.read(url, *where, configured=configured), url)

        def keep(file: ImageFile | None, encoded: Embedding | None) -> Embedding:
            url, content = image.address(task.data), file.content if file else None
            return embeddings.fetch(
                self.segmenter, url, *where, configured=configured, file=content, encoded=encoded
            ).embedding

        return _Image(f"Task {task.id}", read, keep)

    def _of_file(self, file: Path) -> _Image:
        name = str(file)

        def read() -> ImageFile | None:
            content = _read(file)
            return None if self.embeddings.is_file_ready(self.segmenter, content) else ImageFile(content, name)

        def keep(image: ImageFile | None, encoded: Embedding | None) -> Embedding:
            content = image.content if image else _read(file)
            return self.embeddings.fetch_file(self.segmenter, content, name, encoded=encoded).embedding

        return _Image(name, read, keep)

    def _warm(
        self,
        images: Sequence[_Image],
        counts: WarmCounts,
        encoding: ProgressCallback,
        project: Project | None,
        workers: Workers,
    ) -> None:
        counts.images, room = len(images), self.cache.fill().disk_limit * _FULL
        under_way: deque[ImageFile | SamInspectError | None] = deque()

        def files() -> Iterator[ImageFile | None]:
            """Yield the file of each image that is to be encoded, None for the others, as long as there is room."""
            for image in images:
                ready = counts.ready + len(under_way) + 1
                # More would push out what was encoded first.
                is_full = counts.measured >= _SAMPLE and ready * counts.mean_bytes > room
                if is_full or self.cache.refusal() or self.cache.unkept() > _MOST_UNKEPT:
                    return
                begun = self._begin(image, project)
                under_way.append(begun)
                yield None if isinstance(begun, SamInspectError) else begun

        # Here, an image is encoded as it is kept.
        answers = self._elsewhere(files(), workers) if workers.are_elsewhere else (None for _ in files())
        with closing(answers):
            for number, image in enumerate(images):
                encoding(number, len(images), image.name)
                try:
                    answer = next(answers)
                except StopIteration:
                    break
                begun = under_way.popleft()
                try:
                    self._end(image, begun, answer, counts)
                except SamInspectError as error:
                    if project is not None:
                        # Without Label Studio, all others would fail as well.
                        project.check()
                    counts.failed += 1
                    logger.warning("%s cannot be encoded: %s", image.name, error)
            else:
                encoding(len(images), len(images))
        unkept = self.cache.unkept(wait=True)
        counts.encoded -= unkept
        if refusal := self.cache.refusal():
            raise SamInspectError(f"{refusal}; make room there, or let this user write there, and start again.")
        if unkept > _MOST_UNKEPT:
            raise SamInspectError("Another process has locked the cache of embeddings; end it, and start again.")

    def _elsewhere(
        self, files: Iterator[ImageFile | None], workers: Workers
    ) -> Generator[Embedding | SamInspectError | None]:
        assert self.model is not None
        return workers.map(EncodeFile(self.segmenter, self.embeddings, self.model), files)

    def _begin(self, image: _Image, project: Project | None) -> ImageFile | SamInspectError | None:
        """Read the file of an image that is not ready; wait for a Label Studio that does not answer."""
        try:
            for attempt in range(_PATIENCE):
                try:
                    return image.read()
                except ImageServerError as error:
                    if project is None or _answers(project):
                        raise
                    if attempt == 0:
                        logger.warning("Label Studio does not answer; it is asked again every %g s. %s", _PAUSE, error)
                self.pause(_PAUSE)
            return image.read()
        except SamInspectError as error:
            return error

    def _end(
        self,
        image: _Image,
        begun: ImageFile | SamInspectError | None,
        answer: Embedding | SamInspectError | None,
        counts: WarmCounts,
    ) -> None:
        """Keep what came of an image, and count it; SamInspectError if it cannot be used."""
        for problem in (begun, answer):
            if isinstance(problem, SamInspectError):
                raise problem
        assert not isinstance(begun, SamInspectError)
        assert not isinstance(answer, SamInspectError)
        if begun or counts.measured < _SAMPLE:
            counts.measure(image.keep(begun, answer))
        counts.known += begun is None
        counts.encoded += begun is not None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadRequestError(f"{file} cannot be read: {error.strerror}.") from None


def _answers(project: Project) -> bool:
    try:
        project.check()
    except ImageServerError:
        return False
    return True
