"""A recording -> pictures of its channels, each with its calibration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sam_backend.errors import BadRequestError
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.signals.calibration import Calibration
from sam_backend.signals.picture import MOST_CELLS, Axes, draw, frame, levels_of, zoom
from sam_backend.signals.recording import Recording
from sam_backend.signals.sampling import MAX_GAP, Part, even_parts
from sam_backend.signals.spectrogram import Page, Transform, densities, level_range, pages

COLUMNS = 1024
"""Columns of a page where nobody says its seconds."""

_LARGEST = 1e100
"""What larger values give is no finite power."""

_NAMED = 3
"""Reasons that are said where no channel can be rendered."""


@dataclass(frozen=True)
class Look:
    """How a recording is rendered.

    Attributes
    ----------
    window : str, see `Transform`.
    window_length : int, in samples; None for a default by the sampling rate.
    overlap : float, share of a window, 0 to below 1.
    axes : Axes.
    levels : the dB of the darkest and the brightest colour; None to take them from the channel.
    page_seconds : float, the longest page; None for 1024 columns.
    page_overlap : float, seconds that neighbouring pages share.
    max_gap : int, most missing samples in a row that are filled.
    """

    window: str = "hann"
    window_length: int | None = None
    overlap: float = 0.75
    axes: Axes = field(default_factory=Axes)
    levels: tuple[float, float] | None = None
    page_seconds: float | None = None
    page_overlap: float = 0.0
    max_gap: int = MAX_GAP

    def __post_init__(self) -> None:
        if self.levels is not None and not -math.inf < self.levels[0] < self.levels[1] < math.inf:
            raise BadRequestError(
                f"--range takes two numbers of dB, the lower first; got {self.levels[0]:g} {self.levels[1]:g}."
            )
        low, high = self.axes.low, self.axes.high
        if (low is not None and low < 0) or (high is not None and high <= (low or 0)):
            raise BadRequestError("--low and --high are frequencies in Hz, the lower one first and not below 0.")
        longest = math.inf if self.page_seconds is None else self.page_seconds
        if not 0 <= self.page_overlap < longest or self.page_seconds == math.inf:
            raise BadRequestError("--page is in seconds and longer than --page-overlap, which is not negative.")


@dataclass(frozen=True)
class Picture:
    """A rendered page: the file, and what its pixels mean."""

    png: bytes
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class ChannelPlan:
    """What is rendered of a channel: everything that can fail has been checked.

    Attributes
    ----------
    index : int, of the channel.
    parts : its even parts.
    transform : Transform.
    pages : list of Page, at least one.
    levels : the dB of the darkest and the brightest colour.
    """

    index: int
    parts: list[Part]
    transform: Transform
    pages: list[Page]
    levels: tuple[float, float]


def plan(recording: Recording, look: Look, notes: list[str]) -> list[ChannelPlan]:
    """Check a recording and plan its pictures; sentences about what is repaired or left out are added to `notes`.

    Raises
    ------
    BadRequestError
        If no channel has a spectrogram: it is shorter than a window, constant, too large, or has no value.
    """
    channels, reasons = [], []
    for index, channel in enumerate(recording.channels):
        name = f"{recording.name}, {channel}"
        parts, repairs = even_parts(recording.values[:, index], recording.rate, recording.times, look.max_gap)
        if not parts:
            reasons.append(f"{name} has no value.")
            continue
        extremes = {float(value) for part in parts for value in (part.values.min(), part.values.max())}
        if (largest := max(map(abs, extremes))) > _LARGEST:
            reasons.append(f"{name} has values up to {largest:.3g}, too large for a spectrogram.")
            continue
        if len(extremes) == 1:
            reasons.append(f"{name} is constant, so its spectrogram is empty.")
            continue
        longest = max(len(part.values) for part in parts)
        try:
            transform = Transform.of(recording.rate, longest, look.window, look.window_length, look.overlap)
        except BadRequestError as error:
            raise BadRequestError(f"{name}: {error}") from None
        rows = slice(*look.axes.rows(transform.length, recording.rate))
        most, shared = _page_columns(look, transform, recording.rate)
        chosen = pages(transform, parts, most, shared)
        powers = densities(transform, parts, recording.rate, chosen)
        levels = look.levels or level_range(power[rows] for power in powers)
        if levels is None:
            reasons.append(f"{name} is constant in every window, so its spectrogram is empty.")
            continue
        notes += repairs.sentences(name, look.max_gap)
        if short := [part for part in parts if not transform.columns(len(part.values))]:
            seconds = sum(len(part.values) for part in short) / recording.rate
            notes.append(f"{name}: {len(short)} parts, {seconds:.6g} s, are shorter than a window and left out.")
        channels.append(ChannelPlan(index, parts, transform, chosen, levels))
    if not channels:
        more = [f"{len(reasons) - _NAMED} more channels have none either."] if len(reasons) > _NAMED else []
        raise BadRequestError(" ".join(reasons[:_NAMED] + more) or f"{recording.name} has no channel.")
    notes += [f"{reason} It is left out." for reason in reasons]
    return channels


def render(
    recording: Recording, channel: ChannelPlan, look: Look, progress: ProgressCallback = no_progress
) -> Iterator[Picture]:
    """Yield the pictures of a channel, page by page; `progress` is called with the pages done."""
    transform, name = channel.transform, recording.channels[channel.index]
    spacing = recording.rate / transform.length
    first, stop = look.axes.rows(transform.length, recording.rate)
    edges = (first + 0.5) * spacing, (stop + 0.5) * spacing
    powers = densities(transform, channel.parts, recording.rate, channel.pages)
    for number, (page, power) in enumerate(zip(channel.pages, powers, strict=True), 1):
        progress(number - 1, len(channel.pages), f"Rendering {recording.name}, {name}")
        across, up = zoom(page.stop - page.first), zoom(stop - first)
        area, size = frame((page.stop - page.first) * across, (stop - first) * up)
        seconds = transform.hop / recording.rate
        # A column is around the middle of its window, and as wide as a hop.
        middle = (page.first * transform.hop + transform.length / 2) / recording.rate
        calibration = Calibration(
            file=recording.name,
            channel=name,
            picture=f"{file_part(recording.name)}_{channel.index + 1}_{file_part(name)}_{number:04d}.png",
            width=size[1],
            height=size[0],
            x0=area[0],
            y0=area[1],
            x1=area[2],
            y1=area[3],
            t0=channel.parts[page.part].start + middle - seconds / 2,
            seconds_per_pixel=seconds / across,
            low=edges[0],
            high=edges[1],
            log_frequency=look.axes.log,
            nyquist=recording.rate / 2,
            origin=recording.origin,
            level_low=channel.levels[0],
            level_high=channel.levels[1],
            page=number,
            pages=len(channel.pages),
        )
        levels = levels_of(power[first:stop], calibration, edges)
        yield Picture(draw(levels, calibration, _title(calibration, transform)), calibration)
    progress(len(channel.pages), len(channel.pages), f"Rendering {recording.name}, {name}")


def _page_columns(look: Look, transform: Transform, rate: float) -> tuple[int, int]:
    """Return the most columns of a page, and how many neighbours share."""
    shared = round(look.page_overlap * rate / transform.hop)
    most = COLUMNS if look.page_seconds is None else max(1, round(look.page_seconds * rate / transform.hop))
    if most > MOST_CELLS:
        raise BadRequestError(
            f"A page of {look.page_seconds:g} s has {most} columns of the spectrogram, and at most {MOST_CELLS} fit "
            "into a picture; make --page shorter, or --overlap smaller."
        )
    if most <= shared:
        raise BadRequestError(
            f"--page-overlap is {shared} columns of the spectrogram, as many as a page of {most}; make it shorter."
        )
    return most, shared


def file_part(text: str) -> str:
    """Return a part of a file name that every system and Label Studio keep as it is."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", text).strip("-")[:60] or "x"


def _title(calibration: Calibration, transform: Transform) -> str:
    page = f", page {calibration.page} of {calibration.pages}" if calibration.pages > 1 else ""
    overlap = f"{1 - transform.hop / transform.length:.0%}"
    colours = f"{calibration.level_low:g} to {calibration.level_high:g} dB re 1 unit^2/Hz"
    return (
        f"{calibration.channel}, {calibration.file}{page}; {transform.window} {transform.length}, {overlap}; {colours}"
    )
