"""A file of a signal -> a recording: CSV is in `csv_files`, WAV and NumPy's format are here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

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
    values, own = _read_wav(path) if suffix == ".wav" else (_read_npy(path), None)
    if own is not None and rate not in (None, own):
        raise BadRequestError(f"--fs says {rate:g} Hz, but {path} {own:g} Hz; leave --fs out.")
    if (known := own or rate) is None:
        raise BadRequestError(f"{path} does not say its sampling rate; give it with --fs.")
    names = [f"channel {number}" for number in range(1, values.shape[1] + 1)]
    chosen = chosen_columns(columns, names, path) or range(len(names))
    return Recording(path.name, tuple(names[index] for index in chosen), values[:, list(chosen)], float(known))


def _read_wav(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return values (N, C), integers as shares of full scale, and the rate."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            # Chunks of meta data that SciPy does not know.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, values = wavfile.read(path)
    # SciPy answers damaged files with errors of many types, struct.error and UnboundLocalError among them.
    except Exception as error:
        raise BadRequestError(f"{path} cannot be read as WAV: {error}.") from None
    if values.dtype == np.uint8:
        values = values.astype(np.float32) - 128
        full = 128.0
    else:
        full = 1.0 if values.dtype.kind == "f" else float(2 ** (8 * values.dtype.itemsize - 1))
    return values.reshape(len(values), -1).astype(np.float32) / np.float32(full), float(rate)


def _read_npy(path: Path) -> NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadRequestError(f"{path} cannot be read as NumPy's format: {error}.") from None
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        raise BadRequestError(
            f"{path} should hold an array of real numbers of shape (samples,) or (samples, channels)."
        )
    return values.reshape(len(values), -1).astype(np.float64)
