"""What every segmenter must do, as tests: `pytest --segmenter mypackage:MySegmenter` runs them on a model.

In a test suite of one's own, subclass `SegmenterContract` and override its fixture `make_segmenter`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sam_backend.arrays import ImageArray
from sam_backend.errors import BadRequestError
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.model_info import CONCEPTS, INTERACTIVE
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt, Segmenter

SIZES = {"landscape": (96, 150), "portrait": (150, 96), "tiny": (5, 8), "one row": (1, 40)}
"""(H, W) of the images that every segmenter must take."""

_CLOSE = 1e-3
"""The largest difference between two equal answers: of predicted IoU, and of logits as a share of the largest."""


def image_of(size: tuple[int, int], *, grey: bool = False) -> ImageArray:
    """Return a grained image, uint8 RGB (H, W, 3), with a bright object in the middle; a grey one has equal channels.

    Examples
    --------
    >>> image_of((5, 8)).shape
    (5, 8, 3)
    """
    height, width = size
    image = np.random.default_rng(0).integers(40, 90, (height, width, 1 if grey else 3), np.uint8)
    image[height // 4 : height - height // 4, width // 4 : width - width // 4] += 120
    return np.repeat(image, 3, axis=2) if grey else image


def prompts_on(segmenter: Segmenter, size: tuple[int, int]) -> list[Prompt]:
    """Return prompts of the kinds that a segmenter answers, on an image of `size` (H, W)."""
    height, width = size
    middle, corner = np.array([width / 2, height / 2]), np.array([0.5, 0.5])
    box = np.array([width / 4, height / 4, 3 * width / 4 + 1, 3 * height / 4 + 1], np.float32)
    kinds, prompts = segmenter.info.prompts, []
    if "points" in kinds:
        prompts += [
            Prompt(middle, np.array([1])),
            Prompt(corner, np.array([1])),
            Prompt(np.array([middle, corner]), np.array([1, 0])),
        ]
    if "box" in kinds:
        prompts += [Prompt(box=box), Prompt(box=box + np.array([-width, 0, width, 0], np.float32))]
    if {"points", "box"} <= kinds:
        prompts.append(Prompt(middle, np.array([1]), box=box))
    return prompts


def assert_close(one: Candidates, other: Candidates) -> None:
    """Check that two answers agree up to rounding: masks but for one pixel in a thousand."""
    assert one.masks.shape == other.masks.shape
    assert np.mean(np.asarray(one.masks) != np.asarray(other.masks)) <= _CLOSE
    np.testing.assert_allclose(one.predicted_iou, other.predicted_iou, rtol=0, atol=_CLOSE)
    np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=_CLOSE * max(float(np.abs(one.logits).max()), 1))


# Segmenters and embeddings are shared by all tests, since some take seconds.
@cache
def _made(make: Callable[[], Segmenter]) -> Segmenter:
    return make()


@cache
def _encoded(make: Callable[[], Segmenter], size: tuple[int, int]) -> Embedding:
    return _made(make).encode(image_of(size))


class SegmenterContract:
    """The tests; `pytest` collects them from subclasses whose names begin with `Test`."""

    @pytest.fixture
    def make_segmenter(self, request: pytest.FixtureRequest) -> Callable[[], Segmenter]:
        """Return a function that makes a segmenter: here the one that `--segmenter` names."""
        from sam_backend.segmenters.contract_plugin import named_segmenter

        return named_segmenter(request.config.getoption("segmenter"))

    @pytest.fixture
    def segmenter(self, make_segmenter: Callable[[], Segmenter]) -> Segmenter:
        """Return the segmenter that is tested."""
        return _made(make_segmenter)

    @pytest.fixture(params=SIZES)
    def size(self, request: pytest.FixtureRequest) -> tuple[int, int]:
        """Return (H, W) of an image."""
        return SIZES[request.param]

    @pytest.fixture
    def embedding(self, make_segmenter: Callable[[], Segmenter], size: tuple[int, int]) -> Embedding:
        """Return the embedding of an image of `size`."""
        return _encoded(make_segmenter, size)

    def test_its_entry_describes_it(self, segmenter: Segmenter) -> None:
        info = segmenter.info
        assert segmenter.name == info.name
        assert info.description
        assert info.licence
        assert info.prompts
        assert info.prompts <= INTERACTIVE | CONCEPTS
        assert not info.missing_packages

    def test_its_version_is_that_of_every_copy_and_stays(
        self, segmenter: Segmenter, make_segmenter: Callable[[], Segmenter]
    ) -> None:
        before = segmenter.version
        segmenter.decode(segmenter.encode(image_of((40, 60))), prompts_on(segmenter, (40, 60)))
        assert isinstance(before, str)
        assert before
        assert segmenter.version == make_segmenter().version == before

    def test_an_embedding_is_plain_arrays_and_knows_the_images_size(
        self, embedding: Embedding, size: tuple[int, int]
    ) -> None:
        assert embedding.size == size
        for name, array in embedding.arrays.items():
            assert isinstance(name, str)
            assert isinstance(array, np.ndarray)
            assert not array.dtype.hasobject

    def test_an_embedding_from_disk_gives_the_same_answers(self, segmenter: Segmenter, embedding: Embedding) -> None:
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **dict(embedding.arrays))
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            read = Embedding(dict(arrays), embedding.size)
        prompts = prompts_on(segmenter, embedding.size)
        for one, other in zip(segmenter.decode(embedding, prompts), segmenter.decode(read, prompts), strict=True):
            assert_close(one, other)

    def test_encoding_leaves_the_image_as_it_is(self, segmenter: Segmenter) -> None:
        image = image_of((40, 60))
        segmenter.encode(image)
        np.testing.assert_array_equal(image, image_of((40, 60)))

    def test_answers_have_the_shapes_and_types_of_the_protocol(
        self, segmenter: Segmenter, embedding: Embedding
    ) -> None:
        prompts = prompts_on(segmenter, embedding.size)
        for multimask in (None, False, True):
            answers = segmenter.decode(embedding, prompts, multimask=multimask)
            assert len(answers) == len(prompts)
            for answer in answers:
                count = len(answer.masks)
                assert count >= 1
                assert answer.masks.dtype == np.bool_
                assert answer.masks.shape[1:] == embedding.size
                assert answer.predicted_iou.dtype == answer.logits.dtype == np.float32
                assert answer.predicted_iou.shape == (count,)
                assert answer.logits.shape == (count, *answer.logits.shape[1:])
                assert answer.logits.ndim == 3
                assert np.isfinite(answer.predicted_iou).all()
                assert np.isfinite(answer.logits).all()

    def test_the_same_image_and_prompt_give_the_same_answer(
        self, segmenter: Segmenter, embedding: Embedding, size: tuple[int, int]
    ) -> None:
        again, prompts = segmenter.encode(image_of(size)), prompts_on(segmenter, size)
        for one, other in zip(segmenter.decode(embedding, prompts), segmenter.decode(again, prompts), strict=True):
            assert_close(one, other)

    def test_a_batch_gives_the_answers_of_single_calls_in_order(
        self, segmenter: Segmenter, embedding: Embedding
    ) -> None:
        prompts = prompts_on(segmenter, embedding.size)
        answers = segmenter.decode(embedding, prompts)
        backwards = segmenter.decode(embedding, prompts[::-1])[::-1]
        for prompt, answer, other in zip(prompts, answers, backwards, strict=True):
            assert_close(answer, other)
            assert_close(answer, segmenter.decode(embedding, [prompt])[0])
        assert segmenter.decode(embedding, []) == []

    def test_logits_can_be_fed_back(self, segmenter: Segmenter, embedding: Embedding) -> None:
        if "logits" not in segmenter.info.prompts:
            pytest.skip("it takes no logits")
        prompts = prompts_on(segmenter, embedding.size)
        firsts = segmenter.decode(embedding, prompts)
        corrected = [
            replace(prompt, logits=first.logits[first.best], window=first.window)
            for prompt, first in zip(prompts, firsts, strict=True)
        ]
        for first, second in zip(firsts, segmenter.decode(embedding, corrected), strict=True):
            assert second.masks.shape[1:] == embedding.size
            assert second.logits.shape[1:] == first.logits.shape[1:]

    @pytest.mark.parametrize("kind", ["points", "box"])
    def test_a_prompt_of_a_kind_that_it_does_not_take_is_a_bad_request(self, segmenter: Segmenter, kind: str) -> None:
        if kind in segmenter.info.prompts:
            pytest.skip(f"it takes {kind}")
        prompt = Prompt(np.array([4, 4]), np.array([1])) if kind == "points" else Prompt(box=np.array([2, 2, 6, 6]))
        embedding = segmenter.encode(image_of((40, 60)))
        with pytest.raises(BadRequestError):
            segmenter.decode(embedding, [prompt])

    def test_instances_of_a_concept_have_masks_and_descending_scores(
        self, segmenter: Segmenter, embedding: Embedding
    ) -> None:
        height, width = embedding.size
        box = np.array([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]], np.float32)
        asked = [Concept("object"), Concept(boxes=box, labels=np.array([1])), Concept("object", box, np.array([0]))]
        taken = [concept for concept in asked if concept.needs <= segmenter.info.prompts]
        if not taken:
            pytest.skip("it takes no texts and no exemplars")
        for concept in taken:
            found = find_instances(segmenter, embedding, concept, least_score=0.0)
            assert found.masks.shape == (len(found.scores), height, width)
            assert found.scores.dtype == np.float32
            assert np.isfinite(found.scores).all()
            assert (np.diff(found.scores) <= 0).all()
            assert ((found.scores >= 0) & (found.scores <= 1)).all()
            again = find_instances(segmenter, embedding, concept, least_score=0.0)
            np.testing.assert_allclose(found.scores, again.scores, rtol=0, atol=_CLOSE)

    def test_a_prompt_outside_the_image_is_answered(self, segmenter: Segmenter) -> None:
        embedding = segmenter.encode(image_of((40, 60)))
        prompts = []
        if "points" in segmenter.info.prompts:
            prompts.append(Prompt(np.array([[90.0, 70.0]]), np.array([1])))
        if "box" in segmenter.info.prompts:
            prompts.append(Prompt(box=np.array([50.0, 30.0, 90.0, 70.0])))
        assert [answer.masks.shape[1:] for answer in segmenter.decode(embedding, prompts)] == [(40, 60)] * len(prompts)

    def test_an_image_without_colours_is_taken(self, segmenter: Segmenter) -> None:
        for image in (image_of((40, 60), grey=True), np.full((40, 60, 3), 90, np.uint8)):
            embedding = segmenter.encode(image)
            for answer in segmenter.decode(embedding, prompts_on(segmenter, (40, 60))):
                assert answer.masks.shape[1:] == (40, 60)

    def test_features_are_a_map_of_the_image(self, segmenter: Segmenter, embedding: Embedding) -> None:
        if not segmenter.info.has_features:
            with pytest.raises(BadRequestError):
                segmenter.features(embedding)
            return
        features = segmenter.features(embedding)
        assert isinstance(features, DenseFeatures)
        assert features.values.dtype == np.float32
        cells, columns, channels = features.values.shape
        assert cells == columns
        assert channels >= 1
        assert np.isfinite(features.inside).all()
        assert max(features.shown) == cells
        for shown, side in zip(features.shown, embedding.size, strict=True):
            assert abs(shown - side * cells / max(embedding.size)) <= 1
