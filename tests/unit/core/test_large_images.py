import numpy as np
import pytest

from sam_backend.core.answered import Start
from sam_backend.core.clicks import Clicks
from sam_backend.core.large_images import LargeAnswers, LargeImage
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.page_regions import PageRegion
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.cache import EmbeddingCache
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.image_reader import PixelReader
from sam_backend.segmenters.windows import LEAST_SIDE
from threshold_segmenter import ThresholdSegmenter

SIZE = (3000, 5000)
SPOT, BAND = np.s_[1490:1520, 4000:4040], np.s_[200:230, 300:1700]


class Parts(PixelReader):
    """Records the parts that are read."""

    def __init__(self, pixels):
        super().__init__(pixels)
        self.read = []

    def part(self, part):
        self.read.append(part)
        return super().part(part)

    def shrunk(self, side):
        self.read.append("all")
        return super().shrunk(side)


@pytest.fixture
def reader():
    pixels = np.full(SIZE, 100, np.uint8)
    pixels[SPOT] = 250
    pixels[BAND] = 0
    return Parts(pixels)


@pytest.fixture
def segmenter():
    return ThresholdSegmenter()


@pytest.fixture
def image(reader):
    return LargeImage("image", SIZE, lambda: reader, EmbeddingCache(2**28))


@pytest.fixture
def answers():
    return LargeAnswers(AnswersMemo())


def click(*points, labels=None):
    return Prompt(np.array(points, np.float32), np.array(labels or [1] * len(points)))


def test_a_click_on_a_small_object_reads_and_encodes_its_surroundings_alone(image, answers, reader, segmenter):
    answer = answers.refine(image, lambda key: segmenter, click((4020, 1500)), "")

    expected = np.zeros(SIZE, bool)
    expected[SPOT] = True
    assert np.array_equal(answer.mask.mask, expected)
    (part,) = reader.read
    assert part[2] - part[0] == part[3] - part[1] == LEAST_SIDE


def test_what_was_drawn_is_seen_in_the_view_around_it(image, answers, segmenter):
    left, top = 3990, 1485
    outline = Cropped(np.ones((40, 60), bool), (top, left), SIZE)
    answer = answers.refine(image, lambda key: segmenter, Prompt(box=np.array(outline.box), drawn=outline), "")

    (asked,) = segmenter.asked
    assert asked.drawn.area == 40 * 60
    assert asked.drawn.box == tuple(asked.box.tolist())
    assert answer.mask.box == outline.box


def test_the_view_grows_while_the_mask_reaches_its_edge(image, answers, reader, segmenter):
    answer = answers.refine(image, lambda key: segmenter, click((800, 215)), "")

    expected = np.zeros(SIZE, bool)
    expected[BAND] = True
    assert np.array_equal(answer.mask.mask, expected)
    sides = [part[2] - part[0] for part in reader.read]
    assert sides == [LEAST_SIDE * 2**power for power in range(4)]


def test_a_mask_that_ends_nowhere_is_answered_from_all_of_the_image(image, answers, reader, segmenter):
    answer = answers.refine(image, lambda key: segmenter, click((2500, 2500)), "")

    expected = np.ones(SIZE, bool)
    expected[SPOT] = expected[BAND] = False
    assert np.mean(answer.mask.mask != expected) < 0.001
    assert reader.read[-1] == "all"


def test_the_next_click_begins_in_the_view_of_the_last_one(image, answers, segmenter):
    answers.refine(image, lambda key: segmenter, click((800, 215)), "")
    asked = len(segmenter.asked)

    answers.refine(image, lambda key: segmenter, click((800, 215), (900, 216)), "")

    assert len(segmenter.asked) == asked + 1


def test_a_restarted_server_gives_the_same_chain_of_answers(image, answers, segmenter):
    points, labels = [(4020, 1500), (4030, 1510), (4060, 1510)], [1, 1, 0]
    for count in (1, 2, 3):
        step = click(*points[:count], labels=labels[:count])
        answer = answers.refine(image, lambda key: segmenter, step, "")

    again = LargeAnswers(AnswersMemo()).refine(image, lambda key: segmenter, click(*points, labels=labels), "")

    assert np.array_equal(again.mask.mask, answer.mask.mask)


def test_a_mask_is_corrected_in_a_view_around_it_and_without_encoding(image, answers, reader, segmenter):
    mask = np.zeros(SIZE, bool)
    mask[1490:1520, 4000:4020] = True
    start = Start(PageRegion("there", ()), MaskRuns.of_mask(mask), Clicks.none())
    drawn = Clicks(np.array([(4030, 1505)], np.float32), np.array([1]))

    answer = answers.correct(image, Correcting(segmenter), start, drawn, "")

    corrected = answer.mask.mask
    assert corrected[1505, 4030]
    assert corrected[1505, 4010]
    assert corrected.sum() < 2 * 30 * 40
    assert segmenter.encoded == 0
    assert all(part[2] - part[0] <= 2 * LEAST_SIDE for part in reader.read)
