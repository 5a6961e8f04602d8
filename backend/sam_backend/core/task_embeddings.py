"""Embeddings of the images of tasks: taken from the cache, or computed from the image that a server sends."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from sam_backend.core.background_model import MeasuredSegmenter
from sam_backend.core.device_queue import DeviceQueue, Rank, current_job
from sam_backend.core.large_files import LargeFiles, is_large, stored_name
from sam_backend.core.large_images import LargeImage
from sam_backend.core.observer import Observer, Stage
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.addresses import Origin, split_page
from sam_backend.labelstudio.images import TaskImages, image_name
from sam_backend.labelstudio.servers import Server, ServerRegistry
from sam_backend.segmenters import Embedding, Segmenter
from sam_backend.segmenters.cache import EmbeddingCache, EmbeddingSource
from sam_backend.segmenters.image_files import file_digest
from sam_backend.segmenters.image_reader import ImageReader, PixelReader
from sam_backend.segmenters.pixels import reader_of
from sam_backend.settings import Settings

_LAYOUT = "2"
"""Part of all keys, to be changed with the arrays of embeddings: versions of this program may share a cache."""


@dataclass(frozen=True, eq=False)
class TaskEmbedding:
    """The embedding of a task's image.

    Attributes
    ----------
    key : str, the key of the embedding in the cache.
    embedding : Embedding, as the segmenter's `encode` returned it; of a large image, only its size counts.
    source : EmbeddingSource, where the embedding came from.
    large : LargeImage, where the image is encoded in parts; else None.
    """

    key: str
    embedding: Embedding
    source: EmbeddingSource
    large: LargeImage | None = None

    def overview(self, segmenter: Segmenter) -> Embedding:
        """Return the embedding of the whole image, of a large one shrunk."""
        return self.large.overview(segmenter) if self.large else self.embedding

    def reader(self) -> ImageReader:
        """Return the image itself."""
        return self.large.reader() if self.large else reader_of(self.embedding)


class TaskEmbeddings:
    """Fetches and encodes the images of tasks, at most one per core at once. Safe to share between threads.

    Parameters
    ----------
    images : TaskImages, fetches and decodes the files.
    servers : ServerRegistry, knows the Label Studio of each project.
    cache : EmbeddingCache, keeps the embeddings.
    observer : Observer, receives the stages of the work, the sources of embeddings and the failures of images.
    large_files : LargeFiles, keeps the files of large images; None encodes every image as a whole.
    trusts_configs : bool, whether a labeling config may name a server with a private address; True where only users of
        this machine choose the config.

    Attributes
    ----------
    queue : DeviceQueue, for all work with the model.
    observer : as given.
    """

    def __init__(
        self,
        images: TaskImages,
        servers: ServerRegistry,
        cache: EmbeddingCache,
        observer: Observer,
        *,
        large_files: LargeFiles | None = None,
        trusts_configs: bool = False,
    ) -> None:
        self._images = images
        self._large_files = large_files
        self._servers = servers
        self._cache = cache
        self.observer = observer
        self._trusts_configs = trusts_configs
        self.queue = DeviceQueue(os.cpu_count() or 1)
        cache.write_in(self._in_the_background)

    @classmethod
    def of_settings(
        cls,
        settings: Settings,
        servers: ServerRegistry,
        cache: EmbeddingCache,
        observer: Observer,
        *,
        trusts_configs: bool = False,
    ) -> TaskEmbeddings:
        """Return the embeddings of tasks, with the limits of the settings for images."""
        images, large_files = TaskImages.of_settings(settings), LargeFiles.of_settings(settings)
        return cls(images, servers, cache, observer, large_files=large_files, trusts_configs=trusts_configs)

    @classmethod
    def in_memory(cls, settings: Settings) -> TaskEmbeddings:
        """Return the embeddings of files, which leave those alone that the service keeps on disk for annotators."""
        cache = EmbeddingCache.of_megabytes(settings.embedding_memory_mb, None, 0)
        return cls.of_settings(settings, ServerRegistry.of_settings(settings), cache, Observer())

    def measured(self, segmenter: Segmenter) -> Segmenter:
        """Return a segmenter whose work is reported to the observer and waits for a free core."""
        return MeasuredSegmenter(segmenter, self.observer, self.queue)

    def fetch(
        self,
        segmenter: Segmenter,
        url: str,
        project: str | int | None,
        task: int | str | None,
        *,
        configured: Origin | None = None,
        file: bytes | None = None,
        encoded: Embedding | None = None,
    ) -> TaskEmbedding:
        """Return the embedding of an image; the image itself is fetched only if the cache has no embedding.

        Parameters
        ----------
        segmenter : Segmenter, encodes the image.
        url : str, the image's address in the task's data.
        project : str or int, the project's uid, `<project id>.<Unix time of its creation>`; None if unknown.
        task : int or str, the task's id; None if unknown.
        configured : Origin, a server that the labeling config names, see `literal_origin`.
        file : bytes of the image's file, where it was read before.
        encoded : Embedding that another process made of that file.

        Raises
        ------
        SamInspectError
            If the image cannot be fetched or decoded.
        """
        key = _key_of_address(segmenter, self._servers.find(str(project)), url)

        def fetch_file() -> bytes:
            return self.read(url, project, task, configured=configured) if file is None else file

        def load() -> PixelReader | Embedding:
            content = fetch_file()
            known = self._cache.find(_key_of_file(segmenter, file_digest(content, split_page(url)[1])))
            if known is not None:
                return known
            with ExitStack() as slot:
                with self.observer.stage(Stage.WAIT_FOR_DEVICE):
                    slot.enter_context(self.queue)
                return self._decode(content, url, encoded)

        is_asked = current_job().rank is not Rank.BACKGROUND
        with self.queue.begun(), self.observer.stage(Stage.EMBEDDING_CACHE):
            embedding, source = self._cache.fetch(key, segmenter, load)
        if is_asked:
            self.observer.embedding_fetched(source)
        large = self._large_image(embedding, segmenter, url, fetch_file)
        return TaskEmbedding(key, embedding, source, large)

    def read(
        self, url: str, project: str | int | None, task: int | str | None, *, configured: Origin | None = None
    ) -> bytes:
        """Return the file of an image; parameters and errors as of `fetch`."""
        origin = configured if self._trusts_configs else None
        try:
            with self.observer.stage(Stage.FETCH_IMAGE):
                return self._images.fetch(url, self._servers.find(str(project)), task, configured=origin)
        except SamInspectError as error:
            self.observer.image_failed(error.status)
            raise

    def is_ready(self, segmenter: Segmenter, url: str, project: str | int | None) -> bool:
        """Return whether `fetch` would find the embedding of an image in the cache."""
        return _key_of_address(segmenter, self._servers.find(str(project)), url) in self._cache

    def is_file_ready(self, segmenter: Segmenter, file: bytes) -> bool:
        """Return whether `fetch_file` would find the embedding of a file in the cache."""
        return _key_of_file(segmenter, file_digest(file)) in self._cache

    def fetch_file(
        self, segmenter: Segmenter, file: bytes, name: str, *, encoded: Embedding | None = None
    ) -> TaskEmbedding:
        """Return the embedding of a file; `fetch` finds it for every address at which the same file lies.

        Parameters
        ----------
        segmenter : Segmenter, encodes the image.
        file : bytes of the image's file.
        name : str, names the file in an error.
        encoded : Embedding that another process made of the file.

        Raises
        ------
        SamInspectError
            If the file is no image.
        """
        key = _key_of_file(segmenter, file_digest(file, split_page(name)[1]))
        embedding, source = self._cache.fetch(key, segmenter, lambda: self._decode(file, name, encoded))
        return TaskEmbedding(key, embedding, source, self._large_image(embedding, segmenter, name, lambda: file))

    def _large_image(
        self, embedding: Embedding, segmenter: Segmenter, url: str, fetch_file: Callable[[], bytes]
    ) -> LargeImage | None:
        """Return the image for whose size an embedding stands; None where the embedding is that of all of it."""
        if self._large_files is None or not is_large(embedding):
            return None
        open_reader = partial(self._large_files.reader, embedding, image_name(url), fetch_file, split_page(url)[1])
        key_of_parts = _key(segmenter.version, "large", stored_name(embedding))
        return LargeImage(key_of_parts, embedding.size, open_reader, self._cache)

    def _decode(self, file: bytes, url: str, encoded: Embedding | None) -> PixelReader | Embedding:
        """Return the image in a file; of a large one, which is kept on disk, what stands for its embedding."""
        if encoded is not None and not is_large(encoded):
            return encoded
        with self.observer.stage(Stage.DECODE_IMAGE):
            large = self._large_files.keep(file, image_name(url), split_page(url)[1]) if self._large_files else None
            return self._images.open(file, url).whole() if large is None else large

    @contextmanager
    def _in_the_background(self) -> Iterator[None]:
        with self.queue.job(Rank.BACKGROUND, "keeping an embedding"), self.queue.begun():
            yield


def _key_of_address(segmenter: Segmenter, server: Server | None, url: str) -> str:
    # The server is part of the key, so that the users of one Label Studio never see images of another.
    return _key(segmenter.version, server.hostname if server else "", url)


def _key_of_file(segmenter: Segmenter, digest: str) -> str:
    return _key(segmenter.version, "file", digest)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join((_LAYOUT, *parts)).encode()).hexdigest()
