import math

import pytest

from sam_backend.memory import fit_allowance
from sam_backend.memory.fit_allowance import SECONDS_EACH, FitAllowance


@pytest.fixture
def clock(monkeypatch):
    """The CPU seconds of this process, which a test sets."""
    clock = [0.0]
    monkeypatch.setattr(fit_allowance.time, "process_time", lambda: clock[0])
    return clock


def fit(allowance, clock, seconds):
    with allowance.spending():
        clock[0] += seconds


def fits(allowance, clock, seconds, changes):
    """Return the CPU seconds of fits that each of some changes leads to."""
    spent = []
    for change in range(changes):
        allowance.pay(change)
        spent.append(seconds if allowance.is_paid else 0)
        if spent[-1]:
            fit(allowance, clock, seconds)
    return spent


def test_a_quick_fit_is_done_after_each_change(clock):
    assert fits(FitAllowance(), clock, SECONDS_EACH / 2, 20) == [SECONDS_EACH / 2] * 20


@pytest.mark.parametrize("seconds", [1.5, 10.0])
def test_a_long_fit_takes_no_more_than_what_the_changes_pay_for(clock, seconds):
    spent = fits(FitAllowance(), clock, seconds, 100)
    assert spent[0] == seconds
    assert 99 * SECONDS_EACH - seconds <= sum(spent) <= 100 * SECONDS_EACH + seconds


def test_the_same_state_pays_once_and_nothing_is_saved_up(clock):
    allowance = FitAllowance()
    fits(allowance, clock, 0.0, 50)
    fit(allowance, clock, 3 * SECONDS_EACH)
    for _ in range(5):
        allowance.pay("same")
    assert not allowance.is_paid


def test_where_no_fit_may_come_late_all_are_paid(clock):
    allowance = FitAllowance(math.inf)
    assert fits(allowance, clock, 100.0, 3) == [100.0] * 3
