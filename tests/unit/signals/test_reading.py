"""Recordings from files: delimiters, time columns, cells that are no numbers, WAV and NumPy's format."""

import numpy as np
import pytest
from scipy.io import wavfile

from sam_backend.errors import BadRequestError
from sam_backend.signals import csv_files
from sam_backend.signals.csv_files import TimeColumn
from sam_backend.signals.reading import read_recording

NO_TIME = TimeColumn(is_ignored=True)


@pytest.fixture
def write(tmp_path):
    def write(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_all_columns_of_numbers_are_channels_and_the_time_is_checked(write):
    rows = "".join(f"{n / 50:.3f},{n},{2 * n},ok\n" for n in range(200))
    recording = read_recording(write(f"time,acc x,acc y,state\n{rows}"), None)
    assert recording.channels == ("acc x", "acc y")
    assert recording.values[:, 1].tolist() == [2.0 * n for n in range(200)]
    assert recording.rate == pytest.approx(50)
    assert recording.times[-1] == pytest.approx(199 / 50)
    assert recording.notes == (
        "data.csv: column 'state' holds no numbers and is left out.",
        "data.csv: the sampling rate is 50 Hz by the column 'time'.",
    )


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("zeit;weg\n0,5;1,25\n1,5;-2\n", "utf-8-sig"),
        ("zeit\tweg\n0.5\t1.25\n1.5\t-2\n", "utf-8"),
        ("größe;weg\n0,5;1,25\n1,5;-2\n", "latin-1"),
        ("0.5,1.25\n1.5,-2\n", "utf-8"),
        ("a,b\r\n0.5,1.25,\r\n1.5,-2,\r\n", "utf-8"),
    ],
)
def test_other_delimiters_decimal_commas_and_no_header(write, text, encoding):
    recording = read_recording(write(text, encoding=encoding), 10.0, ["1", "2"])
    assert recording.values.tolist() == [[0.5, 1.25], [1.5, -2.0]]


def test_times_with_dates_give_rate_and_origin(write):
    rows = "".join(f"2026-03-01T10:00:{n / 20:06.3f}+01:00,{n}\n" for n in range(100))
    recording = read_recording(write(f"when,acc\n{rows}"), None, (), TimeColumn("when"))
    assert recording.rate == pytest.approx(20)
    assert recording.origin == "2026-03-01T09:00:00+00:00"
    assert recording.times[1] == pytest.approx(0.05)


def test_cells_without_numbers_are_missing_samples_named_by_their_lines(write, monkeypatch):
    # In pieces, since lines are counted over all of them.
    monkeypatch.setattr(csv_files, "_ROWS", 3)
    cells = ["1", "", "x", "4", "nan", "6", "?", "8", "9", "error", "11", "12", "13", "14", "15"]
    recording = read_recording(write("acc\n" + "".join(f"{cell}\n" for cell in cells)), 10.0)
    assert np.flatnonzero(np.isnan(recording.values[:, 0])).tolist() == [1, 2, 4, 6, 9]
    assert recording.notes == (
        "data.csv: column 'acc' has no number in 3 rows (line 4, 8, 11); these samples are missing.",
    )


def test_a_row_without_a_time_is_left_out(write):
    rows = [f"{n / 50},{n}\n" for n in range(20)]
    rows[7] = "late,7\n"
    rows[0] = "1e999,0\n"
    recording = read_recording(write("time,acc\n" + "".join(rows)), None)
    assert recording.values[:, 0].tolist() == [n for n in range(20) if n not in (0, 7)]
    assert recording.notes[0] == "data.csv: there is no time in 2 rows (line 2, 9); these rows are left out."


def test_without_time_the_time_column_is_no_channel_either(write):
    recording = read_recording(write("time,acc\n0,1\n0,2\n0,4\n"), 10.0, (), NO_TIME)
    assert (recording.channels, recording.times, recording.rate) == (("acc",), None, 10.0)


@pytest.mark.parametrize(
    ("text", "rate", "columns", "time", "said"),
    [
        ("", 1.0, (), None, "first line is empty"),
        ("a,b\n", 1.0, (), None, "has no row of numbers"),
        ("a,b\nx,y\nz,w\n", 1.0, (), None, "no column of numbers to make a spectrogram of; it has 'a', 'b'"),
        ("a\n1\n2\n", None, (), None, "sampling rate of .* is unknown; give --fs in Hz, or --time-column"),
        ("a\n1\n2\n", 0.0, (), None, "--fs is the sampling rate in Hz, above 0; got 0"),
        ("a\n1\n2\n", -5.0, (), None, "above 0; got -5"),
        ("a,b\n1,2\n3,4\n5,6,7\n", 1.0, (), None, "line 4 has 3 cells, and the lines before have 2"),
        ("a,b\n1,x\n2,y\n", 1.0, ["b"], None, "column 'b' of .* holds no numbers"),
        ("a,b\n1,x\n2,y\n", 1.0, ["c"], None, "has no column 'c'; it has 'a', 'b', numbered from 1"),
        ("time,b\n1,1\n2,1\n", 1.0, ["time"], None, "column 'time' of .* is the time; name another one"),
        ("time,b\n1,1\nx,1\n", None, (), None, "has 1 rows with a time; at least two"),
        ("time,b\n1,1\n2,1\n", 1.0, (), TimeColumn("time", is_ignored=True), "--no-time do not go together"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(write, text, rate, columns, time, said):
    with pytest.raises(BadRequestError, match=said):
        read_recording(write(text), rate, columns, time)


def test_a_wav_says_its_rate_and_integers_become_shares_of_full_scale(tmp_path):
    samples = np.array([[0, 16384], [-32768, 32767]], np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, samples)
    recording = read_recording(tmp_path / "a.wav", None)
    assert (recording.rate, recording.channels) == (8000.0, ("channel 1", "channel 2"))
    assert recording.values.tolist() == [[0.0, 0.5], [-1.0, 32767 / 32768]]
    assert read_recording(tmp_path / "a.wav", 8000.0, ["2"]).channels == ("channel 2",)
    with pytest.raises(BadRequestError, match=r"--fs says 44100 Hz, but .*a\.wav 8000 Hz"):
        read_recording(tmp_path / "a.wav", 44100.0)


def test_an_array_is_read_where_it_holds_real_numbers(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert read_recording(tmp_path / "a.npy", 5.0).values.shape == (3, 2)
    with pytest.raises(BadRequestError, match="does not say its sampling rate; give it with --fs"):
        read_recording(tmp_path / "a.npy", None)
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(BadRequestError, match=r"b\.npy cannot be read as NumPy's format"):
        read_recording(tmp_path / "b.npy", 5.0)
    np.save(tmp_path / "c.npy", np.zeros((2, 2), complex))
    with pytest.raises(BadRequestError, match="should hold an array of real numbers"):
        read_recording(tmp_path / "c.npy", 5.0)
    (tmp_path / "d.wav").write_bytes(b"RIFF")
    with pytest.raises(BadRequestError, match=r"d\.wav cannot be read as WAV"):
        read_recording(tmp_path / "d.wav", 5.0)


def test_times_without_an_offset_stay_without_one(write):
    recording = read_recording(write("time,b\n2026-03-01 10:00:00,1\n2026-03-01 10:00:01,2\n"), None)
    assert recording.origin == "2026-03-01T10:00:00"


@pytest.mark.parametrize("shape", [(0,), (0, 2)])
def test_a_file_without_samples_is_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(shape, np.int16))
    for name in ("a.npy", "a.wav"):
        with pytest.raises(BadRequestError, match=rf"{name} has no sample"):
            read_recording(tmp_path / name, 8000.0)


@pytest.mark.parametrize("shape", [b"(4000000000000000,), ", b"(4, "])
def test_an_array_with_a_header_that_cannot_be_is_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(4))
    file = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(file.replace(b"(4,), }".ljust(len(shape) + 1), (shape + b"}").ljust(7)))
    with pytest.raises(BadRequestError, match=r"a\.npy cannot be read as NumPy's format: "):
        read_recording(tmp_path / "a.npy", 5.0)


def test_a_wav_that_is_cut_off_says_so(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(100, np.int16))
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-100])
    recording = read_recording(tmp_path / "a.wav", None)
    assert len(recording.values) == 50
    assert recording.notes == ("a.wav ends before its header says; what is missing cannot be read.",)


def test_text_in_utf_16_is_named(write):
    with pytest.raises(BadRequestError, match="is text in UTF-16; save it as UTF-8"):
        read_recording(write("time,b\n1,1\n2,1\n", encoding="utf-16"), None)
