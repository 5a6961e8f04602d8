import cv2
import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters import Embedding, Prompt
from sam_backend.segmenters.drawn_masks import mask_logits, with_logits

SIZE = (90, 160)


@pytest.fixture
def mask():
    drawn = np.zeros(SIZE, np.uint8)
    cv2.ellipse(drawn, (100, 40), (45, 20), 30, 0, 360, 1, -1)
    return drawn.astype(bool)


def embedding(input_size):
    return Embedding({"input_size": np.array(input_size)}, SIZE)


def share_inside(mask, shown, side):
    """The share of each cell that a mask covers, by drawing all of it ten times as large as the cells."""
    large = cv2.resize(mask.astype(np.float32), (10 * shown[1], 10 * shown[0]), interpolation=cv2.INTER_NEAREST)
    cells = np.zeros((side, side), np.float32)
    cells[: shown[0], : shown[1]] = large.reshape(shown[0], 10, shown[1], 10).mean((1, 3))
    return cells


@pytest.mark.parametrize(
    ("input_size", "shown"), [((576, 1024), (36, 64)), ((1024, 1024), (64, 64))], ids=["padded", "stretched"]
)
def test_what_was_drawn_becomes_logits_in_the_models_own_frame(mask, input_size, shown):
    prompt = Prompt(box=np.array([50, 10, 150, 70]), drawn=Cropped.of(mask))

    (ready,) = with_logits([prompt], "sam", embedding(input_size), (64, 64))

    assert ready.drawn is None
    assert (ready.logits.min(), ready.logits.max()) == (-8, pytest.approx(8, abs=1e-3))
    inside = share_inside(mask, shown, 64)
    assert (ready.logits[inside > 0.9] > 0).all()
    assert (ready.logits[inside < 0.1] < 0).all()


def test_a_border_is_soft_for_a_cell():
    half = np.zeros((64, 64), bool)
    half[:, :32] = True
    row = mask_logits(half, (64, 64))[32]
    assert row[28] > 7.9
    assert row[35] < -7.9
    assert 0 < row[31] < 6


def test_only_the_box_of_a_mask_takes_memory():
    spot = Cropped(np.ones((300, 300), bool), (150_000, 150_000), (200_000, 200_000))
    low = mask_logits(spot)
    assert np.unravel_index(low.argmax(), low.shape) == (192, 192)


def test_logits_and_drawn_masks_that_do_not_fit_are_refused(mask):
    wrong = Prompt(box=np.array([0, 0, 5, 5]), logits=np.zeros((32, 32), np.float32))
    with pytest.raises(BadRequestError, match=r"sam takes logits of shape \(64, 64\); got \(32, 32\)"):
        with_logits([wrong], "sam", embedding((576, 1024)), (64, 64))
    other = Prompt(box=np.array([0, 0, 5, 5]), drawn=Cropped.of(mask[:50]))
    with pytest.raises(BadRequestError, match=r"drawn mask has the size \(50, 160\), the image \(90, 160\)"):
        with_logits([other], "sam", embedding((576, 1024)), (64, 64))


def test_a_mask_alone_is_no_prompt_and_one_without_pixels_is_none(mask):
    with pytest.raises(BadRequestError, match="at least one point"):
        Prompt(drawn=Cropped.of(mask))
    assert Prompt(np.zeros((1, 2)), [1], drawn=Cropped.of(np.zeros(SIZE, bool))).is_ambiguous
    with pytest.raises(BadRequestError, match="not both"):
        Prompt(np.zeros((1, 2)), [1], drawn=Cropped.of(mask), logits=np.zeros((64, 64)))
