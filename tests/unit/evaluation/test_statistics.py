"""Intervals and tests for objects that come in images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sam_evaluation import statistics
from sam_evaluation.statistics import (
    effect_size,
    holm,
    interval,
    mean,
    means,
    paired_difference,
    ratios,
    resample,
    signed_rank,
    sums_by_image,
)


def clustered(
    rng: np.random.Generator, images: int, objects: int, between: float, within: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return values whose expectation is 0, and their images."""
    which = np.repeat(np.arange(images), objects)
    return rng.normal(0, between, images)[which] + rng.normal(0, within, images * objects), which


def test_mean_weighs_objects_and_not_images() -> None:
    result = mean([0.2, 0.4, 0.9], ["a", "a", "b"])
    assert result.value == pytest.approx(0.5)
    assert (result.objects, result.images) == (3, 2)


def test_two_images_give_the_interval_of_their_four_draws() -> None:
    # Draws: both the first (mean 0, probability 1/4), one of each (0.5, 1/2), both the second (1, 1/4).
    draws = resample(*sums_by_image([0.0, 1.0], ["a", "b"]))[:, 0]
    assert set(draws) == {0.0, 0.5, 1.0}
    assert np.mean(draws == 0.5) == pytest.approx(0.5, abs=0.05)
    result = mean([0.0, 1.0], ["a", "b"])
    assert (result.low, result.high) == (0.0, 1.0)


def test_same_seed_gives_the_same_interval_and_another_seed_nearly_the_same() -> None:
    values, which = clustered(np.random.default_rng(3), 60, 3, 1, 1)
    first = mean(values, which, seed=5)
    assert first == mean(values, which, seed=5)
    other = mean(values, which, seed=6)
    assert first != other
    assert (other.low, other.high) == pytest.approx((first.low, first.high), abs=0.05)


def test_order_of_objects_does_not_matter() -> None:
    values, which = clustered(np.random.default_rng(4), 20, 3, 1, 1)
    order = np.random.default_rng(0).permutation(len(values))
    first, second = mean(values, which), mean(values[order], which[order])
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_draws_held_in_blocks_are_as_good_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values, which = clustered(np.random.default_rng(5), 30, 2, 1, 1)
    monkeypatch.setattr(statistics, "_BLOCK", 100)
    blocks = resample(*sums_by_image(values, which))
    assert blocks.shape == (statistics.REPLICATES, 1)
    assert not np.isnan(blocks).any()
    assert blocks.mean() == pytest.approx(values.mean(), abs=0.02)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for seed in range(300):
        values, which = clustered(rng, 40, 5, 1.0, 0.5)
        result = mean(values, which, seed)
        covered += result.low <= 0 <= result.high
        alone = mean(values, np.arange(len(values)), seed)
        naive += alone.low <= 0 <= alone.high
    assert 0.90 <= covered / 300 <= 0.98
    # Objects drawn one by one, as if they were independent: far too sure.
    assert naive / 300 < 0.75


def test_values_that_were_not_measured_do_not_count() -> None:
    first, second = means([[1.0, np.nan], [3.0, 5.0], [5.0, 7.0], [7.0, 9.0]], ["a", "a", "b", "c"])
    assert (first.value, first.objects, first.images) == (4.0, 4, 3)
    assert (second.value, second.objects, second.images) == (7.0, 3, 3)
    (column,) = means([np.nan, 5.0, 7.0], ["a", "b", "c"])
    assert (column.objects, column.images) == (2, 2)
    assert (column.low, column.high) == (5.0, 7.0)


def test_images_without_any_value_are_not_drawn() -> None:
    values, which = clustered(np.random.default_rng(6), 20, 2, 1, 1)
    more = mean([*values, *[np.nan] * 30], [*which, *range(100, 130)])
    assert more == mean(values, which)


def test_one_image_has_a_mean_and_no_interval() -> None:
    result = mean([0.2, 0.4], ["a", "a"])
    assert result.value == pytest.approx(0.3)
    assert np.isnan([result.low, result.high]).all()


def test_a_column_that_only_one_of_many_images_has_gets_no_interval() -> None:
    first, second = means([[1.0, 1.0], [2.0, np.nan], [3.0, np.nan]], ["a", "b", "c"])
    assert first.low < first.high
    assert second.value == 1.0
    assert np.isnan([second.low, second.high]).all()


def test_nothing_has_no_mean() -> None:
    result = mean([], [])
    assert np.isnan([result.value, result.low, result.high]).all()
    assert (result.objects, result.images) == (0, 0)


def test_ratio_is_that_of_the_totals() -> None:
    (result,) = ratios(np.array([[1.0], [4.0]]), np.array([[4.0], [6.0]]))
    assert result.value == 0.5
    assert (result.low, result.high) == pytest.approx((1 / 4, 4 / 6))


def test_interval_leaves_out_draws_without_a_value() -> None:
    low, high = interval(np.array([[0.0, np.nan], [1.0, 2.0], [2.0, 4.0]]))
    assert low == pytest.approx([0.05, 2.05])
    assert high == pytest.approx([1.95, 3.95])


def test_pairs_share_what_is_hard_about_an_image() -> None:
    rng = np.random.default_rng(1)
    first, which = clustered(rng, 50, 2, 1.0, 0.01)
    second = first + 0.1 + rng.normal(0, 0.01, len(first))
    result = paired_difference(first, second, which)
    assert result.value == pytest.approx(0.1, abs=0.005)
    assert result.high - result.low < 0.01
    apart = mean(first, which)
    assert apart.high - apart.low > 0.3


def test_pairs_count_where_both_were_measured() -> None:
    result = paired_difference([1.0, np.nan, 2.0, 3.0], [2.0, 1.0, np.nan, 5.0], ["a", "b", "c", "d"])
    assert (result.value, result.objects, result.images) == (1.5, 2, 2)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([1.0, 2.0, 3.0], 2.0), ([-1.0, -2.0, -3.0], -2.0), ([0.0, 0.0], 0.0), ([0.1, 0.1], np.inf), ([1.0], np.nan)],
)
def test_effect_size_is_the_mean_over_the_standard_deviation(differences: list[float], expected: float) -> None:
    assert effect_size(differences) == pytest.approx(expected, nan_ok=True)


def test_signed_rank_of_five_gains_is_the_exact_two_sided_p() -> None:
    # All of 5 positive: 1 of the 2^5 signs, and its mirror.
    result = signed_rank([1.0, 2.0, 3.0, 4.0, 5.0])
    assert result.p == pytest.approx(2 / 32)
    assert result.correlation == 1.0


def test_signed_rank_correlation_is_the_share_of_ranks_for_minus_against() -> None:
    # Ranks 1, 2, 3, the largest against: (1 + 2 - 3) / 6.
    assert signed_rank([0.1, 0.2, -0.3]).correlation == pytest.approx(0)
    assert signed_rank([-0.1, 0.2, 0.3]).correlation == pytest.approx(4 / 6)


def test_signed_rank_takes_differences_of_rounding_for_none() -> None:
    result = signed_rank([0.1 + 0.2 - 0.3, 0.0])
    assert (result.p, result.correlation) == (1.0, 0.0)
    with_noise = signed_rank([0.1 + 0.2 - 0.3, 1.0, 2.0, -0.5])
    assert with_noise.p == pytest.approx(stats.wilcoxon([1.0, 2.0, -0.5]).pvalue)


def test_holm_multiplies_by_the_tests_left_never_falls_and_stops_at_one() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
