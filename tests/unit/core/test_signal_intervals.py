"""From a rendered signal to Label Studio's regions and back to intervals, to the pixel."""

import json

import numpy as np
import pytest

import exported_regions
from label_studio_requests import data_url
from sam_backend.core.signal_intervals import read_intervals
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.bitmask import encode_bitmask
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.exports import Export
from sam_backend.labelstudio.rle import encode_rle
from sam_backend.signals.picture import Axes
from sam_backend.signals.recording import Recording
from sam_backend.signals.rendering import Look, plan, render

RATE, START, STOP, LOW, HIGH = 2000.0, 3.0123, 4.7077, 210.4, 333.3
RECTANGLES = LabelingConfig.parse(
    '<View><Image name="image" value="$image"/><RectangleLabels name="a" toName="image"><Label value="knock"/>'
    "</RectangleLabels></View>"
)


def rendered(*, log=False):
    time = np.arange(round(8 * RATE)) / RATE
    values = np.random.default_rng(0).normal(0, 0.1, len(time))
    burst = (time > START) & (time < STOP)
    values[burst] += np.sin(2 * np.pi * 280 * time[burst])
    made = Recording("a.csv", ("acc",), values[:, None], RATE, origin="2026-03-01T09:00:00")
    look = Look(axes=Axes(low=10, log=log))
    (channel,) = plan(made, look, [])
    (picture,) = render(made, channel, look)
    return picture


PICTURE = rendered()


def region(shape, corners, calibration):
    """Return a region of a shape with two corners xy in pixels of the picture, as Label Studio writes it."""
    (left, top), (right, bottom) = corners
    width, height = calibration.width, calibration.height
    entry = {"id": "r1", "from_name": "a", "to_name": "image", "original_width": width, "original_height": height}
    if shape == "rectangle":
        box = {"x": left / width, "y": top / height, "width": (right - left) / width, "height": (bottom - top) / height}
        value = {name: 100 * share for name, share in box.items()} | {"rotation": 0}
    elif shape == "polygon":
        ring = [(left, top), (right, top), (right, bottom), (left, bottom)]
        value = {"points": [[100 * x / width, 100 * y / height] for x, y in ring], "closed": True}
    else:
        mask = np.zeros((height, width), bool)
        mask[round(top) : round(bottom), round(left) : round(right)] = True
        packed = {"format": "rle", "rle": encode_rle(mask)}
        value = packed if shape == "brush" else {"imageDataURL": encode_bitmask(mask)}
    return {**entry, "type": f"{shape}labels", "value": {**value, f"{shape}labels": ["knock"]}}


def drawn(shape, calibration):
    corners = [
        (float(calibration.columns(time)), float(calibration.rows(frequency)))
        for time, frequency in ((START, HIGH), (STOP, LOW))
    ]
    return region(shape, corners, calibration)


def export(*results, data=None):
    tasks = [
        {"id": number, "data": data or {"image": "x.png", "signal": PICTURE.calibration.as_data()}, "annotations": [a]}
        for number, a in enumerate(({"id": n, "result": result} for n, result in enumerate(results)), 1)
    ]
    return Export.of_json(json.loads(json.dumps(tasks)), "it", BadRequestError)


def read(made, config=None, picture=None):
    return read_intervals(made, config, "Project 5", picture)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", ["rectangle", "polygon", "brush", "bitmask"])
def test_a_region_drawn_at_a_known_time_and_frequency_comes_back_within_half_a_pixel(shape, log):
    picture = rendered(log=log)
    c = picture.calibration
    found = read(export([drawn(shape, c)], data={"image": "x", "signal": c.as_data()}), None, lambda *_: picture.png)
    (row,) = found.rows
    assert found.problems == []
    assert (row.task, row.region, row.label) == (1, "r1", "knock")
    assert abs(row.interval.t_start - START) <= c.seconds_per_pixel / 2
    assert abs(row.interval.t_end - STOP) <= c.seconds_per_pixel / 2
    for measured, true in ((row.interval.f_low, LOW), (row.interval.f_high, HIGH)):
        assert abs(float(c.rows(measured) - c.rows(true))) <= 0.5 + 1e-9
    height = np.ptp(c.frequencies([c.rows(280.0), c.rows(280.0) + 1]))
    assert row.interval.peak_frequency == pytest.approx(280, abs=RATE / 256 + height)


def test_with_the_labeling_config_rectangles_count_where_they_are_what_is_asked_for():
    prompts = LabelingConfig.parse(
        '<View><Image name="image" value="$image"/><RectangleLabels name="a" toName="image" smart="true">'
        '<Label value="knock"/></RectangleLabels><BrushLabels name="b" toName="image"><Label value="knock"/>'
        "</BrushLabels></View>"
    )
    made = export([drawn("rectangle", PICTURE.calibration)])
    assert len(read(made, RECTANGLES).rows) == 1
    found = read(made, prompts)
    assert found.rows == []
    assert found.problems == [
        "Task 1, region r1: the rectangle is a prompt, since the labeling config takes masks as brush; it is left out."
    ]


def test_the_calibration_of_the_picture_counts_where_the_task_has_none():
    made = export([drawn("rectangle", PICTURE.calibration)], data={"image": data_url(PICTURE.png)})
    found = read(made, RECTANGLES, lambda task, address, calibration: PICTURE.png)
    assert found.rows[0].calibration == PICTURE.calibration


def test_without_the_picture_only_the_peak_is_missing_and_that_is_said():
    def missing(*_):
        raise BadRequestError("It is gone.")

    found = read(export([drawn("rectangle", PICTURE.calibration)]), None, missing)
    assert found.rows[0].interval.peak_frequency is None
    assert found.problems == ["Task 1 has no peak frequencies. It is gone."]
    assert read(export([drawn("rectangle", PICTURE.calibration)])).problems == []


def test_regions_beside_the_spectrogram_or_on_another_image_are_left_out_and_said():
    beside = region("rectangle", ((1, 1), (20, 20)), PICTURE.calibration)
    foreign = {**drawn("rectangle", PICTURE.calibration), "id": "r2", "original_width": 77}
    found = read(export([beside, foreign]))
    assert found.rows == []
    assert found.problems[0] == "Task 1, region r1 is left out: it covers no pixel of the spectrogram."
    assert found.problems[1].startswith("Task 1, region r2 is left out: it was drawn on an image of 77 x 584 pixels")


def test_a_task_without_a_calibration_costs_itself():
    made = export([drawn("rectangle", PICTURE.calibration)] * 1, [drawn("rectangle", PICTURE.calibration)])
    bare = made.tasks[1].model_copy(update={"data": {"image": "y.png"}})
    damaged = made.tasks[1].model_copy(update={"id": 3, "data": {"image": "y.png", "signal": {"x0": 1}}})
    found = read(Export((made.tasks[0], bare, damaged)))
    assert [row.task for row in found.rows] == [1]
    assert found.problems[0] == "Task 2 is left out: its image has no calibration."
    assert found.problems[1].startswith("Task 3 is left out: its image has no calibration. The calibration of task 3")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (export(data={"image": "x"}), "Project 5 has no accepted annotation yet"),
        (
            export([exported_regions.box(3, 2, 5, 6)], data={"image": "x"}),
            "Project 5 has no spectrograms of sam-inspect signal render: the image of task 1 has no calibration",
        ),
    ],
)
def test_a_project_without_signals_is_one_sentence(made, said):
    with pytest.raises(BadRequestError, match=said):
        read(made)
