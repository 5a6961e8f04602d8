"""Signals of rolling element bearings with local faults, by the published formulas, seeded, with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OUTER, INNER, BALL = "outer race", "inner race", "ball"
FAULTS = (OUTER, INNER, BALL)
"""The places of a fault."""


@dataclass(frozen=True)
class FaultFrequencies:
    """Frequencies in Hz: ball pass at the outer and inner race, ball spin, and the cage (fundamental train)."""

    bpfo: float
    bpfi: float
    bsf: float
    ftf: float


@dataclass(frozen=True)
class Bearing:
    """The geometry of a bearing; the default is SKF 6205-2RS JEM, of the Case Western Reserve University's test stand.

    Attributes
    ----------
    balls : int, their number.
    ball_diameter, pitch_diameter : float, in one unit.
    contact_angle : float, in degrees.
    """

    balls: int = 9
    ball_diameter: float = 0.3126
    pitch_diameter: float = 1.537
    contact_angle: float = 0.0

    def frequencies(self, shaft: float) -> FaultFrequencies:
        """Return the fault frequencies at a shaft speed in Hz, without slip.

        R. B. Randall and J. Antoni, Rolling element bearing diagnostics - a tutorial, Mechanical Systems and Signal
        Processing 25 (2011) 485-520, section 2: with n balls of diameter d on a pitch circle of diameter D at a contact
        angle phi, BPFO = n f/2 (1 - d/D cos phi), BPFI = n f/2 (1 + d/D cos phi), FTF = f/2 (1 - d/D cos phi),
        BSF = f D/(2 d) (1 - (d/D cos phi)^2).

        Examples
        --------
        >>> round(Bearing().frequencies(1.0).bpfo, 3)
        3.585
        """
        ratio = self.ball_diameter / self.pitch_diameter * math.cos(math.radians(self.contact_angle))
        return FaultFrequencies(
            bpfo=self.balls * shaft / 2 * (1 - ratio),
            bpfi=self.balls * shaft / 2 * (1 + ratio),
            bsf=shaft * self.pitch_diameter / (2 * self.ball_diameter) * (1 - ratio**2),
            ftf=shaft / 2 * (1 - ratio),
        )


@dataclass(frozen=True)
class FaultInterval:
    """Where a fault is to be heard: seconds, and the band in Hz in which it stands out of the background."""

    label: str
    t_start: float
    t_end: float
    f_low: float
    f_high: float


@dataclass(frozen=True, eq=False)
class BearingSignal:
    """A recording with its truth.

    Attributes
    ----------
    values : float64 (N,), an acceleration; the background has a standard deviation of about 1.
    rate : float, samples a second.
    shaft : float, speed in Hz.
    faults : tuple of FaultInterval, in the order of time; they do not overlap.
    """

    values: NDArray[np.float64]
    rate: float
    shaft: float
    faults: tuple[FaultInterval, ...]


def bearing_signal(
    seed: int,
    *,
    seconds: float = 10.0,
    rate: float = 25600.0,
    resonance: float = 3200.0,
    loudness: float = 1.0,
    labels: Sequence[str] = FAULTS,
    bearing: Bearing = Bearing(),
) -> BearingSignal:
    """Return a recording of a machine whose bearing has intermittent faults.

    After Randall and Antoni (see `Bearing.frequencies`), sections 2 and 3: each impact of a fault excites a resonance,
    exp(-zeta w t) sin(w t); the time between impacts varies by one per cent, because of slip; impacts at the inner race
    and of a ball vary with the load zone, at shaft and at cage speed. The background has the harmonics of the shaft, a
    gear mesh with side bands, coloured noise, and what is no fault: single knocks, and bursts of noise in other bands.

    Parameters
    ----------
    seed : int.
    seconds : float, at least 4.
    rate : float, samples a second, more than twice the resonance.
    resonance : float, of the housing in Hz; that of each interval is within 3 per cent of it.
    loudness : float, factor on the impacts of the faults.
    labels : the faults that occur, each interval one of them, at random.
    bearing : Bearing.
    """
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    shaft = random.uniform(27, 32)
    background = _background(time, rate, shaft, resonance, random)
    values, faults, at = background.copy(), [], random.uniform(0.3, 1.5)
    floor = _mean_density(background, rate)
    while True:
        length = random.uniform(0.5, 1.8)
        if at + length > seconds - 0.2:
            break
        label = str(random.choice(list(labels)))
        own = _impacts(time, rate, label, (at, at + length), shaft, resonance, bearing, random)
        own *= loudness
        values += own
        frequencies, density = _mean_density(own[round(at * rate) : round((at + length) * rate)], rate)
        audible = density > floor[1]
        # The band around the resonance in which the fault is louder than the background.
        peak = int(density.argmax())
        low, high = peak, peak
        while low > 0 and audible[max(0, low - 2) : low].any():
            low -= 1
        while high < len(audible) - 1 and audible[high + 1 : high + 3].any():
            high += 1
        half = float(frequencies[1]) / 2
        band = float(frequencies[low]) - half, float(frequencies[high]) + half
        faults.append(FaultInterval(label, at, at + length, *band))
        at += length + random.uniform(0.6, 2.0)
    return BearingSignal(values, rate, shaft, tuple(faults))


def _impacts(
    time: NDArray[np.float64],
    rate: float,
    label: str,
    between: tuple[float, float],
    shaft: float,
    resonance: float,
    bearing: Bearing,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the response to the impacts of a fault."""
    of_bearing = bearing.frequencies(shaft)
    # A ball strikes both races at each turn about itself.
    repeated, modulation, depth = {
        OUTER: (of_bearing.bpfo, 0.0, 0.0),
        INNER: (of_bearing.bpfi, shaft, 0.9),
        BALL: (2 * of_bearing.bsf, of_bearing.ftf, 0.9),
    }[label]
    period = 1 / repeated
    count = int((between[1] - between[0]) / period) + 1
    instants = between[0] + np.cumsum(period * random.normal(1, 0.01, count))
    instants = instants[instants < between[1]]
    load = 1 + depth * np.cos(2 * np.pi * modulation * instants + random.uniform(0, 2 * np.pi))
    heights = random.uniform(3.0, 6.0) * load * random.uniform(0.8, 1.2, len(instants))
    train = np.zeros(len(time))
    np.add.at(train, (instants * rate).astype(np.int64), heights)
    return _ring(train, rate, resonance * random.uniform(0.97, 1.03), random.uniform(0.03, 0.06))


def _ring(train: NDArray[np.float64], rate: float, resonance: float, damping: float) -> NDArray[np.float64]:
    """Return the answer of a resonance to a train of impacts: exp(-zeta w t) sin(w t) for each."""
    from scipy.signal import fftconvolve

    angular = 2 * math.pi * resonance
    lag = np.arange(round(6 / (damping * angular) * rate)) / rate
    answer = np.exp(-damping * angular * lag) * np.sin(angular * lag)
    return np.asarray(fftconvolve(train, answer)[: len(train)])


def _background(
    time: NDArray[np.float64], rate: float, shaft: float, resonance: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return a machine without a fault."""
    from scipy.signal import butter, lfilter, sosfilt

    values = random.normal(0, 0.8, len(time))
    values += lfilter([0.3], [1, -0.9], random.normal(0, 1, len(time)))
    for order in (1, 2, 3):
        values += random.uniform(0.1, 0.5) / order * np.sin(2 * np.pi * order * shaft * time + random.uniform(0, 6))
    mesh = 23 * shaft
    for order in (1, 2, 3):
        side = 1 + 0.3 * np.sin(2 * np.pi * shaft * time)
        values += random.uniform(0.2, 0.6) / order * side * np.sin(2 * np.pi * order * mesh * time)
    knocks = np.zeros(len(time))
    knocks[random.integers(0, len(time), random.poisson(time[-1] / 3))] = random.uniform(5, 15)
    values += _ring(knocks, rate, resonance * random.uniform(0.5, 2), 0.3)
    for _ in range(random.poisson(time[-1] / 8)):
        # Flow: noise without impacts, in another band.
        middle = min(random.uniform(1.6, 2.6) * resonance, 0.42 * rate)
        band = butter(4, [0.9 * middle, 1.1 * middle], "bandpass", fs=rate, output="sos")
        start, length = random.uniform(0, time[-1]), random.uniform(0.4, 1.5)
        gate = (time > start) & (time < start + length)
        values += sosfilt(band, random.normal(0, random.uniform(1, 2), len(time)) * gate)
    return np.asarray(values, np.float64)


def _mean_density(values: NDArray[np.float64], rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies and the power density of a signal."""
    from scipy.signal import welch

    frequencies, density = welch(values, rate, nperseg=256)
    return np.asarray(frequencies), np.asarray(density)
