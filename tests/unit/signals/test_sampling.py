"""Time columns, gaps and uneven sampling: what is said, filled, split or refused."""

import numpy as np
import pytest

from sam_backend.errors import BadRequestError
from sam_backend.signals.sampling import even_parts, rate_of_times

RATE = 100.0


def rate(times, given=None):
    return rate_of_times(np.asarray(times, float), given, lambda row: row + 2, "time")


def test_the_rate_is_the_mean_over_steps_that_are_no_gaps():
    # Microseconds of 25600 Hz: the median step, 39 us, would be a rate of 25641 Hz.
    times = np.round(np.arange(10_000) / 25600, 6)
    times[5000:] += 0.5
    assert rate(times) == pytest.approx(25600, rel=1e-5)


def test_a_given_rate_holds_where_the_times_agree_within_a_sample():
    times = np.round(np.arange(10_000) / 25600, 6)
    assert rate(times, 25600.0) == 25600.0


@pytest.mark.parametrize(
    ("times", "given", "said"),
    [
        ([0, 0.01, 0.01, 0.02], None, r"too coarse: 1 of 3 rows have the time of the row before, the first in line 4"),
        ([0, 0.01, 0.005, 0.02], None, r"goes back in line 4; sort the rows"),
        (
            [0, 0.01, 0.02, 0.024, 0.034],
            None,
            r"not evenly spaced: 1 of 4 steps .* median of 0\.01 s, the first in line 5",
        ),
        (np.arange(1000) / 100, 200.0, r"--fs says 200 Hz, but the time column 'time' 100 Hz"),
        (np.arange(10_000) / 100, 100.2, r"--fs says 100\.2 Hz, but the time column 'time' 100 Hz"),
    ],
)
def test_times_that_cannot_be_used_are_one_sentence_with_numbers(times, given, said):
    with pytest.raises(BadRequestError, match=said):
        rate(times, given)


def test_missing_values_are_filled_up_to_a_number_of_samples_and_split_a_channel_beyond():
    values = np.arange(40.0)
    values[3:6] = np.nan
    values[10:14] = np.nan
    values[39] = np.inf
    (first, second), repairs = even_parts(values, RATE, None, max_gap=3)
    assert first.values.tolist() == list(range(10))
    assert second.values.tolist() == list(range(14, 39))
    assert (first.start, second.start) == (0.0, 0.14)
    assert repairs.sentences("acc", 3) == [
        "acc: 1 gap of at most 3 samples is filled by linear interpolation, 3 samples in all.",
        "acc: 1 longer gap (0.05 s at 0.09 s) splits it into 2 parts.",
    ]


def test_a_gap_in_the_time_is_the_same_as_missing_values():
    times = np.delete(np.arange(40) / RATE, [3, 4, 5, *range(10, 14)])
    parts, repairs = even_parts(np.delete(np.arange(40.0), [3, 4, 5, *range(10, 14)]), RATE, times, 3)
    assert [part.values.tolist() for part in parts] == [list(range(10)), list(range(14, 40))]
    assert parts[1].start == pytest.approx(0.14)
    assert (repairs.filled, repairs.filled_samples, len(repairs.splits)) == (1, 3, 1)


def test_uneven_samples_are_resampled_where_they_are_off_the_grid_and_kept_where_they_are_hardly():
    random = np.random.default_rng(0)
    grid = np.arange(1000) / RATE
    for jitter, said in ((0.01, 0), (0.2, 1)):
        times = grid + random.uniform(-jitter, jitter, 1000) / RATE
        times[[0, -1]] = grid[[0, -1]]
        (part,), repairs = even_parts(np.sin(2 * np.pi * 5 * times), RATE, times)
        assert len(repairs.sentences("acc", 3)) == said
        expected = np.sin(2 * np.pi * 5 * (grid if said else times))
        assert np.abs(part.values - expected).max() < 0.02


def test_a_clock_that_drifts_is_followed():
    times = np.arange(5000) / RATE
    times += 1e-4 * times**2
    (part,), _ = even_parts(np.sin(2 * np.pi * 3 * times), RATE, times)
    grid = np.linspace(0, times[-1], 5000)
    assert np.abs(part.values - np.sin(2 * np.pi * 3 * grid)).max() < 0.01
