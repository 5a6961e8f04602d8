import numpy as np
import pytest

from colour_segmenter import ColourSegmenter, surface
from sam_backend.errors import BadRequestError
from sam_backend.memory.class_model import fit_classes
from sam_backend.memory.class_outlines import find_outlines
from sam_backend.memory.features import AcceptedMask, pool
from sam_backend.memory.ranking.signals import Signals, compute_signals, example_descriptor, image_descriptor
from sam_backend.memory.ranking.strategies import find_strategy, known_strategies
from sam_backend.memory.score_calibration import DEFAULT_CALIBRATION

NOTHING = np.zeros((0, 2), np.float32)


def image(descriptor, uncertainty=0.0):
    return Signals(uncertainty, uncertainty, uncertainty, np.array(descriptor, np.float32))


def order(name, images, labelled=NOTHING, seed=0):
    return find_strategy(name)(images, np.asarray(labelled, np.float32).reshape(-1, 2), np.random.default_rng(seed))


IMAGES = [image((0, 0), 0.1), image((0.1, 0), 0.9), image((5, 5), 0.4), image((0, 0.1), 0.8), image((9, 0), 0.0)]


@pytest.mark.parametrize("name", known_strategies())
def test_every_strategy_orders_all_images_and_the_same_seed_alike(name):
    assert sorted(order(name, IMAGES)) == [0, 1, 2, 3, 4]
    assert order(name, IMAGES) == order(name, IMAGES)
    assert order(name, IMAGES[:1]) == [0]


def test_uncertainty_takes_the_most_uncertain_first():
    assert order("uncertainty", IMAGES) == [1, 3, 2, 0, 4]


def test_diversity_takes_the_image_farthest_from_all_before():
    assert order("diversity", IMAGES, [(0, 0), (5, 4)])[:1] == [4]
    assert set(order("diversity", IMAGES, [(0, 0)])[:2]) == {2, 4}


def test_gain_takes_uncertain_images_that_are_not_alike():
    first, second, *_ = order("gain", IMAGES)
    assert first == 1
    assert second == 2


def test_chance_depends_on_the_seed_alone():
    assert len({tuple(order("random", IMAGES, seed=seed)) for seed in range(20)}) > 5


def test_an_unknown_strategy_is_an_error_that_names_the_known_ones():
    with pytest.raises(BadRequestError, match="no strategy 'best'; known are gain, uncertainty, diversity, random"):
        find_strategy("best")


@pytest.fixture
def taught():
    segmenter = ColourSegmenter()
    pixels, masks = surface(1, red=[(20, 30)])
    vectors = pool(segmenter, segmenter.encode(pixels), [AcceptedMask(mask, label) for label, mask in masks])
    return segmenter, fit_classes([vectors], ["red"]), vectors


def test_a_clear_image_is_less_uncertain_than_a_doubtful_one(taught):
    segmenter, classes, _ = taught
    clear = surface(2, red=[(60, 50)])[0]
    # Half of it is about as red as it is grey.
    doubtful = clear.copy()
    doubtful[50:74, 60:72] = (doubtful[50:74, 60:72].astype(int) + 110) // 2
    sure, unsure = (
        compute_signals(
            segmenter, embedding, classes, find_outlines(segmenter, embedding, classes), DEFAULT_CALIBRATION
        )
        for embedding in map(segmenter.encode, (clear, doubtful))
    )
    for signals in (sure, unsure):
        assert all(0 <= value <= 1 for value in (signals.doubt, signals.instability, signals.disagreement))
    assert unsure.uncertainty > sure.uncertainty


def test_an_image_without_outlines_is_uncertain_where_something_resembles_a_class(taught):
    segmenter, classes, _ = taught
    plain, tinted = surface(2)[0], surface(2)[0]
    # Too little for an outline.
    tinted[60:64, 80:84] = (200, 40, 40)
    none, some = (
        compute_signals(
            segmenter, embedding, classes, find_outlines(segmenter, embedding, classes), DEFAULT_CALIBRATION
        )
        for embedding in map(segmenter.encode, (plain, tinted))
    )
    assert 0 < none.uncertainty < 1
    assert some.doubt > none.doubt


def test_without_examples_the_segmenters_own_doubt_is_the_uncertainty(taught):
    segmenter, _, _ = taught
    signals = compute_signals(segmenter, segmenter.encode(surface(2)[0]), None, [], DEFAULT_CALIBRATION)
    assert signals.doubt == 0
    assert 0 < signals.uncertainty < 1
    assert signals.descriptor.shape == (6,)


def test_the_descriptor_of_an_example_is_close_to_that_of_its_image(taught):
    segmenter, _, vectors = taught
    crowd = [(x, y) for x in range(10, 131, 30) for y in (10, 60)]
    images = [surface(1, red=[(20, 30)])[0], surface(2, red=crowd)[0]]
    descriptors = [image_descriptor(segmenter.features(segmenter.encode(image)).inside) for image in images]
    own, other = (np.linalg.norm(example_descriptor(vectors) - descriptor) for descriptor in descriptors)
    assert own < other / 2
