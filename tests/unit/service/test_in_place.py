"""A prompt about a mask that is there is answered with that region: its id, its label, the corrected mask."""

from types import SimpleNamespace

import numpy as np
import pytest

from label_studio_requests import CONFIG, HEIGHT, WIDTH, click, data_url, interactive, png, rectangle
from sam_backend.core import in_place
from sam_backend.labelstudio import region_runs
from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.region_masks import cropped_region, region_mask
from sam_backend.labelstudio.rle import decode_rle, encode_rle
from sam_backend.segmenters.correcting import Correcting
from threshold_segmenter import ThresholdSegmenter

SIZE = HEIGHT, WIDTH


class SpotRefiner:
    """Adds the 3 x 3 pixels around every positive click, and removes those around every negative one."""

    version = "spots"

    def __init__(self):
        self.asked = []

    def correct(self, _image, mask, points, labels):
        self.asked.append((mask.copy(), points.tolist()))
        corrected = mask.copy()
        for (x, y), label in zip(points.astype(int), labels, strict=True):
            corrected[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = label
        return SimpleNamespace(mask=corrected, predicted_iou=0.9)


@pytest.fixture
def refiner():
    return SpotRefiner()


@pytest.fixture
def segmenter(refiner):
    return Correcting(ThresholdSegmenter(), refiner)


def mask_of(left, top, right, bottom):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


BRIGHT, DARK = mask_of(20, 10, 30, 20), mask_of(40, 10, 50, 20)
BOTH = BRIGHT | DARK
FAR = mask_of(55, 35, 60, 40)
VALUES = {
    "brushlabels": lambda mask: {"format": "rle", "rle": encode_rle(mask)},
    "bitmasklabels": lambda mask: {"imageDataURL": encode_bitmask(mask)},
    "polygonlabels": lambda mask: {"points": corners(mask), "closed": True},
}


def corners(mask):
    rows, columns = np.nonzero(mask)
    left, right = (100 * x / WIDTH for x in (columns.min(), columns.max() + 1))
    top, bottom = (100 * y / HEIGHT for y in (rows.min(), rows.max() + 1))
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def region(mask, id_="there", label="Blowhole", kind="brushlabels", **more):
    size = {"original_height": HEIGHT, "original_width": WIDTH}
    value = VALUES[kind](mask) | {kind: [label]}
    return {"id": id_, "from_name": "brush", "to_name": "image", "type": kind, "value": value} | size | more


def prediction(*regions):
    return [{"id": 1, "result": list(regions)}]


def draft(*regions, saved="1", user=1, **more):
    return [{"id": 7, "created_username": f"a@b.c, {user}", "updated_at": saved, "result": list(regions)} | more]


def named(drawn, id_):
    return drawn | {"id": id_}


def answer(client, *drawn, config=CONFIG, **task_fields):
    response = client.post("/predict", json=interactive(*drawn, config=config, **task_fields))
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    return result["result"]


def brush(result):
    (entry,) = result
    return entry["id"], decode_rle(entry["value"]["rle"], SIZE)


@pytest.mark.parametrize("kind", VALUES)
def test_a_negative_click_corrects_the_mask_in_its_own_kind(client, kind):
    config = CONFIG.replace("Brush", kind.removesuffix("labels").capitalize())
    there = prediction(region(BRIGHT, kind=kind))
    (entry,) = answer(client, click(20.5, 10.5, positive=False), config=config, predictions=there)
    assert (entry["id"], entry["type"], entry["value"][kind]) == ("there", kind, ["Blowhole"])
    corrected = region_mask(entry)
    assert not corrected[10, 20]
    assert corrected[15, 25]


def test_a_mask_of_a_large_request_is_corrected_too(client):
    there = prediction(region(BRIGHT), region(DARK, "dark"))
    for number in (1, 2):
        drawn = click(20.5, 10.5, positive=False)
        id_, corrected = brush(answer(client, drawn, number=number, predictions=there, more="x" * 2**18))
        assert id_ == "there"
        assert not corrected[10, 20]


def test_a_positive_click_near_the_edge_extends_the_mask_and_one_farther_away_makes_a_new_region(client):
    near = answer(client, click(31, 15), predictions=prediction(region(BRIGHT)))
    assert brush(near)[0] == "there"
    far = answer(client, click(45, 15), number=2, predictions=prediction(region(BRIGHT)))
    assert brush(far)[0] != "there"


def test_the_first_click_of_a_suggestion_decides_for_all_of_its_clicks(client):
    first, second = named(click(25, 15, positive=False), "k1"), named(click(2, 2), "k2")
    there = prediction(region(BOTH))
    answer(client, first, predictions=there)
    id_, mask = brush(answer(client, first, second, predictions=there))
    assert id_ == "there"
    assert mask[2, 2]
    assert not mask[15, 25]
    new, started = named(click(2, 2), "k3"), named(click(25, 15, positive=False), "k4")
    assert brush(answer(client, new, started, number=2, predictions=there))[0] != "there"


@pytest.mark.parametrize(
    "other",
    [{"label": "Crack"}, {"to_name": "another"}, {"item_index": 1}, {"original_width": WIDTH + 1}],
    ids=["label", "image", "frame", "size"],
)
def test_masks_of_another_label_image_or_frame_are_not_touched(client, other):
    assert answer(client, click(25, 15, positive=False), predictions=prediction(region(BOTH, **other))) == []


def test_an_accepted_suggestion_of_a_moment_ago_is_corrected_before_the_page_has_saved_it(client):
    first = named(rectangle(18, 8, 52, 22, label="Blowhole"), "b1")
    id_, _ = brush(answer(client, first))
    again, mask = brush(answer(client, named(click(35, 12, positive=False), "k1")))
    assert again == id_
    assert not mask[12, 35]
    assert mask[15, 25]


def test_further_clicks_on_an_accepted_region_honour_the_earlier_ones(client, refiner):
    there = prediction(region(BOTH))
    _, first = brush(answer(client, named(click(25, 15, positive=False), "k1"), predictions=there))
    _, second = brush(answer(client, named(click(45, 15, positive=False), "k2"), predictions=there))
    mask, points = refiner.asked[-1]
    assert np.array_equal(mask, first)
    assert points == [[25, 15], [45, 15]]
    assert not second[15, [25, 45]].any()


def test_a_suggestion_that_the_page_saved_without_was_rejected(client, refiner):
    there = region(BOTH)
    answer(client, named(click(25, 15, positive=False), "k1"), predictions=prediction(there))
    open_ = draft(there, {"id": "k1", "type": "keypointlabels", "value": {}})
    answer(client, named(click(45, 15, positive=False), "k2"), predictions=prediction(there), drafts=open_)
    assert len(refiner.asked[-1][1]) == 2
    rejected = draft(there, saved="2")
    answer(client, named(click(45, 12, positive=False), "k3"), predictions=prediction(there), drafts=rejected)
    mask, points = refiner.asked[-1]
    assert len(points) == 1
    assert np.array_equal(mask, BOTH)


def test_what_was_answered_on_another_image_of_the_same_task_is_not_corrected(client):
    answer(client, named(rectangle(18, 8, 52, 22, label="Blowhole"), "b1"))
    negative = named(click(35, 12, positive=False), "k1")
    assert answer(client, negative, image=data_url(png(np.full((*SIZE, 3), 50, np.uint8)))) == []
    assert answer(client, negative)


def test_a_click_inside_what_was_just_rejected_tries_again_as_a_new_region(client):
    id_, _ = brush(answer(client, named(click(25, 15), "k1")))
    again, _ = brush(answer(client, named(click(26, 16), "k2")))
    assert again != id_


def test_what_a_person_saved_counts_more_than_the_prediction(client):
    drafts = draft(region(DARK, "mine"))
    taken_away = answer(client, click(25, 15, positive=False), predictions=prediction(region(BRIGHT)), drafts=drafts)
    assert taken_away == []
    assert brush(answer(client, click(41, 11), predictions=prediction(region(BRIGHT)), drafts=drafts))[0] == "mine"


def test_of_several_people_only_what_all_have_alike_is_corrected(client):
    mine, theirs = draft(region(BRIGHT), region(DARK, "dark")), draft(region(BOTH), region(DARK, "dark"), user=2)
    assert answer(client, click(25, 15, positive=False), drafts=mine + theirs) == []
    assert brush(answer(client, click(41, 11), drafts=mine + theirs))[0] == "dark"


def test_choices_about_a_region_stay_and_a_region_with_a_relation_is_left_alone(client):
    chosen = region(BOTH) | {"type": "choices", "from_name": "quality"}
    chosen["value"] = {"choices": ["bad"], **VALUES["brushlabels"](BOTH)}
    entries = answer(client, click(25, 15, positive=False), predictions=prediction(region(BOTH), chosen))
    assert [entry["type"] for entry in entries] == ["brushlabels", "choices"]
    assert entries[0]["value"]["rle"] == entries[1]["value"]["rle"]
    assert entries[1]["value"]["choices"] == ["bad"]
    related = {"type": "relation", "from_id": "there", "to_id": "dark", "direction": "right"}
    other = region(DARK, "dark")
    assert answer(client, click(25, 15, positive=False), number=2, drafts=draft(region(BOTH), other, related)) == []


def test_a_box_tightly_around_a_mask_replaces_it_and_another_box_does_not(client):
    tight, loose = (rectangle(*box, label="Blowhole") for box in ((19, 9, 31, 21), (15, 5, 45, 25)))
    assert brush(answer(client, tight, predictions=prediction(region(BRIGHT))))[0] == "there"
    assert brush(answer(client, loose, number=2, predictions=prediction(region(BRIGHT))))[0] != "there"


def test_a_grey_proposal_gets_the_chosen_label(client):
    grey = region(BOTH)
    grey["value"]["brushlabels"] = []
    (entry,) = answer(client, click(25, 15, positive=False), predictions=prediction(grey))
    assert (entry["id"], entry["value"]["brushlabels"]) == ("there", ["Blowhole"])


def test_the_setting_and_tools_without_labels_make_new_regions_only(make_client, client):
    plain = make_client(correct_in_place=False)
    there = prediction(region(BRIGHT))
    assert answer(plain, click(25, 15, positive=False), predictions=there) == []
    assert brush(answer(plain, click(25, 15), predictions=there))[0] != "there"
    bare = click(25, 15) | {"type": "keypoint"}
    assert brush(answer(client, bare, predictions=there))[0] != "there"


@pytest.mark.parametrize(
    "damaged",
    [
        [None, 3, "x"],
        prediction({"id": "there", "value": None}),
        prediction(region(BOTH) | {"value": {"rle": [1, 2], "format": "rle", "brushlabels": ["Blowhole"]}}),
        prediction(region(BOTH) | {"value": {"rle": "x", "brushlabels": ["Blowhole"]}}),
        prediction(region(np.zeros(SIZE, bool))),
        prediction(region(BOTH, label="No longer there")),
        [{"id": 1, "result": "x"}],
        [{"id": {"a": 1}, "annotation": [1], "completed_by": [1], "updated_at": {}, "result": [1]}, {"annotation": 3}],
        {"a": 1},
    ],
)
def test_damaged_empty_and_unknown_regions_do_not_matter_to_a_click(client, damaged):
    id_, mask = brush(answer(client, click(25, 15), predictions=damaged, drafts=damaged, annotations=damaged))
    assert id_ != "there"
    assert mask[15, 25]


def test_of_contradictory_clicks_the_last_wins_and_thirty_are_answered(client):
    there = prediction(region(BOTH))
    clicks = [named(click(25, 15, positive=number % 2 == 1), f"k{number}") for number in range(30)]
    for count in range(1, 31):
        entries = answer(client, *clicks[:count], predictions=there)
    id_, mask = brush(entries)
    assert id_ == "there"
    assert mask[15, 25]


def test_outlines_far_from_a_click_are_not_filled(client, monkeypatch):
    filled = []
    monkeypatch.setattr(
        region_runs, "cropped_region", lambda entry: filled.append(entry["id"]) or cropped_region(entry)
    )
    config = CONFIG.replace("Brush", "Polygon")
    far = [region(FAR, f"far{number}", kind="polygonlabels") for number in range(9)]
    there = prediction(*far, region(BRIGHT, kind="polygonlabels"))
    for drawn in (click(20.5, 10.5, positive=False), rectangle(19, 9, 31, 21, label="Blowhole")):
        filled.clear()
        (entry,) = answer(client, drawn, config=config, predictions=there)
        assert entry["id"] == "there"
        assert not any(id_.startswith("far") for id_ in filled)


def test_a_damaged_mask_of_the_page_is_named_and_the_others_are_corrected(client, caplog):
    damaged = region(DARK, "dark")
    damaged["value"]["rle"] = damaged["value"]["rle"][:9]
    there = prediction(damaged, region(BRIGHT))
    body = client.post("/predict", json=interactive(click(20.5, 10.5, positive=False), predictions=there)).json()
    (entry,) = body["results"][0]["result"]
    assert entry["id"] == "there"
    (sentence,) = body["left_out"]
    assert "1 of its 2 masks cannot be corrected in place, since they are damaged; the first is dark: " in sentence
    assert sentence in caplog.text


def test_a_click_is_answered_when_reading_the_masks_of_the_page_takes_too_long(client, monkeypatch, caplog):
    monkeypatch.setattr(in_place, "_READING_SECONDS", -1.0)
    there = prediction(region(BRIGHT), region(DARK, "dark"))
    body = client.post("/predict", json=interactive(click(25, 15), predictions=there)).json()
    (entry,) = body["results"][0]["result"]
    assert entry["id"] != "there"
    (sentence,) = body["left_out"]
    assert "2 of its 2 masks are not corrected in place by this click" in sentence
    assert sentence in caplog.text
