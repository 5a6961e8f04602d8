"""Boxes in frames <-> Label Studio's keyframes: sparse, and interpolated back within the tolerance."""

import numpy as np
import pytest
from label_studio_sdk.label_interface.control_tags import VideoRectangleValue

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.video_config import VideoTarget
from sam_backend.labelstudio.video_sequences import PageFrames, read_sequences, sequence_value

SIZE = (180, 320)


def frames(rate=25.0, count=40, times=None):
    times = np.arange(count) / 25 if times is None else np.asarray(times)
    return PageFrames(rate, times, float(times[-1]) + 0.04)


def shown_by_the_page(sequence, frame):
    """Return the box in per cent that the page shows in a frame, from 1, as its script does; None for none."""
    before = [one for one in sequence if one["frame"] <= frame]
    if not before or not (before[-1]["enabled"] or before[-1]["frame"] == frame):
        return None
    last, after = before[-1], [one for one in sequence if one["frame"] > frame]
    box = np.array([last[side] for side in ("x", "y", "width", "height")])
    if after and last["frame"] != frame:
        share = (frame - last["frame"]) / (after[0]["frame"] - last["frame"])
        box = box + share * (np.array([after[0][side] for side in ("x", "y", "width", "height")]) - box)
    return box


def curved(count, hidden=()):
    """Return the boxes of an object on a curve that grows; None in hidden frames."""
    return {
        index: None
        if index in hidden
        else np.array([5 * index, 60 + 30 * np.sin(index / 6), 5 * index + 30 + index / 4, 120], np.float32)
        for index in range(count)
    }


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 5.0])
def test_the_page_shows_every_box_within_the_tolerance(tolerance):
    boxes = curved(40, hidden=(*range(12, 20), 30))
    sequence = sequence_value(boxes, SIZE, frames(), "Man", tolerance)["sequence"]
    for index, box in boxes.items():
        shown = shown_by_the_page(sequence, index + 1)
        assert (shown is None) == (box is None), index
        if box is not None:
            pixels = shown * np.array([320, 180, 320, 180]) / 100
            assert np.abs(np.array([*pixels[:2], *(pixels[:2] + pixels[2:])]) - box).max() <= tolerance + 1e-3
    visible = sum(box is not None for box in boxes.values())
    assert len(sequence) <= (visible if not tolerance else 16 if tolerance < 5 else 8)


def test_a_straight_way_has_two_keyframes():
    straight = {index: np.array([index, 10, index + 20, 30], np.float32) for index in range(40)}
    value = sequence_value(straight, SIZE, frames(), "", 0.01)
    assert [(one["frame"], one["enabled"]) for one in value["sequence"]] == [(1, True), (40, True)]
    assert "labels" not in value


def test_a_lifespan_ends_where_the_object_is_hidden_and_starts_again():
    boxes = {index: np.array([9, 9, 20, 20], np.float32) for index in range(5, 40)} | dict.fromkeys(range(15, 21))
    sequence = sequence_value(boxes, SIZE, frames(), "Man", 1.0)["sequence"]
    assert [(one["frame"], one["enabled"]) for one in sequence] == [(6, True), (15, False), (22, True), (40, True)]


def test_an_object_that_is_seen_in_one_frame_has_one_keyframe_that_is_not_enabled():
    boxes = {0: None, 1: np.array([9, 9, 20, 20], np.float32), 2: None}
    (one,) = sequence_value(boxes, SIZE, frames(), "Man", 1.0)["sequence"]
    assert (one["frame"], one["enabled"]) == (2, False)


def test_the_value_is_one_of_label_studios_schema():
    value = sequence_value(curved(40), SIZE, frames(), "Man", 1.0)
    assert VideoRectangleValue(**value).labels == ["Man"]
    assert (value["framesCount"], value["duration"]) == (40, pytest.approx(1.6))


def test_the_page_counts_from_one_by_the_rate_of_its_tag():
    page = frames(rate=25.0)
    assert (page.count, page.fits, page.of_page(1), page.of_page(40), page.of_page(99)) == (40, True, 0, 39, 39)


def test_with_another_rate_a_frame_of_the_page_has_the_box_that_it_shows():
    page = frames(rate=10.0)
    assert (page.count, page.fits) == (16, False)
    # At (n - 1) / 10 seconds, a video of 25 frames a second shows frame 2.5 (n - 1).
    assert page.shown.tolist()[:6] == [0, 2, 5, 7, 10, 12]
    boxes = curved(40)
    sequence = sequence_value(boxes, SIZE, page, "", 0.0)["sequence"]
    assert shown_by_the_page(sequence, 6)[0] == pytest.approx(100 * boxes[12][0] / 320)


def test_a_variable_rate_is_followed_by_its_times():
    page = frames(times=[0, 0.04, 0.08, 0.4, 0.44])
    assert page.shown.tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4]
    assert not page.fits


def region(**change):
    keyframe = {"frame": 3, "x": 10, "y": 20, "width": 30, "height": 40, "enabled": True, "rotation": 0, "time": 0.12}
    value = {"framesCount": 40, "duration": 1.6, "sequence": [keyframe], "labels": ["Man"]}
    return {"id": "a", "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value, **change}


def test_what_was_drawn_is_read_with_its_label_and_its_keyframes():
    (one,) = read_sequences([region(), region(from_name="other"), {"from_name": "box", "type": "choices"}], "box")
    assert (one.id, one.label, one.is_unchanged) == ("a", "Man", False)
    assert {frame: box.tolist() for frame, box in one.boxes.items()} == {3: [10, 20, 40, 60]}
    (copied,) = read_sequences([region(origin="prediction")], "box")
    assert copied.is_unchanged


def test_keyframes_that_end_a_lifespan_or_have_no_extent_say_nothing_about_the_object():
    keyframes = [
        {"frame": 1, "x": 1, "y": 1, "width": 5, "height": 5, "enabled": True},
        {"frame": 5, "x": 2, "y": 1, "width": 5, "height": 5, "enabled": False},
        {"frame": 9, "x": 2, "y": 1, "width": 0, "height": 5, "enabled": True},
    ]
    (one,) = read_sequences([region(value={"sequence": keyframes})], "box")
    assert (list(one.boxes), one.label) == ([1], "")


@pytest.mark.parametrize("value", [None, {}, {"sequence": [{"frame": "x"}]}, {"sequence": []}])
def test_a_region_that_is_none_is_left_out(value):
    assert read_sequences([region(value=value)], "box") == []


CONFIG = """<View><Labels name="label" toName="video"><Label value="Man"/></Labels>
<Video name="video" value="$video"{}/><VideoRectangle name="box" toName="video"/></View>"""


@pytest.mark.parametrize(
    ("attribute", "data", "rate"),
    [
        ("", {}, 24),
        (' framerate="25.0"', {}, 25),
        (' frameRate="29.97"', {}, 29.97),
        (' framerate="0.04"', {}, 25),
        (' framerate="$fps"', {"fps": 50}, 50),
        (' framerate="$fps"', {"fps": "12.5"}, 12.5),
        (' framerate="$fps"', {}, 24),
        (' framerate="nan"', {}, 24),
        (' framerate="0"', {}, 24),
    ],
)
def test_the_rate_of_the_tag_is_read_as_the_page_reads_it(attribute, data, rate):
    target = VideoTarget.parse(CONFIG.format(attribute))
    assert (target.control, target.video.name) == ("box", "video")
    assert target.rate(data) == pytest.approx(rate)


def test_the_address_of_the_video_is_that_of_the_task():
    target = VideoTarget.parse(CONFIG.format(""))
    assert target.address({"video": "/data/upload/1/a.mp4"}) == "/data/upload/1/a.mp4"
    with pytest.raises(BadRequestError, match="lacks; it has 'film'"):
        target.address({"film": "/a.mp4"})


def test_a_config_without_a_followed_video_says_what_to_add():
    with pytest.raises(BadRequestError, match="has no video on which objects are followed; add <Video"):
        VideoTarget.parse('<View><Video name="video" value="$video"/></View>')


def test_a_service_that_is_asked_about_a_video_names_the_command():
    with pytest.raises(BadRequestError, match="sam-inspect track --project"):
        LabelingConfig.parse(CONFIG.format(""))
