import sqlite3
import threading
from contextlib import closing, contextmanager

import numpy as np
import pytest
from diskcache import Cache

from sam_backend.deadlines import AbandonedError, Deadline, within
from sam_backend.segmenters import embedding_folder
from sam_backend.segmenters.cache import EmbeddingCache, EmbeddingSource
from sam_backend.segmenters.embedding_folder import EmbeddingFolder
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.pixels import mapping_of, reader_of, with_pixels
from threshold_segmenter import ThresholdSegmenter

IMAGE = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
NBYTES = 12 * 10 * 4
DISK = 2**24


def image():
    return IMAGE


def unwanted():
    pytest.fail("the image was loaded although its embedding is kept")


def test_a_second_request_is_answered_from_memory(tmp_path):
    cache, segmenter = EmbeddingCache(2**20, tmp_path, DISK), ThresholdSegmenter()
    first, source = cache.fetch("a", segmenter, image)
    assert source is EmbeddingSource.ENCODER
    second, source = cache.fetch("a", segmenter, unwanted)
    assert source is EmbeddingSource.MEMORY
    assert second is first


def test_after_a_restart_the_embedding_comes_from_disk_unchanged(tmp_path):
    before = EmbeddingCache(2**20, tmp_path, DISK)
    expected = before.fetch("a", ThresholdSegmenter(), image)[0]
    before.close()
    embedding, source = EmbeddingCache(2**20, tmp_path, DISK).fetch("a", ThresholdSegmenter(), unwanted)
    assert source is EmbeddingSource.DISK
    assert embedding.size == expected.size == (12, 10)
    assert embedding.arrays.keys() == expected.arrays.keys()
    np.testing.assert_array_equal(embedding.arrays["grey"], expected.arrays["grey"])
    assert embedding.arrays["grey"].dtype == np.float32


def test_memory_is_limited_in_bytes_and_the_least_recently_used_goes_first():
    cache, segmenter = EmbeddingCache(2 * NBYTES), ThresholdSegmenter()
    for key in ("a", "b", "a", "c"):
        cache.fetch(key, segmenter, image)
    assert cache.fetch("a", segmenter, image)[1] is EmbeddingSource.MEMORY
    assert cache.fetch("b", segmenter, image)[1] is EmbeddingSource.ENCODER


def test_an_embedding_larger_than_memory_is_answered_and_kept_on_disk(tmp_path):
    cache, segmenter = EmbeddingCache(NBYTES - 1, tmp_path, DISK), ThresholdSegmenter()
    cache.fetch("a", segmenter, image)
    assert cache.fetch("a", segmenter, unwanted)[1] is EmbeddingSource.DISK


def test_the_disk_is_limited_in_bytes(tmp_path):
    segmenter, large = ThresholdSegmenter(), np.zeros((100, 100, 3), np.uint8)
    for key in range(30):
        with closing(EmbeddingCache(1, tmp_path, 2**17)) as cache:
            cache.fetch(str(key), segmenter, lambda: large)
    cache = EmbeddingCache(1, tmp_path, 2**17)
    assert cache.fetch("29", segmenter, unwanted)[1] is EmbeddingSource.DISK
    assert cache.fetch("0", segmenter, lambda: large)[1] is EmbeddingSource.ENCODER


def test_many_who_ask_at_once_share_one_encoding():
    cache, segmenter = EmbeddingCache(2**20), ThresholdSegmenter()
    loading, go_on = threading.Event(), threading.Event()
    answers = []

    def slow_image():
        loading.set()
        assert go_on.wait(30)
        return IMAGE

    def ask():
        answers.append(cache.fetch("a", segmenter, slow_image)[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    threads[0].start()
    assert loading.wait(30)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert segmenter.encoded == 1
    assert len(answers) == 8
    assert all(answer is answers[0] for answer in answers)


def test_an_image_that_cannot_be_had_is_asked_for_again_next_time():
    cache, segmenter = EmbeddingCache(2**20), ThresholdSegmenter()

    def missing():
        raise FileNotFoundError("no such image")

    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="no such image"):
            cache.fetch("a", segmenter, missing)
    assert cache.fetch("a", segmenter, image)[1] is EmbeddingSource.ENCODER


@pytest.mark.parametrize("left_behind", [b"", b"PK\x03\x04 torn", b"\x80\x04pickled", 7])
def test_a_damaged_entry_on_disk_is_made_anew(tmp_path, left_behind, caplog):
    with Cache(str(tmp_path)) as disk:
        disk.set("a", left_behind)
    cache, segmenter = EmbeddingCache(2**20, tmp_path, DISK), ThresholdSegmenter()
    assert cache.fetch("a", segmenter, image)[1] is EmbeddingSource.ENCODER
    assert "made again" in caplog.text


@contextmanager
def released(event, entered):
    entered.set()
    assert event.wait(30)
    yield


def test_an_embedding_is_written_when_nobody_waits_and_found_before_it_is(tmp_path):
    cache, segmenter = EmbeddingCache(1, tmp_path, DISK), ThresholdSegmenter()
    is_quiet, entered = threading.Event(), threading.Event()
    cache.write_in(lambda: released(is_quiet, entered))
    cache.fetch("a", segmenter, image)
    assert entered.wait(30)
    assert "a" in cache
    assert cache.fetch("a", segmenter, unwanted)[1] is EmbeddingSource.DISK
    with closing(EmbeddingCache(1, tmp_path, DISK)) as other:
        assert "a" not in other
        is_quiet.set()
        cache.close()
        assert other.fetch("a", segmenter, unwanted)[1] is EmbeddingSource.DISK


def test_many_embeddings_are_not_held_until_nobody_waits(tmp_path):
    cache, segmenter = EmbeddingCache(1, tmp_path, DISK), ThresholdSegmenter()
    is_quiet, entered = threading.Event(), threading.Event()
    cache.write_in(lambda: released(is_quiet, entered))
    for key in "abcdef":
        cache.fetch(key, segmenter, image)
    with closing(EmbeddingCache(1, tmp_path, DISK)) as other:
        assert [key for key in "abcdef" if key in other] == ["e", "f"]
    is_quiet.set()


class Keeping(ThresholdSegmenter):
    """A segmenter whose embedding holds the image."""

    def encode(self, image):
        return with_pixels(super().encode(image), image)


@pytest.mark.parametrize("shape", [(900, 700), (900, 700, 3)])
def test_the_image_in_an_embedding_stays_on_disk_until_it_is_looked_at(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with closing(EmbeddingCache(1, tmp_path, DISK)) as cache:
        cache.fetch("a", Keeping(), lambda: PixelReader(pixels, "how", "0123"))
    embedding = EmbeddingCache(1, tmp_path, DISK).fetch("a", Keeping(), unwanted)[0]
    read = reader_of(embedding)
    assert not read.pixels.flags.owndata
    assert not read.pixels.flags.writeable
    np.testing.assert_array_equal(read.pixels, pixels)
    assert (read.digest, mapping_of(embedding)) == ("0123", "how")
    part = pixels[20:60, 10:90]
    np.testing.assert_array_equal(read.part((10, 20, 90, 60)), part if part.ndim == 3 else np.stack([part] * 3, 2))


def test_a_folder_that_cannot_be_used_costs_the_disk_layer_only(tmp_path, caplog):
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache, segmenter = EmbeddingCache(2**20, file, DISK), ThresholdSegmenter()
    cache.fetch("a", segmenter, image)
    assert cache.fetch("a", segmenter, unwanted)[1] is EmbeddingSource.MEMORY
    assert "in memory only" in caplog.text


def test_a_database_that_is_broken_is_made_again(tmp_path, caplog):
    (tmp_path / "cache.db").write_bytes(b"this is no database, whatever its name says" * 100)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "embedding.val").touch()
    with closing(EmbeddingCache(1, tmp_path, DISK)) as cache:
        assert cache.fetch("a", ThresholdSegmenter(), image)[1] is EmbeddingSource.ENCODER
    assert "is damaged" in caplog.text
    assert not (tmp_path / "ab" / "embedding.val").exists()
    assert EmbeddingCache(1, tmp_path, DISK).fetch("a", ThresholdSegmenter(), unwanted)[1] is EmbeddingSource.DISK


def test_a_database_with_a_torn_page_is_made_again(tmp_path, caplog):
    with closing(EmbeddingCache(1, tmp_path, DISK)) as cache:
        for key in "abcdef":
            cache.fetch(key, ThresholdSegmenter(), image)
    with (tmp_path / "cache.db").open("r+b") as file:
        for page in range(4096, file.seek(0, 2), 4096):
            file.seek(page)
            file.write(b"torn" * 100)
    assert EmbeddingCache(1, tmp_path, DISK).fetch("a", ThresholdSegmenter(), image)[1] is EmbeddingSource.ENCODER
    assert "is damaged" in caplog.text


def test_two_servers_share_the_folder_without_a_log_in_the_memory_of_one_machine(tmp_path):
    first, second = EmbeddingCache(1, tmp_path, DISK), EmbeddingCache(1, tmp_path, DISK)
    with closing(first), closing(second):
        first.fetch("a", ThresholdSegmenter(), image)
        first.unkept(wait=True)
        assert second.fetch("a", ThresholdSegmenter(), unwanted)[1] is EmbeddingSource.DISK
        assert not list(tmp_path.glob("*-shm"))
        assert not list(tmp_path.glob("*-wal"))


def test_a_disk_limit_of_zero_keeps_nothing_on_disk(tmp_path):
    EmbeddingCache.of_megabytes(1, tmp_path / "embeddings", 0).fetch("a", ThresholdSegmenter(), image)
    assert list(tmp_path.iterdir()) == []


class TestDeadlines:
    @pytest.fixture
    def locked(self, tmp_path):
        with closing(EmbeddingCache(1, tmp_path, DISK)):
            pass
        with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield tmp_path

    def test_a_cache_that_another_process_has_locked_costs_an_encoding_and_says_so(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(embedding_folder, "_LOCK_TIMEOUT", 0.01)
        cache = EmbeddingCache(1, tmp_path, DISK)
        with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            assert cache.fetch("a", ThresholdSegmenter(), image)[1] is EmbeddingSource.ENCODER
        assert "another process has locked the cache" in caplog.text

    def test_a_lock_is_waited_for_less_than_a_click_may_take(self, tmp_path):
        assert EmbeddingFolder(tmp_path, DISK)._disk.timeout <= 1

    def test_a_locked_cache_does_not_stop_the_start(self, locked, monkeypatch, caplog):
        monkeypatch.setattr(embedding_folder, "_START_LOCK_TIMEOUT", 0.01)
        cache = EmbeddingCache(1, locked, DISK)
        assert "kept in memory only" in caplog.text
        assert cache.fetch("a", ThresholdSegmenter(), image)[1] is EmbeddingSource.ENCODER

    def test_a_pickle_in_the_cache_is_not_read(self, tmp_path):
        with closing(Cache(str(tmp_path))) as strange:
            strange["a"] = {"not": "bytes"}
        assert EmbeddingCache(1, tmp_path, DISK).fetch("a", ThresholdSegmenter(), image)[1] is EmbeddingSource.ENCODER

    def test_who_waits_for_an_encoding_whose_request_is_over_encodes_himself(self):
        cache, started, released, sources = EmbeddingCache(2**20), threading.Event(), threading.Event(), []

        def abandoned():
            started.set()
            assert released.wait(30)
            raise AbandonedError("The client has gone.")

        def leave():
            with pytest.raises(AbandonedError):
                cache.fetch("a", ThresholdSegmenter(), abandoned)

        def stay():
            sources.append(cache.fetch("a", ThresholdSegmenter(), image)[1])

        leaving, staying = threading.Thread(target=leave), threading.Thread(target=stay)
        leaving.start()
        assert started.wait(30)
        staying.start()
        released.set()
        leaving.join(30)
        staying.join(30)
        assert sources == [EmbeddingSource.ENCODER]

    def test_a_request_that_is_over_does_not_wait_for_the_encoding_of_another(self):
        cache, started, released, deadline = EmbeddingCache(2**20), threading.Event(), threading.Event(), Deadline(60)

        def slow():
            started.set()
            assert released.wait(30)
            return IMAGE

        encoding = threading.Thread(target=cache.fetch, args=("a", ThresholdSegmenter(), slow))
        encoding.start()
        assert started.wait(30)
        deadline.cancel()
        with within(deadline), pytest.raises(AbandonedError):
            cache.fetch("a", ThresholdSegmenter(), image)
        released.set()
        encoding.join(30)
