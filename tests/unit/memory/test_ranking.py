from importlib.metadata import EntryPoint

import numpy as np
import pytest

from colour_segmenter import ColourSegmenter, surface
from sam_backend.errors import BadRequestError
from sam_backend.memory.calibration import USUAL
from sam_backend.memory.features import AcceptedMask, pool
from sam_backend.memory.proposals import find
from sam_backend.memory.ranking import strategies
from sam_backend.memory.ranking.signals import Signals, look_of, look_of_example, signals_of
from sam_backend.memory.ranking.strategies import find_strategy, known_strategies
from sam_backend.memory.similarity import fit_classes

NOTHING = np.zeros((0, 2), np.float32)


def image(look, uncertainty=0.0):
    return Signals(uncertainty, uncertainty, uncertainty, np.array(look, np.float32))


def order(name, images, labelled=NOTHING, seed=0):
    return find_strategy(name)(images, np.asarray(labelled, np.float32).reshape(-1, 2), np.random.default_rng(seed))


IMAGES = [image((0, 0), 0.1), image((0.1, 0), 0.9), image((5, 5), 0.4), image((0, 0.1), 0.8), image((9, 0), 0.0)]


@pytest.mark.parametrize("name", known_strategies())
def test_every_strategy_orders_all_images_and_the_same_seed_alike(name):
    assert sorted(order(name, IMAGES)) == [0, 1, 2, 3, 4]
    assert order(name, IMAGES) == order(name, IMAGES)
    assert order(name, IMAGES[:1]) == [0]


def test_uncertainty_takes_the_least_certain_first():
    assert order("uncertainty", IMAGES) == [1, 3, 2, 0, 4]


def test_diversity_takes_what_is_least_like_all_before():
    assert order("diversity", IMAGES, [(0, 0), (5, 4)])[:1] == [4]
    assert set(order("diversity", IMAGES, [(0, 0)])[:2]) == {2, 4}


def test_gain_wants_the_uncertain_but_not_twice_the_same():
    first, second, *_ = order("gain", IMAGES)
    assert first == 1
    assert second == 2


def test_chance_depends_on_the_seed_alone():
    assert len({tuple(order("random", IMAGES, seed=seed)) for seed in range(20)}) > 5


def test_other_packages_add_strategies(monkeypatch):
    entry = EntryPoint("reversed", "tests_strategy:backwards", strategies.GROUP)
    monkeypatch.setattr(strategies, "entry_points", lambda group: [entry] if group == strategies.GROUP else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda images, labelled, random: [1, 0])
    assert "reversed" in known_strategies()
    assert order("reversed", IMAGES[:2]) == [1, 0]


def test_an_unknown_strategy_is_told_with_the_known_ones():
    with pytest.raises(BadRequestError, match="no strategy 'best'; known are gain, uncertainty, diversity, random"):
        find_strategy("best")


@pytest.fixture
def taught():
    segmenter = ColourSegmenter()
    pixels, masks = surface(1, red=[(20, 30)])
    vectors = pool(segmenter, segmenter.encode(pixels), [AcceptedMask(mask, label) for label, mask in masks])
    return segmenter, fit_classes([vectors], ["red"]), vectors


def test_an_image_that_the_memory_is_sure_of_is_less_uncertain(taught):
    segmenter, classes, _ = taught
    clear = surface(2, red=[(60, 50)])[0]
    # Half of it is about as red as it is grey.
    doubtful = clear.copy()
    doubtful[50:74, 60:72] = (doubtful[50:74, 60:72].astype(int) + 110) // 2
    looks = [segmenter.encode(each) for each in (clear, doubtful)]
    sure, unsure = (signals_of(segmenter, look, find(segmenter, look, classes), USUAL) for look in looks)
    for signals in (sure, unsure):
        assert all(0 <= value <= 1 for value in (signals.doubt, signals.instability, signals.disagreement))
    assert unsure.uncertainty > sure.uncertainty


def test_without_outlines_only_the_look_counts(taught):
    segmenter, _, _ = taught
    signals = signals_of(segmenter, segmenter.encode(surface(2)[0]), [], USUAL)
    assert signals.uncertainty == 0
    assert signals.look.shape == (6,)


def test_an_example_looks_about_as_its_image_does(taught):
    segmenter, _, vectors = taught
    crowd = [(x, y) for x in range(10, 131, 30) for y in (10, 60)]
    images = [surface(1, red=[(20, 30)])[0], surface(2, red=crowd)[0]]
    looks = [look_of(segmenter.features(segmenter.encode(image)).inside) for image in images]
    own, other = (np.linalg.norm(look_of_example(vectors) - look) for look in looks)
    assert own < other / 2
