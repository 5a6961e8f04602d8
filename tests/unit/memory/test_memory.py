from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from colour_segmenter import ColourSegmenter, surface
from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.masks import mask_iou
from sam_backend.memory.class_model import fit_classes
from sam_backend.memory.class_outlines import ClassOutline, find_outlines, without_duplicates
from sam_backend.memory.example_masks import masks_on_image
from sam_backend.memory.features import BACKGROUND, PER_MASK, AcceptedMask, pool
from sam_backend.memory.fit_allowance import SECONDS_EACH
from sam_backend.memory.grid import GRID
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import MIN_SCORE
from sam_backend.memory.records import Record
from sam_backend.memory.score_calibration import DEFAULT_CALIBRATION, are_correct, fit_calibration
from sam_evaluation.simulation.actions import Work, cost_of
from threshold_segmenter import ThresholdSegmenter

ANY = frozenset({"red", "green"}).__contains__


@pytest.fixture
def world(tmp_path):
    """A memory with records of numbered images, and functions that return their embeddings and masks."""
    segmenter = ColourSegmenter()
    images = {}

    def add(number, **squares):
        images[number] = surface(number, **squares)
        memory.store.put(Record(number, f"2026-11-23T05:00:{number:02d}Z", number, f"/{number}.png"))

    def embed(record):
        return segmenter.encode(images[record.annotation][0])

    def read(record, _view=None):
        return [AcceptedMask(mask, label) for label, mask in images[record.annotation][1]]

    memory = ProjectMemory(tmp_path / "project")
    return SimpleNamespace(memory=memory, segmenter=segmenter, images=images, add=add, embed=embed, read=read)


def learn(world):
    world.memory.catch_up(world.segmenter, world.embed, world.read)


def propose(world, seed=99, is_known=ANY, **squares):
    image, masks = surface(seed, **squares)
    classes = world.memory.classes(world.segmenter.version, is_known)
    return world.memory.proposer(classes, world.segmenter.version).propose(
        world.segmenter, world.segmenter.encode(image)
    ), masks


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_one_example_a_class_is_enough_for_labelled_outlines_of_similar_objects(world):
    world.add(1, red=[(20, 30)], green=[(100, 60)])
    learn(world)
    proposals, masks = propose(world, red=[(90, 80), (10, 10)], green=[(60, 30)])
    assert sorted(proposal.label for proposal in proposals) == ["green", "red", "red"]
    for label, mask in masks:
        assert max(iou(proposal.mask, mask) for proposal in proposals if proposal.label == label) > 0.85
    assert [proposal.score for proposal in proposals] == sorted(
        (proposal.score for proposal in proposals), reverse=True
    )
    assert all(proposal.score > 0.5 for proposal in proposals)


def test_a_surface_without_similar_objects_gets_no_proposals(world):
    world.add(1, red=[(20, 30)])
    learn(world)
    assert propose(world)[0] == []


def test_without_examples_there_are_no_classes(world):
    assert world.memory.classes("colour-1", ANY) is None
    world.add(1)
    learn(world)
    assert world.memory.classes("colour-1", ANY) is None


def test_an_image_without_masks_is_an_example_of_background(world):
    world.add(1, red=[(20, 30)])
    world.add(2, green=[(50, 50)])
    world.images[2] = (world.images[2][0], [])
    learn(world)
    proposals, _ = propose(world, red=[(90, 80)], green=[(20, 20)])
    assert [proposal.label for proposal in proposals] == ["red"]


def test_a_label_that_left_the_config_is_logged_once_and_not_proposed(world, caplog):
    world.add(1, red=[(20, 30)], green=[(100, 60)])
    learn(world)
    for _ in range(2):
        proposals, _ = propose(world, is_known="red".__eq__, red=[(90, 80)], green=[(20, 20)])
        assert {proposal.label for proposal in proposals} == {"red"}
    assert caplog.text.count("no green (any more)") == 1
    assert {proposal.label for proposal in propose(world, red=[(90, 80)], green=[(20, 20)])[0]} == {"red", "green"}


def test_a_deleted_example_is_forgotten(world):
    world.add(1, red=[(20, 30)])
    world.add(2, green=[(100, 60)])
    learn(world)
    world.memory.store.put(Record(2, deleted=True))
    classes = world.memory.classes("colour-1", ANY)
    assert classes.labels == ("red",)


def test_another_model_learns_from_the_same_annotations(world):
    world.add(1, red=[(20, 30)])
    learn(world)
    world.segmenter.version = "colour-2"
    assert world.memory.classes("colour-2", ANY) is None
    learn(world)
    assert world.memory.classes("colour-2", ANY).labels == ("red",)


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        ([np.ones((10, 10), bool)], "mask of 10 x 10 pixels, but the image has 160 x 120"),
        ([np.zeros((120, 160), bool)], "All its masks are empty"),
    ],
    ids=["another size", "empty"],
)
def test_masks_that_cannot_be_used_leave_the_annotation_out_with_one_line(world, caplog, masks, reason):
    world.add(1, red=[(20, 30)])
    world.images[1] = (world.images[1][0], [("red", mask) for mask in masks])
    learn(world)
    learn(world)
    assert [reason in line for line in caplog.messages] == [True]
    assert world.memory.classes("colour-1", ANY) is None


def test_an_empty_mask_among_others_is_left_out_with_one_line(world, caplog):
    world.add(1, red=[(20, 30)])
    image, masks = world.images[1]
    world.images[1] = (image, [*masks, ("green", np.zeros((120, 160), bool))])
    learn(world)
    assert caplog.messages == ["Annotation 1: 1 of its masks are empty and left out."]
    assert world.memory.classes("colour-1", ANY).labels == ("red",)


def test_an_image_that_is_gone_costs_one_line_and_no_other_example(world, caplog):
    world.add(1, red=[(20, 30)])
    world.add(2, red=[(20, 30)])

    def embed(record):
        if record.annotation == 1:
            raise ImageServerError("The image /1.png could not be fetched: it is not there.")
        return world.embed(record)

    for _ in range(2):
        world.memory.catch_up(world.segmenter, embed, world.read)
    assert len(caplog.messages) == 1
    assert "Annotation 1 of task 1 is not learnt: The image /1.png" in caplog.messages[0]
    # The record is kept, so that the next process tries again.
    assert [record.annotation for record in world.memory.store.missing("colour-1")] == [1]
    assert world.memory.classes("colour-1", ANY) is not None


def test_a_model_without_features_says_so(world):
    world.add(1, red=[(20, 30)])
    segmenter = ThresholdSegmenter()
    embedding = segmenter.encode(surface(1)[0])
    with pytest.raises(BadRequestError, match="by the features of nano or sam"):
        world.memory.catch_up(segmenter, lambda _: embedding, world.read)
    assert world.memory.store.missing("threshold-1")


def test_the_same_images_give_the_same_classes_in_any_order(tmp_path, world):
    for number in (1, 2):
        world.add(number, red=[(20, 30 * number)], green=[(100, 20 * number)])
    learn(world)
    other = ProjectMemory(tmp_path / "other")
    for record in reversed(world.memory.store.heads()):
        other.store.put(record)
        other.catch_up(world.segmenter, world.embed, world.read)
    one, two = (memory.classes("colour-1", ANY) for memory in (world.memory, other))
    np.testing.assert_array_equal(one.weights, two.weights)


def test_left_out_examples_calibrate_the_scores(world):
    for number in range(6):
        world.add(number, red=[(20 + 15 * number, 30)], green=[(100, 10 + 12 * number)])
        if number % 2:
            # The annotator accepts no green here, so that half of its outlines are wrong.
            image, masks = world.images[number]
            world.images[number] = (image, [(label, mask) for label, mask in masks if label == "red"])
    learn(world)
    calibration = world.memory.recalibrate(world.segmenter, world.embed, world.read)
    assert calibration.outlines >= 6
    assert world.memory.calibration("colour-1") == calibration
    encoded = world.segmenter.encoded
    assert world.memory.recalibrate(world.segmenter, world.embed, world.read) == calibration
    assert world.segmenter.encoded == encoded
    world.memory.store.put(Record(0, deleted=True))
    assert world.memory.recalibrate(world.segmenter, world.embed, world.read).outlines < calibration.outlines


def test_projects_have_memories_of_their_own(tmp_path):
    memories = Memories(tmp_path)
    memories.of("1.100").store.put(Record(1, image="/a.png"))
    memories.of("1.200").store.put(Record(1, image="/b.png"))
    assert Memories(tmp_path).of("1.100").store.heads()[0].image == "/a.png"
    assert memories.projects() == ["1.100", "1.200"]
    assert memories.of("../out").store.folder.parent == tmp_path / "memory"


def test_pooling_keeps_a_few_vectors_that_stand_for_all_cells():
    image, masks = surface(1, red=[(20, 30)], green=[(100, 60)])
    segmenter = ColourSegmenter()
    embedding = segmenter.encode(image)
    vectors = pool(segmenter, embedding, [AcceptedMask(mask, label) for label, mask in masks])
    assert set(vectors.labels) == {BACKGROUND, "red", "green"}
    assert (vectors.labels == "red").sum() <= PER_MASK
    assert vectors.weights.sum() == pytest.approx(48 * 64, rel=0.01)
    red = np.average(vectors.values[vectors.labels == "red"], 0, vectors.weights[vectors.labels == "red"])
    assert red[0] - red[1] > 0.5


@pytest.mark.parametrize("seed", [1, None], ids=["grain", "one value"])
def test_the_same_image_and_masks_give_the_same_vectors_without_empty_clusters(seed):
    image, masks = surface(seed or 1, red=[(20, 30)])
    if seed is None:
        # All centres but one have no cells of their own.
        image[:] = 110
    segmenter = ColourSegmenter()
    accepted = [AcceptedMask(mask, label) for label, mask in masks]
    one, two = (pool(segmenter, segmenter.encode(image), accepted) for _ in range(2))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert np.isfinite(one.values).all()
    assert (one.weights > 0).all()


def test_a_mask_smaller_than_a_cell_still_counts():
    image = surface(1)[0]
    mask = np.zeros(image.shape[:2], bool)
    mask[50, 70] = True
    assert "red" in pool(ColourSegmenter(), ColourSegmenter().encode(image), [AcceptedMask(mask, "red")]).labels


def outline(label, left, right, feature=0.0):
    logits = np.full((GRID, GRID), -10, np.float32)
    logits[10:30, left:right] = 10
    return ClassOutline(label, logits, np.array([feature, feature, feature, 0.8, 6], np.float32))


def test_of_outlines_of_one_object_the_one_with_the_highest_score_stays():
    outlines = [outline("red", 10, 30), outline("red", 12, 40), outline("red", 50, 60), outline("green", 10, 31)]
    assert without_duplicates(outlines, [0.5, 0.9, 0.3, 0.2]) == [1, 2]
    assert without_duplicates(outlines, [0.5, 0.1, 0.3, 0.6]) == [3, 2]


def test_an_accepted_mask_makes_one_outline_right_and_only_of_its_label():
    mask = np.zeros((GRID, GRID), bool)
    mask[10:30, 10:30] = True
    outlines = [outline("red", 10, 24), outline("red", 10, 29), outline("green", 10, 30)]
    assert are_correct(outlines, [AcceptedMask(mask, "red")]) == [False, True, False]
    assert are_correct([], [AcceptedMask(mask, "red")]) == []


def test_a_proposal_is_shown_from_where_it_saves_what_a_false_one_costs():
    deleting = cost_of(Counter({Work.SELECT: 1, Work.DELETE: 1}))
    saved_by_right = 4
    least = (deleting.keys + deleting.clicks) / (deleting.keys + deleting.clicks + saved_by_right)
    assert pytest.approx(least) == MIN_SCORE


def test_a_calibration_stays_close_to_the_default_with_few_outlines():
    outlines = [outline("red", 10, 30, feature) for feature in (3.0, 2.0)]
    assert fit_calibration([], [], DEFAULT_CALIBRATION) == DEFAULT_CALIBRATION
    few = fit_calibration(outlines, [False, False], DEFAULT_CALIBRATION)
    many = fit_calibration(outlines * 60, [False, False] * 60, DEFAULT_CALIBRATION)
    assert DEFAULT_CALIBRATION.score(outlines[0]) > few.score(outlines[0]) > many.score(outlines[0])
    assert many.score(outlines[0]) < 0.15


def test_an_outline_is_where_the_segmenter_and_the_memory_agree():
    images = [surface(seed, red=[(20 * seed, 30)]) for seed in (1, 2)]
    segmenter = ColourSegmenter()
    vectors = [
        pool(segmenter, segmenter.encode(image), [AcceptedMask(m, n) for n, m in masks]) for image, masks in images
    ]
    classes = fit_classes(vectors, ["red"])
    image, ((_, mask),) = surface(5, red=[(80, 50)], size=(300, 220))
    (outlined,) = find_outlines(segmenter, segmenter.encode(image), classes)
    assert iou(outlined.image_mask(mask.shape), mask) > 0.85
    assert outlined.score_features[2] > 2


def test_of_many_examples_those_changed_last_are_used(world, monkeypatch):
    monkeypatch.setattr("sam_backend.memory.project_memory._EXAMPLES_PER_LABEL", 2)
    world.add(1, green=[(100, 60)])
    for number in (2, 3, 4):
        world.add(number, red=[(20, 10 * number)])
    learn(world)
    assert [number for number, _ in world.memory.examples("colour-1")] == [1, 3, 4]


@pytest.mark.parametrize("may_lag", [False, True])
def test_a_long_fit_comes_when_some_changes_have_paid_for_it(world, tmp_path, may_lag):
    world.memory = ProjectMemory(tmp_path / "project", may_lag=may_lag)
    world.memory.store.put(Record(1, "2026-11-23T05:00:01Z", 1, "/1.png"))
    world.images[1] = surface(1, red=[(20, 30)])
    learn(world)
    first = world.memory.classes("colour-1", ANY)
    world.memory._fits._balance = -2.5 * SECONDS_EACH
    fitted = []
    for number in (2, 3, 4):
        world.memory.store.put(Record(number, f"2026-11-23T05:00:{number:02d}Z", number, f"/{number}.png"))
        world.images[number] = surface(number, red=[(20, 30)])
        learn(world)
        fitted.append(world.memory.classes("colour-1", ANY) is not first)
    assert fitted == ([False, False, True] if may_lag else [True] * 3)


def test_a_calibration_that_is_not_paid_for_is_not_done(world, tmp_path, monkeypatch):
    memory = ProjectMemory(tmp_path / "project", may_lag=True)
    done = []
    monkeypatch.setattr(memory, "recalibrate", lambda *_: done.append(True))
    world.add(1, red=[(20, 30)])
    memory.learn(world.segmenter, world.embed, world.read)
    memory._calibrations._balance -= 3 * SECONDS_EACH
    world.add(2, red=[(20, 30)])
    memory.learn(world.segmenter, world.embed, world.read)
    assert done == [True]


def boxed(mask, margin):
    (rows, columns), box = mask.nonzero(), np.zeros_like(mask)
    box[rows.min() - margin : rows.max() + 1 + margin, columns.min() - margin : columns.max() + 1 + margin] = True
    return box


def test_what_was_drawn_around_an_object_becomes_what_the_model_sees_in_it():
    segmenter, (image, [(_, red), (_, green)]) = ColourSegmenter(), surface(0, red=[(30, 40)], green=[(100, 60)])
    nothing = np.zeros_like(red)
    drawn = [
        AcceptedMask(boxed(red, 6), "red", is_around=True),
        AcceptedMask(boxed(green, 6), "green"),
        AcceptedMask(nothing, "red", is_around=True),
    ]
    masks = masks_on_image(Record(1), segmenter, segmenter.encode(image), lambda record, view: drawn)
    assert [one.label for one in masks] == ["red", "green", "red"]
    assert mask_iou(masks[0].mask, red) > 0.95
    assert masks[1:] == drawn[1:]
