import numpy as np

from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.vector_cache import VectorCache
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.refinement import refine
from threshold_segmenter import ThresholdSegmenter


def vectors(count):
    return FeatureVectors(np.ones((count, 8), np.float32), np.full(count, "a"), np.ones(count, np.float32))


def test_vectors_are_kept_up_to_a_number_of_bytes():
    cache = VectorCache(10_000)
    for number in range(100):
        cache.put(number, vectors(50))
    kept = [number for number in range(100) if cache.get(number) is not None]
    assert kept == list(range(100 - len(kept), 100))
    assert 0 < len(kept) * 50 * (32 + 4 + 4) <= 10_000
    cache.put("large", vectors(1000))
    assert cache.get("large") is None


def test_the_keys_of_a_memo_do_not_grow_with_the_prompt():
    memo, segmenter = AnswersMemo(), ThresholdSegmenter()
    embedding = segmenter.encode(np.zeros((40, 60, 3), np.uint8))
    points = np.tile(np.array([[5.0, 5.0]], np.float32), (50, 1))
    refine(segmenter, embedding, Prompt(points=points, labels=np.ones(50, np.int32)), memo, "image")
    assert {len(key) for key in memo._answers} == {32}
