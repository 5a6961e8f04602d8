import numpy as np
import pytest

from colour_segmenter import ColourSegmenter
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.concepts import Concept, find_instances

BOX = np.array([[1, 2, 10, 20]], np.float32)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Concept("  "), "The text is empty"),
        (lambda: Concept("x" * 10_000), "A text may have 500 characters; this one has 10,000"),
        (lambda: Concept(boxes=np.array([[1, 2, 3]]), labels=np.array([1])), "An exemplar is a box x0, y0, x1, y1"),
        (lambda: Concept(boxes=np.array([[5, 5, 5, 9]]), labels=np.array([1])), "An exemplar is a box x0, y0, x1, y1"),
        (lambda: Concept(boxes=BOX, labels=np.array([2])), "has the label 1 .positive. or 0 .negative."),
        (lambda: Concept(boxes=BOX), "got 1 boxes and"),
        (lambda: Concept(boxes=BOX, labels=np.array([0])), "need a text or a box that says what is wanted"),
        (lambda: Concept(boxes=np.repeat(BOX, 101, 0), labels=np.ones(101)), "at most 100 are taken"),
    ],
)
def test_what_is_no_concept_is_refused(make, sentence):
    with pytest.raises(BadRequestError, match=sentence):
        make()


def test_boxes_around_what_is_not_meant_may_go_with_a_text():
    assert Concept("scratch", BOX, np.array([0])).needs == {"text", "exemplars"}


def test_a_model_without_texts_names_those_that_take_them():
    segmenter = ColourSegmenter()
    embedding = segmenter.encode(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadRequestError, match="The model colour takes no texts; serve sam3 instead"):
        find_instances(segmenter, embedding, Concept("red"))
    with pytest.raises(BadRequestError, match="takes no exemplar boxes and texts; serve sam3 instead"):
        find_instances(segmenter, embedding, Concept("red", BOX, np.array([1])))
