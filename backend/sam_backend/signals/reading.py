"""A file of a signal -> a recording: CSV is in `csv_files`, WAV and NumPy's format are here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BadRequestError
from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.signals.csv_files import TimeColumn, chosen_columns, read_csv
from sam_backend.signals.recording import Recording


def read_recording(
    path: Path,
    rate: float | None,
    columns: Sequence[str] = (),
    time: TimeColumn | None = None,
    progress: ProgressCallback = no_progress,
) -> Recording:
    """Read a file by its suffix: `.wav`, `.npy` with an array (N,) or (N, C), or else CSV.

    Parameters
    ----------
    path : Path.
    rate : float, samples a second as the user says; None to take it from the file.
    columns : names or numbers, from 1, of the channels; () for all.
    time : TimeColumn, of a CSV file; None for the default.
    progress : ProgressCallback, called with bytes read and the file's size.

    Raises
    ------
    BadRequestError
        If the file cannot be read as such, has no numbers, or the rate is missing, not positive, or another than the
        file's.
    """
    if rate is not None and not 0 < rate < np.inf:
        raise BadRequestError(f"--fs is the sampling rate in Hz, above 0; got {rate:g}.")
    if not path.is_file():
        raise BadRequestError(f"There is no file {path}.")
    suffix, time = path.suffix.lower(), time or TimeColumn()
    if suffix not in (".wav", ".npy"):
        return read_csv(path, rate, columns, time, progress)
    if time.name is not None:
        raise BadRequestError(f"{path} has no columns of text, so --time-column does not go with it.")
    values, own, notes = _read_wav(path) if suffix == ".wav" else (_read_npy(path), None, ())
    if not len(values):
        raise BadRequestError(f"{path} has no sample.")
    if own is not None and rate not in (None, own):
        raise BadRequestError(f"--fs says {rate:g} Hz, but {path} {own:g} Hz; leave --fs out.")
    if (known := own or rate) is None:
        raise BadRequestError(f"{path} does not say its sampling rate; give it with --fs.")
    names = [f"channel {number}" for number in range(1, values.shape[1] + 1)]
    chosen = chosen_columns(columns, names, path) or range(len(names))
    channels = tuple(names[index] for index in chosen)
    return Recording(path.name, channels, values[:, list(chosen)], float(known), notes=notes)


def _read_wav(path: Path) -> tuple[NDArray[np.float32], float, tuple[str, ...]]:
    """Return values (N, C), integers as shares of full scale, the rate, and a sentence about an end that is missing."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", wavfile.WavFileWarning)
            rate, values = wavfile.read(path)
    # SciPy answers damaged files with errors of many types, struct.error and UnboundLocalError among them.
    except Exception as error:
        raise BadRequestError(f"{path} cannot be read as WAV: {_sentence(error)}") from None
    # The other warnings are about chunks of meta data that SciPy does not know.
    is_cut = any("premature" in str(one.message).lower() for one in warned)
    notes = (f"{path.name} ends before its header says; what is missing cannot be read.",) if is_cut else ()
    if values.dtype == np.uint8:
        values = values.astype(np.float32) - 128
        full = 128.0
    else:
        full = 1.0 if values.dtype.kind == "f" else float(2 ** (8 * values.dtype.itemsize - 1))
    return _by_channels(values).astype(np.float32) / np.float32(full), float(rate), notes


def _read_npy(path: Path) -> NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    # So does NumPy: MemoryError where a header states too many samples, tokenize.TokenError where it is cut off.
    except Exception as error:
        raise BadRequestError(f"{path} cannot be read as NumPy's format: {_sentence(error)}") from None
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        raise BadRequestError(
            f"{path} should hold an array of real numbers of shape (samples,) or (samples, channels)."
        )
    return _by_channels(values).astype(np.float64)


def _by_channels(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array (N,) as (N, 1), and one (N, C) as it is."""
    return values[:, None] if values.ndim == 1 else values


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."
