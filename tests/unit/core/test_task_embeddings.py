import pytest

from colour_segmenter import ColourSegmenter, surface
from sam_backend.core.observer import Observer
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.labelstudio.addresses import Origin
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.image_files import file_digest
from sam_backend.segmenters.image_reader import PixelReader

PRIVATE = Origin.of("http://10.0.0.5/")


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr("sam_backend.segmenters.embedding_folder._MOST_UNWRITTEN", 0)


class Opened:
    """A file that is noted when it is decoded."""

    def __init__(self, file, decoded=None):
        self.digest = file_digest(file)
        self._file, self._decoded = file, decoded

    def whole(self):
        if self._decoded is not None:
            self._decoded.append(self._file)
        return PixelReader(surface(len(self._file), red=[(20, 30)])[0], "", self.digest)


class Images:
    """Fetches nothing, and notes which server of the labeling config it may use."""

    def fetch(self, url, server, task, *, configured=None):
        self.configured = configured
        return b""

    def open(self, file, url):
        return Opened(file)


@pytest.mark.parametrize(("trusts", "used"), [(True, PRIVATE), (False, None)])
def test_a_server_that_a_labeling_config_names_counts_only_where_configs_are_trusted(tmp_path, trusts, used):
    images = Images()
    servers, cache = ServerRegistry(tmp_path), EmbeddingCache.of_megabytes(16, None, 0)
    embeddings = TaskEmbeddings(images, servers, cache, Observer(), trusts_configs=trusts)
    embeddings.fetch(ColourSegmenter(), "http://10.0.0.5/a.png", None, 1, configured=PRIVATE)
    assert images.configured == used


class Files:
    """Images of a server, by address."""

    def __init__(self, **files):
        self.files = {f"/{name}.png": file for name, file in files.items()}
        self.decoded = []

    def fetch(self, url, server, task, *, configured=None):
        return self.files[url]

    def open(self, file, url):
        return Opened(file, self.decoded)


def embeddings_in(folder, images):
    return TaskEmbeddings(images, ServerRegistry(folder), EmbeddingCache.of_megabytes(16, folder, 64), Observer())


def test_a_file_that_was_stored_is_not_encoded_again_wherever_it_is_found(tmp_path):
    images = Files(a=b"1", copy=b"1", other=b"2")
    before = embeddings_in(tmp_path, images)
    assert not before.is_file_ready(ColourSegmenter(), b"1")
    before.fetch_file(ColourSegmenter(), b"1", "a.png")
    assert before.is_file_ready(ColourSegmenter(), b"1")
    embeddings = embeddings_in(tmp_path, images)
    sources = [str(embeddings.fetch(ColourSegmenter(), f"/{name}.png", None, 1).source) for name in ("a", "copy", "a")]
    assert sources == ["disk", "disk", "memory"]
    assert images.decoded == [b"1"]
    assert str(embeddings.fetch(ColourSegmenter(), "/other.png", None, 1).source) == "encoder"


def test_an_image_is_ready_once_its_embedding_is_kept_for_this_model(tmp_path):
    embeddings = embeddings_in(tmp_path, Files(a=b"1"))
    assert not embeddings.is_ready(ColourSegmenter(), "/a.png", None)
    embeddings.fetch(ColourSegmenter(), "/a.png", None, 1)
    for others in (embeddings, embeddings_in(tmp_path, Files())):
        assert others.is_ready(ColourSegmenter(), "/a.png", None)
        assert not others.is_ready(ColourSegmenter("colour-2"), "/a.png", None)


def test_versions_of_this_program_with_other_embeddings_share_a_folder_without_harm(tmp_path, monkeypatch):
    embeddings_in(tmp_path, Files(a=b"1")).fetch(ColourSegmenter(), "/a.png", None, 1)
    monkeypatch.setattr("sam_backend.core.task_embeddings._LAYOUT", "another")
    newer = embeddings_in(tmp_path, Files(a=b"1"))
    assert str(newer.fetch(ColourSegmenter(), "/a.png", None, 1).source) == "encoder"
    monkeypatch.undo()
    assert str(embeddings_in(tmp_path, Files()).fetch(ColourSegmenter(), "/a.png", None, 1).source) == "disk"
