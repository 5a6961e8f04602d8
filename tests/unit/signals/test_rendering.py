"""Pictures of spectrograms: power, calibration, pages, colours, and what has no spectrogram."""

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.signals.calibration import Calibration
from sam_backend.signals.picture import Axes, read_calibration, read_levels
from sam_backend.signals.recording import Recording
from sam_backend.signals.rendering import Look, plan, render
from sam_backend.signals.sampling import Part
from sam_backend.signals.spectrogram import Transform, pages

RATE = 1000.0


def tone(hertz, seconds=4.0, rate=RATE, amplitude=1.0):
    time = np.arange(round(seconds * rate)) / rate
    return amplitude * np.sin(2 * np.pi * hertz * time) + 1e-6 * np.random.default_rng(0).normal(size=len(time))


def recording(*channels, **fields):
    names = tuple(f"c{number}" for number in range(len(channels)))
    return Recording("a.csv", names, np.stack(channels, 1), **{"rate": RATE, **fields})


def pictures(made, look=None):
    look, notes = look or Look(), []
    drawn = [picture for channel in plan(made, look, notes) for picture in render(made, channel, look)]
    return drawn, notes


def test_a_tone_of_amplitude_a_has_a_peak_of_its_power_over_the_noise_bandwidth():
    transform = Transform.of(RATE, 4000, "hann", 200, 0.75)
    density = transform.density(tone(250, amplitude=3), RATE, 0, transform.columns(4000))
    # A Hann window's equivalent noise bandwidth is 1.5 rows.
    assert density.max(0) == pytest.approx(3**2 / 2 / (1.5 * RATE / 200), rel=1e-3)
    assert (density.argmax(0) + 1).tolist() == [50] * 77


def test_a_page_of_windows_is_the_same_alone_and_among_all():
    values = np.random.default_rng(0).normal(size=5000)
    for overlap in (0, 0.33, 0.75):
        transform = Transform.of(RATE, 5000, "hamming", 255, overlap)
        every = transform.density(values, RATE, 0, transform.columns(5000))
        assert np.allclose(transform.density(values, RATE, 3, 9), every[:, 3:9])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("zoomed", [False, True])
def test_a_burst_of_a_tone_is_drawn_where_the_calibration_says(log, zoomed):
    values, (start, stop) = np.zeros(20_000), (7000, 12_000)
    values[start:stop] = tone(130, 20.0)[start:stop]
    values += 1e-3 * np.random.default_rng(1).normal(size=20_000)
    length = 64 if zoomed else 2000
    look = Look(window_length=length, overlap=0.5 if zoomed else 0.9, axes=Axes(low=20, log=log))
    ((picture,), _) = pictures(recording(values), look)
    c = picture.calibration
    levels = read_levels(picture.png, c)
    assert levels.shape == (c.y1 - c.y0, c.x1 - c.x0)
    # A tone in half of a symmetric window has a quarter of its power.
    loud = levels > levels.max() - 6
    rows, columns = np.flatnonzero(loud.any(1)), np.flatnonzero(loud.any(0))
    assert c.frequencies(c.y0 + rows.mean() + 0.5) == pytest.approx(130, abs=RATE / length)
    begin, end = c.times([c.x0 + columns[0], c.x0 + columns[-1] + 1])
    assert (begin, end) == pytest.approx((7.0, 12.0), abs=length * (0.5 if zoomed else 0.1) / RATE)


@pytest.mark.parametrize("log", [False, True])
def test_pixels_to_time_and_frequency_and_back_is_exact(log):
    ((picture,), _) = pictures(recording(tone(100)), Look(axes=Axes(low=10, high=400, log=log)))
    c = picture.calibration
    x, y = np.arange(c.width + 1), np.arange(c.y0, c.y1 + 1)
    assert np.allclose(c.columns(c.times(x)), x, atol=1e-9)
    assert np.allclose(c.rows(c.frequencies(y)), y, atol=1e-9)
    # From the lower edge of the first row between the frequencies to the upper edge of the last one.
    assert c.frequencies([c.y1, c.y0]).tolist() == pytest.approx([2.5 * RATE / 256, 102.5 * RATE / 256])
    assert Calibration.of_data(json.loads(json.dumps(c.as_data())), "it") == c


def test_the_calibration_travels_in_the_picture_and_survives_a_copy_alone():
    ((picture,), _) = pictures(recording(tone(100)))
    assert read_calibration(picture.png, "it") == picture.calibration
    assert read_calibration(b"not a PNG", "it") is None
    cut = picture.png[: len(picture.png) // 2]
    assert read_calibration(cut, "it") == picture.calibration
    assert read_levels(cut, picture.calibration) is None
    with pytest.raises(BadRequestError, match=r"of task 3 .* says: the data area .* render the signal again"):
        Calibration.of_data({**picture.calibration.as_data(), "x1": 0}, "task 3")


def test_the_file_is_a_picture_with_axes_around_the_data(tmp_path):
    ((picture,), _) = pictures(recording(tone(100)))
    (tmp_path / "a.png").write_bytes(picture.png)
    c = picture.calibration
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert pixels.shape == (c.height, c.width, 3)
    outside = np.ones((c.height, c.width), bool)
    outside[c.y0 : c.y1, c.x0 : c.x1] = False
    # Axes are grey, data are coloured.
    assert (np.ptp(pixels.astype(int), axis=2)[outside] == 0).all()
    assert (np.ptp(pixels.astype(int), axis=2)[~outside] > 0).all()
    assert 0 < (pixels[outside] == 0).mean() < 0.1


def test_a_long_recording_has_pages_that_meet_or_overlap_as_said():
    made = recording(tone(100, 60.0))
    drawn, _ = pictures(made, Look(window_length=256, page_seconds=10))
    edges = [(p.calibration.t0, float(p.calibration.times(p.calibration.x1))) for p in drawn]
    assert [p.calibration.page for p in drawn] == list(range(1, 7))
    assert {p.calibration.pages for p in drawn} == {6}
    assert all(end == pytest.approx(begin) for (_, end), (begin, _) in pairwise(edges))
    assert max(end - begin for begin, end in edges) <= 10
    shared, _ = pictures(made, Look(window_length=256, page_seconds=10, page_overlap=2))
    edges = [(p.calibration.t0, float(p.calibration.times(p.calibration.x1))) for p in shared]
    assert all(end - begin == pytest.approx(2, abs=0.064) for (_, end), (begin, _) in pairwise(edges))


def test_pages_are_about_equally_long_so_that_none_is_a_sliver():
    transform = Transform("hann", 16, 0)
    parts = [Part(0.0, np.zeros(16 * 1025)), Part(9.0, np.zeros(15))]
    assert [(page.first, page.stop) for page in pages(transform, parts, 1024, 0)] == [(0, 512), (512, 1025)]


def test_the_parts_beside_a_gap_are_pages_with_their_own_times():
    values = tone(100, 20.0)
    values[8000:9000] = np.nan
    drawn, notes = pictures(recording(values, origin=100.0), Look(window_length=256))
    assert [p.calibration.t0 for p in drawn] == pytest.approx([0.096, 9.096])
    assert notes == ["a.csv, c0: 1 longer gap (1.001 s at 7.999 s) splits it into 2 parts."]


def test_the_range_of_the_colours_is_that_of_the_whole_channel_or_as_said():
    loud_later = np.concatenate([tone(125, 40.0), 100 * tone(125, 40.0)])
    drawn, _ = pictures(recording(loud_later))
    assert len({(p.calibration.level_low, p.calibration.level_high) for p in drawn}) == 1
    assert drawn[-1].calibration.level_high == np.ceil(10 * np.log10(100**2 / 2 / (1.5 * RATE / 256)))
    (without, *_), _ = pictures(recording(loud_later), Look(axes=Axes(low=300)))
    assert without.calibration.level_high < drawn[0].calibration.level_high - 20
    (first, *_), _ = pictures(recording(loud_later), Look(levels=(-30, 0)))
    assert (first.calibration.level_low, first.calibration.level_high) == (-30, 0)


def test_a_channel_without_a_spectrogram_is_left_out_beside_one_with_it():
    drawn, notes = pictures(recording(np.full(4000, 5.0), tone(100), np.full(4000, np.nan)))
    assert {p.calibration.channel for p in drawn} == {"c1"}
    assert notes == [
        "a.csv, c0 is constant, so its spectrogram is empty. It is left out.",
        "a.csv, c2 has no value. It is left out.",
    ]


@pytest.mark.parametrize(
    ("values", "look", "said"),
    [
        (np.zeros(4000), {}, "a.csv, c0 is constant, so its spectrogram is empty"),
        (1e200 * tone(9), {}, r"a\.csv, c0 has values up to 1e\+200, too large for a spectrogram"),
        (tone(9, 0.01), {}, "longest part of the recording has 10 samples, fewer than a window of 16"),
        (tone(9), {"window_length": 5000}, "has 4000 samples, fewer than a window of 5000; give a shorter"),
        (tone(9), {"window_length": 8}, "--window-length is at least 16 samples; got 8"),
        (tone(9), {"window": "hahn"}, "has no window 'hahn' without parameters; take hann"),
        (tone(9), {"overlap": 1.0}, "--overlap is the share of a window, from 0 to below 1; got 1"),
        (
            tone(9, 40.0),
            {"window_length": 20_000},
            "has 10000 rows, and at most 8192 fit into a picture; make --window",
        ),
        (tone(9), {"page_seconds": 1000}, r"page of 1000 s has 15625 columns .* make --page shorter"),
        (tone(9), {"axes": Axes(low=600)}, r"Between 600 and 500 Hz there are 0 rows"),
        (
            tone(9),
            {"page_seconds": 0.1, "page_overlap": 0.099},
            "--page-overlap is 2 columns .* as many as a page of 2",
        ),
    ],
)
def test_what_has_no_spectrogram_is_one_sentence(values, look, said):
    with pytest.raises(BadRequestError, match=said):
        pictures(recording(values), Look(**look))


def test_of_many_channels_without_a_spectrogram_the_first_are_named():
    with pytest.raises(BadRequestError, match=r"c2 is constant, so its .* empty\. 2 more channels have none either\.$"):
        pictures(recording(*np.zeros((5, 4000))))


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"levels": (0, -30)}, "--range takes two numbers of dB, the lower first; got 0 -30"),
        ({"levels": (-np.inf, np.inf)}, "the lower first; got -inf inf"),
        ({"axes": Axes(low=30, high=20)}, "--low and --high are frequencies in Hz, the lower one first"),
        *(
            (fields, "--page is in seconds and longer than --page-overlap")
            for fields in (
                {"page_seconds": 1, "page_overlap": 2},
                {"page_seconds": np.nan},
                {"page_seconds": np.inf},
                {"page_overlap": np.nan},
                {"page_overlap": np.inf},
            )
        ),
    ],
)
def test_a_look_that_cannot_be_is_refused_before_anything_is_read(look, said):
    with pytest.raises(BadRequestError, match=said):
        Look(**look)


@pytest.mark.parametrize(
    ("rate", "samples", "length"), [(25600, 10**6, 1024), (10, 10**6, 256), (1e6, 10**6, 2048), (25600, 1000, 128)]
)
def test_the_default_window_follows_the_sampling_rate(rate, samples, length):
    assert Transform.of(rate, samples, "hann", None, 0.75).length == length
