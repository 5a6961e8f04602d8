"""Masks on pictures of spectrograms, as intervals."""

import numpy as np
import pytest

from sam_backend.samples import Cropped
from sam_backend.signals.calibration import Calibration
from sam_backend.signals.intervals import absolute_time, interval_of

FIELDS = {
    "file": "a.csv",
    "channel": "acc",
    "picture": "a.png",
    "width": 140,
    "height": 110,
    "x0": 30,
    "y0": 5,
    "x1": 130,
    "y1": 85,
    "t0": 2.0,
    "seconds_per_pixel": 0.01,
    "low": 10.0,
    "high": 810.0,
    "nyquist": 800.0,
    "level_low": -60.0,
    "level_high": -20.0,
}
LINEAR = Calibration(**FIELDS)
LOG = Calibration(**FIELDS, log_frequency=True)


def mask_of(rows, columns):
    mask = np.zeros((110, 140), bool)
    mask[rows, columns] = True
    return Cropped.of(mask)


def test_a_mask_covers_its_pixels_from_edge_to_edge():
    interval = interval_of(mask_of(slice(15, 25), slice(40, 60)), LINEAR)
    assert (interval.t_start, interval.t_end) == pytest.approx((2.1, 2.3))
    assert (interval.f_low, interval.f_high) == pytest.approx((610, 710))
    assert (interval.peak_frequency, interval.cut) == (None, "")


def test_rows_of_a_logarithmic_axis_are_ratios():
    interval = interval_of(mask_of(slice(45, 85), slice(40, 41)), LOG)
    assert (interval.f_low, interval.f_high) == pytest.approx((10, 90))


def test_what_lies_on_the_axes_does_not_count():
    interval = interval_of(mask_of(slice(0, 110), slice(0, 140)), LINEAR)
    assert (interval.t_start, interval.t_end, interval.f_low, interval.f_high) == pytest.approx((2, 3, 10, 800))
    assert interval.cut == "start end"
    assert interval_of(mask_of(slice(90, 100), slice(40, 60)), LINEAR) is None


def test_the_peak_is_the_row_with_most_power_inside_the_mask():
    levels = np.full((80, 100), -50, np.float32)
    levels[30, 20:40], levels[33, 20:30], levels[60] = -30, -28, -20
    mask = mask_of(slice(25, 45), slice(50, 70))
    assert interval_of(mask, LINEAR, levels).peak_frequency == pytest.approx(10 + 49.5 * 10)


def test_absolute_times_are_in_the_terms_of_the_time_column():
    dated = LINEAR.model_copy(update={"origin": "2026-03-01T09:00:00.5"})
    assert absolute_time(dated, 61.25) == "2026-03-01T09:01:01.750000000"
    in_utc = LINEAR.model_copy(update={"origin": "2026-03-01T09:00:00+00:00"})
    assert absolute_time(in_utc, 0.25) == "2026-03-01T09:00:00.250000000+00:00"
    assert absolute_time(LINEAR.model_copy(update={"origin": 1000.0}), 2.5) == 1002.5
    for origin, seconds in ((None, 2.5), ("yesterday", 2.5), ("2026-03-01", 1e300)):
        assert absolute_time(LINEAR.model_copy(update={"origin": origin}), seconds) is None
