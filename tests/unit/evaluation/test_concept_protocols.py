"""`text` and `exemplar`: all objects of a class are asked for at once, and paired with what was found."""

from __future__ import annotations

import numpy as np
import pytest

from colour_segmenter import ColourFinder, ColourSegmenter, surface
from sam_backend.samples import Object, Sample
from sam_evaluation.ci_gate import evaluate_gate, parse_gate
from sam_evaluation.protocols.named_protocols import parse_protocols
from sam_evaluation.sample_rows import measured_objects, sample_rows
from sam_evaluation.summary_tables import detection

pd = pytest.importorskip("pandas")


def sample_of(**squares):
    image, masks = surface(1, **squares)
    return Sample("one", image, tuple(Object(mask, label) for label, mask in masks))


def rows_of(sample, protocols, segmenter=None):
    """Rows of objects and rows of images, as tables."""
    rows = sample_rows(segmenter or ColourFinder(), sample, measured_objects(sample), parse_protocols(protocols))
    tables = {"object": [], "image": []}
    for row in rows:
        tables[row.pop("kind")].append({"model": "colour", "version": "1", "dataset": "squares", **row})
    return pd.DataFrame(tables["object"]), pd.DataFrame(tables["image"])


def test_the_name_of_a_class_finds_all_its_objects():
    objects, images = rows_of(sample_of(red=[(10, 10), (60, 20)], green=[(100, 60)]), "text")
    assert objects["protocol"].tolist() == ["text"] * 3
    assert (objects["iou"] > 0.9).all()
    assert objects["predicted_iou"].isna().all()
    assert images[["protocol", "objects", "proposals", "matched_0.5"]].to_numpy().tolist() == [["text", 3, 3, 3]]


def test_what_is_found_of_another_class_is_a_false_positive():
    image, masks = surface(1, red=[(10, 10)], green=[(100, 60)])
    # The annotation calls the green square red as well, so one of the two red ones is not found.
    sample = Sample("one", image, tuple(Object(mask, "red") for _, mask in masks))
    objects, images = rows_of(sample, "text")
    assert sorted(objects["iou"].round(1)) == [0.0, 1.0]
    swapped = Sample(
        "one", image, tuple(Object(mask, label) for (_, mask), label in zip(masks, ("green", "red"), strict=True))
    )
    objects, images = rows_of(swapped, "text")
    assert objects["iou"].tolist() == [0.0, 0.0]
    assert images[["proposals", "matched_0.1"]].to_numpy().tolist() == [[2, 0]]


def test_the_underscore_of_a_class_is_a_space():
    image, masks = surface(1, red=[(10, 10)])
    objects, _ = rows_of(Sample("one", image, (Object(masks[0][1], "a_red_square"),)), "text")
    assert objects["iou"].tolist() == [pytest.approx(1.0, abs=0.1)]


def test_one_object_is_the_example_and_the_others_of_its_class_are_found():
    objects, images = rows_of(sample_of(red=[(10, 10), (60, 20), (100, 80)], green=[(20, 70)]), "exemplar")
    assert objects["label"].tolist() == ["red", "red"]
    assert (objects["iou"] > 0.9).all()
    # The mask of the example itself is no false positive.
    assert images[["objects", "proposals", "matched_0.5"]].to_numpy().tolist() == [[2, 2, 2]]


def test_an_image_with_one_object_of_each_class_has_nothing_to_find_by_an_example():
    objects, images = rows_of(sample_of(red=[(10, 10)], green=[(100, 60)]), "exemplar")
    assert objects.empty
    assert images.empty


def test_a_model_without_texts_is_skipped():
    objects, _ = rows_of(sample_of(red=[(10, 10), (60, 20)]), "box,text,exemplar", ColourSegmenter())
    assert set(objects["protocol"]) == {"box"}


def test_tables_and_gates_keep_the_protocols_apart():
    sample = sample_of(red=[(10, 10), (60, 20), (100, 80)], green=[(20, 70)])
    objects, images = rows_of(sample, "everything,text,exemplar")
    table = detection(objects, images)
    found = table[(table["by"] == "all") & (table["metric"] == "recall_0.5")].set_index("protocol")["objects"]
    assert found.to_dict() == {"everything": 4, "text": 4, "exemplar": 2}
    gate = parse_gate("recall0.5.text>=1,precision.text>=1,f1.exemplar>=1")
    assert [result.met for result in evaluate_gate(gate, objects, images)] == [True] * 3


def test_rows_of_images_without_a_protocol_are_those_of_everything():
    objects, images = rows_of(sample_of(red=[(10, 10)]), "everything")
    table = detection(objects, images.drop(columns="protocol"))
    assert set(table["protocol"]) == {"everything"}
    assert np.isfinite(table.loc[table["metric"] == "precision_0.5", "value"]).all()
