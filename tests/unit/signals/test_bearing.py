"""Signals of bearings: the formulas against published values, and what is heard in the signals."""

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt, welch

from sam_backend.signals.bearing import BALL, INNER, OUTER, Bearing, bearing_signal


def test_the_fault_frequencies_of_the_drive_end_bearing_of_the_case_western_reserve_university():
    # Multiples of the running speed, as its Bearing Data Center publishes them for SKF 6205-2RS JEM.
    found = Bearing().frequencies(1.0)
    assert (found.bpfi, found.bpfo, found.ftf, 2 * found.bsf) == pytest.approx(
        (5.4152, 3.5848, 0.39828, 4.7135), abs=2e-4
    )


def test_a_contact_angle_brings_the_races_together():
    straight, angled = Bearing().frequencies(30), Bearing(contact_angle=40).frequencies(30)
    assert straight.bpfo < angled.bpfo < angled.bpfi < straight.bpfi
    assert angled.bpfo + angled.bpfi == pytest.approx(9 * 30)


def test_a_seed_gives_one_signal():
    one, same, other = (bearing_signal(seed, seconds=5) for seed in (1, 1, 2))
    assert np.array_equal(one.values, same.values)
    assert one.faults == same.faults
    assert not np.array_equal(one.values, other.values)


@pytest.mark.parametrize("label", [OUTER, INNER, BALL])
def test_the_envelope_of_the_resonance_has_the_fault_frequency_while_the_fault_is_there(label):
    made = bearing_signal(3, seconds=10, labels=[label])
    band = butter(4, [2700, 3700], "bandpass", fs=made.rate, output="sos")
    envelope = np.abs(hilbert(sosfiltfilt(band, made.values)))
    formulas = Bearing().frequencies(made.shaft)
    expected = {OUTER: formulas.bpfo, INNER: formulas.bpfi, BALL: 2 * formulas.bsf}[label]
    longest = max(made.faults, key=lambda fault: fault.t_end - fault.t_start)
    part = envelope[round(longest.t_start * made.rate) : round(longest.t_end * made.rate)]
    frequencies, density = welch(part - part.mean(), made.rate, nperseg=8192)
    near = (frequencies > 60) & (frequencies < 260)
    assert frequencies[near][density[near].argmax()] == pytest.approx(expected, abs=2 * frequencies[1])


def test_faults_follow_each_other_and_stand_out_of_the_background_in_their_band():
    made = bearing_signal(5, seconds=12)
    assert len(made.faults) > 2
    assert all(one.t_end < next_one.t_start for one, next_one in zip(made.faults, made.faults[1:], strict=False))
    for fault in made.faults:
        assert 0 <= fault.t_start < fault.t_end <= 12
        assert fault.f_low < 3200 < fault.f_high
        inside = made.values[round(fault.t_start * made.rate) : round(fault.t_end * made.rate)]
        band = butter(4, [fault.f_low, fault.f_high], "bandpass", fs=made.rate, output="sos")
        before = made.values[: round(made.faults[0].t_start * made.rate)]
        assert sosfiltfilt(band, inside).std() > 1.3 * sosfiltfilt(band, before).std()
