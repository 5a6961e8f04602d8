import logging

import numpy as np
import pytest

from sam_backend.core.large_images import LargeImage
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.memory.proposals import Proposal
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.cache import EmbeddingCache, EmbeddingSource
from sam_backend.segmenters.image_reader import PixelReader
from threshold_segmenter import ThresholdSegmenter

SIZE = (300, 500)
TILE = 128
PIT, LONG = np.s_[200:210, 30:42], np.s_[50:60, 20:480]


class Bright:
    """Proposes all that is bright."""

    name = "bright"
    asked = 0
    most = 1000

    def propose(self, segmenter, embedding, *, limit=None):
        self.asked += 1
        if self.asked > self.most:
            raise TimeoutError
        bright = embedding.arrays["grey"] > 200
        return [Proposal(bright, "pit", 0.8)] if bright.any() else []


@pytest.fixture
def large():
    pixels = np.full(SIZE, 100, np.uint8)
    pixels[PIT] = pixels[LONG] = 250
    image = LargeImage("image", SIZE, lambda: PixelReader(pixels), EmbeddingCache(2**26))
    return TaskEmbedding("key", Embedding({}, SIZE), EmbeddingSource.ENCODER, image)


def test_a_large_image_is_proposed_on_tile_by_tile_and_joined_across_seams(large):
    found = proposed_masks(ThresholdSegmenter(), large, Bright(), tile=TILE)
    assert sorted(one.mask.place == PIT for one in found) == [False, True]
    assert sorted(one.mask.place == LONG for one in found) == [False, True]
    assert {(one.label, one.score) for one in found} == {("pit", 0.8)}


def test_everything_of_a_large_image_is_found_tile_by_tile(large):
    found = proposed_masks(ThresholdSegmenter(), large, None, tile=TILE)
    assert any(one.mask.place == LONG and one.label is None for one in found)


def test_when_the_time_is_over_the_tiles_that_were_reached_count_and_this_is_said(large, caplog):
    proposer = Bright()
    proposer.most = 4
    with caplog.at_level(logging.WARNING):
        (found,) = proposed_masks(ThresholdSegmenter(), large, proposer, tile=TILE)
    assert found.mask.place[1].stop <= 500
    assert "Only 4 of the 15 parts of an image of 500 x 300 pixels" in caplog.text


def test_a_time_that_is_over_before_the_first_tile_is_an_error(large):
    proposer = Bright()
    proposer.most = 0
    with pytest.raises(TimeoutError):
        proposed_masks(ThresholdSegmenter(), large, proposer, tile=TILE)
