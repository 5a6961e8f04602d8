"""A CSV file -> a recording, with pandas, in pieces: what is no number is named by its line."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BadRequestError, brief
from sam_backend.progress import ProgressCallback
from sam_backend.signals.recording import Recording
from sam_backend.signals.sampling import rate_of_times

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 500_000
"""Rows that are parsed at once."""

_LOOKED_AT = 1000
"""Rows by which columns of numbers are told from others."""

_TIME_NAMES = re.compile(r"(time|timestamp|datetime)( ?[\[(]s[\])])?", re.IGNORECASE)
"""Names of columns that are the time without being asked for."""

_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
"""The end of an ISO 8601 text that says its offset from UTC."""

_NAMED = 3
"""Lines of bad cells that are named."""


@dataclass(frozen=True)
class TimeColumn:
    """Which column is the time.

    Attributes
    ----------
    name : str, its name or number; None for a column called time, timestamp or datetime, if there is one.
    is_ignored : bool, whether the samples are evenly spaced whatever such a column says.
    """

    name: str | None = None
    is_ignored: bool = False


@dataclass(frozen=True)
class _Layout:
    """How a file is written; a line is found by its row, both from 0."""

    path: Path
    delimiter: str
    decimal: str
    first_row: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> _Layout:
        """Tell it by the first two lines."""
        with path.open("rb") as binary:
            if binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise BadRequestError(f"{path} is text in UTF-16; save it as UTF-8.")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = [file.readline(2**20).rstrip("\r\n") for _ in range(2)]
        if not lines[0].strip():
            raise BadRequestError(f"{path} should be a table with numbers; its first line is empty.")
        delimiter = max(",;\t", key=lines[0].count)
        head, row = (next(csv.reader([line], delimiter=delimiter), []) for line in lines)
        # In a file with commas between the cells there is none inside a number.
        decimal = "," if delimiter != "," and any("," in cell for cell in (*head, *row)) else "."
        has_header = not all(_is_number(cell, decimal) for cell in head if cell.strip())
        names = [cell.strip() for cell in head] if has_header else []
        names += [f"column {number}" for number in range(len(names) + 1, max(len(head), len(row)) + 1)]
        return cls(path, delimiter, decimal, int(has_header), tuple(names))

    def line(self, row: int) -> int:
        """Return the line in the file, from 1."""
        return row + self.first_row + 1

    def pieces(self, rows: int, progress: ProgressCallback | None = None) -> Iterator[pd.DataFrame]:
        """Yield the rows, so many at a time, with the numbers of the columns, from 0."""
        import pandas as pd

        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            try:
                reader = pd.read_csv(
                    file,
                    sep=self.delimiter,
                    decimal=self.decimal,
                    header=None,
                    skiprows=self.first_row,
                    names=list(range(len(self.names))),
                    chunksize=rows,
                    skip_blank_lines=False,
                    low_memory=False,
                    encoding_errors="replace",
                )
                for piece in reader:
                    if progress:
                        progress(file.tell(), size, f"Reading {self.path.name}")
                    yield piece
            except pd.errors.EmptyDataError:
                return
            except (pd.errors.ParserError, ValueError) as error:
                raise BadRequestError(f"{self.path} cannot be read as CSV: {_reason(error)}.") from None


@dataclass
class _Bad:
    """Cells that cannot be used, by their lines."""

    what: str
    then: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, lines: NDArray[np.int64]) -> None:
        """Count the lines."""
        self.count += len(lines)
        self.lines = [*self.lines, *lines[:_NAMED].tolist()][:_NAMED]

    def sentence(self) -> list[str]:
        """Say it, if there is any."""
        if not self.count:
            return []
        more = " and others" if self.count > len(self.lines) else ""
        return [f"{self.what} in {self.count} rows (line {', '.join(map(str, self.lines))}{more}); {self.then}."]


def read_csv(
    path: Path, rate: float | None, columns: Sequence[str], time: TimeColumn, progress: ProgressCallback
) -> Recording:
    """Read a CSV file; parameters and errors as of `reading.read_recording`.

    The delimiter is the comma, semicolon or tab of the first line; beside a semicolon or a tab, numbers may have
    decimal commas. A first line of numbers alone is no header. A cell that is no number is a missing sample; a row with
    too many cells is refused; a row without a time is left out.
    """
    import pandas as pd

    layout = _Layout.of(path)
    names = layout.names
    time_index, chosen, texts = _columns(layout, columns, time)
    if rate is None and time_index is None:
        raise BadRequestError(f"The sampling rate of {path} is unknown; give --fs in Hz, or --time-column.")
    bad = {i: _Bad(f"{path.name}: column '{names[i]}' has no number", "these samples are missing") for i in chosen}
    bad_time = _Bad(f"{path.name}: there is no time", "these rows are left out")
    values: list[NDArray[np.float64]] = []
    instants: list[pd.Series[float] | pd.Series[pd.Timestamp]] = []
    lines, count, is_in_utc = [], 0, False
    for piece in layout.pieces(_ROWS, progress):
        own = np.arange(count, count + len(piece)) + layout.line(0)
        count += len(piece)
        keep = np.ones(len(piece), bool)
        if time_index is not None:
            instant = _instants(piece[time_index])
            is_in_utc |= any(_OFFSET.search(str(cell)) for cell in piece[time_index].head(_LOOKED_AT))
            keep = instant.notna().to_numpy()
            bad_time.add(own[~keep])
            instants.append(instant[keep])
            lines.append(own[keep])
        samples = np.empty((int(keep.sum()), len(chosen)))
        for place, index in enumerate(chosen):
            numbers = pd.to_numeric(piece[index], errors="coerce")
            bad[index].add(own[(numbers.isna() & piece[index].notna()).to_numpy() & keep])
            samples[:, place] = numbers.to_numpy(np.float64)[keep]
        values.append(samples)
    notes = [f"{path.name}: column '{names[index]}' holds no numbers and is left out." for index in texts]
    notes += [sentence for cells in (*bad.values(), bad_time) for sentence in cells.sentence()]
    channels = tuple(names[index] for index in chosen)
    if time_index is None:
        assert rate is not None
        return Recording(path.name, channels, np.concatenate(values), rate, notes=tuple(notes))
    times, origin = _seconds(pd.concat(instants, ignore_index=True))
    if len(times) < 2:
        raise BadRequestError(f"{path} has {len(times)} rows with a time; at least two are needed.")
    origin = f"{origin}+00:00" if isinstance(origin, str) and is_in_utc else origin
    places, column = np.concatenate(lines), names[time_index]
    measured = rate_of_times(times, rate, lambda row: int(places[row]), column)
    notes.append(f"{path.name}: the sampling rate is {measured:.8g} Hz by the column '{column}'.")
    return Recording(path.name, channels, np.concatenate(values), measured, times, origin, tuple(notes))


def chosen_columns(wanted: Sequence[str], names: Sequence[str], path: Path) -> list[int]:
    """Return the indices of columns given by name or number, from 1; [] where none is given.

    Raises
    ------
    BadRequestError
        If there is no such column.
    """
    indices = []
    for column in wanted:
        if column in names:
            indices.append(names.index(column))
        elif column.isdecimal() and 1 <= int(column) <= len(names):
            indices.append(int(column) - 1)
        else:
            known = ", ".join(brief(name) for name in names[:20])
            raise BadRequestError(f"{path} has no column {brief(column)}; it has {known}, numbered from 1.")
    return list(dict.fromkeys(indices))


def _columns(layout: _Layout, wanted: Sequence[str], time: TimeColumn) -> tuple[int | None, list[int], list[int]]:
    """Return the indices of the time, of the channels, and of columns without numbers that nobody asked for."""
    import pandas as pd

    names, path = layout.names, layout.path
    if time.is_ignored and time.name is not None:
        raise BadRequestError("--time-column and --no-time do not go together.")
    by_name = next((index for index, name in enumerate(names) if _TIME_NAMES.fullmatch(name)), None)
    time_index = by_name if time.name is None else chosen_columns([time.name], names, path)[0]
    head = next(layout.pieces(_LOOKED_AT), None)
    if head is None or not len(head):
        raise BadRequestError(f"{path} has no row of numbers.")
    numeric = []
    for index in range(len(names)):
        numbers = pd.to_numeric(head[index], errors="coerce").notna().sum()
        numeric.append(bool(numbers and 2 * numbers >= head[index].notna().sum()))
    chosen = chosen_columns(wanted, names, path)
    for index in chosen:
        if index == time_index and not time.is_ignored:
            raise BadRequestError(f"The column '{names[index]}' of {path} is the time; name another one.")
        if not numeric[index]:
            raise BadRequestError(f"The column '{names[index]}' of {path} holds no numbers.")
    others = [index for index in range(len(names)) if index != time_index]
    chosen = chosen or [index for index in others if numeric[index]]
    if not chosen:
        known = ", ".join(brief(name) for name in names[:20])
        raise BadRequestError(f"{path} has no column of numbers to make a spectrogram of; it has {known}.")
    texts = [] if wanted else [index for index in others if not numeric[index]]
    return None if time.is_ignored else time_index, chosen, texts


def _instants(column: pd.Series[float]) -> pd.Series[float] | pd.Series[pd.Timestamp]:
    """Return seconds where a column holds numbers, else the times of its ISO 8601 texts."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if 2 * numbers.notna().sum() >= column.notna().sum():
        return numbers.where(np.isfinite(numbers))
    return pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)


def _seconds(instants: pd.Series[float] | pd.Series[pd.Timestamp]) -> tuple[NDArray[np.float64], str | float | None]:
    """Return seconds from the first of the instants, and that one; None where there is none."""
    import pandas as pd

    if not len(instants):
        return np.zeros(0), None
    if pd.api.types.is_numeric_dtype(instants):
        seconds = instants.to_numpy(np.float64)
        return seconds - seconds[0], float(seconds[0])
    nanoseconds = instants.to_numpy("datetime64[ns]").astype(np.int64)
    return (nanoseconds - nanoseconds[0]) / 1e9, pd.Timestamp(nanoseconds[0]).isoformat()


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.strip().replace(decimal, "."))
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    """Say what pandas says, with the line of a row that has too many cells."""
    if long := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
        return f"line {long[2]} has {long[3]} cells, and the lines before have {long[1]}"
    return " ".join(str(error).split()).removesuffix(".")
