"""Objects followed by examples: hidden, found again under their own number, given by masks, corrected."""

import numpy as np
import pytest

from moving_shapes import moving_shapes
from sam_backend.masks import mask_iou
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_backend.video.example_tracker import ExampleTracker

CLIP = moving_shapes(5, frames=24)


@pytest.fixture(scope="module")
def tracker():
    return ExampleTracker(NanoSegmenter(threads=1))


@pytest.fixture(scope="module")
def followed(tracker):
    """What was found in each frame, from the boxes of the first one."""
    session = tracker.start()
    prompts = {number: Prompt(box=CLIP.box(number)) for number in CLIP.masks}
    return [session.step(pixels, prompts if not frame else {}) for frame, pixels in enumerate(CLIP.frames)]


@pytest.mark.slow
def test_shapes_that_cross_behind_a_bar_keep_their_numbers(followed):
    for number in (1, 2):
        assert mask_iou(followed[-1][number].mask.mask, CLIP.masks[number][-1]) > 0.7


@pytest.mark.slow
def test_a_shape_that_is_wholly_hidden_is_not_visible(followed):
    hidden = [(frame, number) for number in (1, 2) for frame in range(24) if not CLIP.masks[number][frame].any()]
    assert hidden
    for frame, number in hidden:
        assert not followed[frame][number].visible
        assert not followed[frame][number].mask.area


@pytest.mark.slow
def test_no_pixel_has_two_objects(followed):
    for found in followed:
        assert not found[1].mask.shared(found[2].mask)


def test_nothing_is_followed_before_the_first_prompt_and_a_mask_is_taken_as_it_is(tracker):
    session = tracker.start()
    assert session.step(CLIP.frames[0], {}) == {}
    (found,) = session.step(CLIP.frames[1], {7: Prompt(mask=CLIP.masks[1][1])}).values()
    assert (found.mask.mask == CLIP.masks[1][1]).all()
    assert (found.visible, found.score) == (True, 1.0)
    later = session.step(CLIP.frames[2], {2: Prompt(box=CLIP.box(2, 2))})
    assert list(later) == [2, 7]
    for number, truth in ((7, 1), (2, 2)):
        assert mask_iou(later[number].mask.mask, CLIP.masks[truth][2]) > 0.7


def test_a_prompt_on_a_later_frame_corrects(tracker):
    session = tracker.start()
    session.step(CLIP.frames[0], {1: Prompt(box=CLIP.box(1))})
    session.step(CLIP.frames[1], {1: Prompt(box=CLIP.box(2, 1))})
    found = session.step(CLIP.frames[2], {})
    assert mask_iou(found[1].mask.mask, CLIP.masks[2][2]) > 0.7


def test_what_is_remembered_does_not_grow(tracker):
    session, kept = tracker.start(), []
    for frame in range(4):
        session.step(CLIP.frames[frame], {1: Prompt(box=CLIP.box(1))} if not frame else {})
        appearance = session._objects[1].appearance
        kept.append(sum(part.nbytes for pair in (appearance._first, appearance._recent) if pair for part in pair))
    assert kept[1] == kept[-1]


def test_an_object_whose_prompt_gives_nothing_is_absent(tracker):
    session = tracker.start()
    found = session.step(CLIP.frames[0], {1: Prompt(mask=np.zeros((180, 320), bool))})
    assert not found[1].mask.area
    assert [one.visible for one in session.step(CLIP.frames[1], {}).values()] == [False]


def test_of_two_objects_with_the_same_prompt_the_second_is_absent_in_every_frame(tracker):
    session = tracker.start()
    same = Prompt(mask=CLIP.masks[1][0])
    first = session.step(CLIP.frames[0], {1: same, 2: same})
    second = session.step(CLIP.frames[1], {})
    for found in (first, second):
        assert {number: one.visible for number, one in found.items()} == {1: True, 2: False}
