import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.segmenters import Embedding
from sam_backend.segmenters.grabcut import GrabCutSegmenter
from sam_backend.segmenters.nano.segmenter import NanoSegmenter, _unpacked


def packed(values, block):
    """Space-to-depth as nano's encoder does it: channels are (channel, row in the block, column in the block)."""
    channels, height, width = values.shape
    blocks = values.reshape(channels, height // block, block, width // block, block)
    return blocks.transpose(0, 2, 4, 1, 3).reshape(-1, height // block, width // block)


def test_nanos_maps_are_unpacked_to_stride_four():
    random = np.random.default_rng(0)
    base = np.repeat(random.normal(size=(96, 1, 1)), 64, 1).repeat(64, 2)
    fine, finest = random.normal(size=(24, 128, 128)), random.normal(size=(12, 256, 256))
    encoded = np.concatenate([base, packed(fine, 2), packed(finest, 4)]).astype(np.float32)
    arrays = dict(zip(("base", "fine", "finest"), _unpacked(encoded), strict=True))
    arrays |= {"input_size": np.array([256, 512]), "focus.image": np.zeros((1, 1, 3), np.uint8)}
    features = NanoSegmenter().features(Embedding(arrays, (100, 200)))
    assert features.values.shape == (128, 128, 144)
    assert features.inside.shape == (64, 128, 144)
    np.testing.assert_allclose(features.values[5, 9, :96], base[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(features.values[5, 9, 96:120], fine[:, 5, 9], rtol=1e-5)
    cells = finest[:, 10:12, 18:20].reshape(12, 4)
    np.testing.assert_allclose(features.values[5, 9, 120:132], cells.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(features.values[5, 9, 132:], cells.std(1), rtol=1e-4)


def test_a_real_embedding_of_nano_shows_the_image_and_its_padding():
    image = np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8)
    segmenter = NanoSegmenter()
    features = segmenter.features(segmenter.encode(image))
    assert features.values.shape == (128, 128, 144)
    assert features.shown == (64, 128)


def test_a_model_without_features_says_so():
    embedding = GrabCutSegmenter().encode(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadRequestError, match=r"features of nano or sam.*\['image'\]"):
        GrabCutSegmenter().features(embedding)
