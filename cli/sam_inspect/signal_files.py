"""The files of the commands `signal`: pictures and tasks, tables of intervals, recordings to try them on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from sam_backend.errors import BadRequestError
from sam_backend.files import whole_folder, write_whole
from sam_evaluation.report.numbers import count

if TYPE_CHECKING:
    from sam_backend.core.signal_intervals import MarkedInterval, ReadPicture
    from sam_backend.progress import ProgressCallback
    from sam_backend.signals.recording import Recording
    from sam_backend.signals.rendering import Look

TASKS, CONFIG, FAULTS = "tasks.json", "labeling-config.xml", "faults.csv"

_LOCAL_FILES = "/data/local-files/?d="
_COLUMNS = (
    *("task", "file", "channel", "label", "t_start", "t_end", "start", "end"),
    *("f_low", "f_high", "peak_frequency", "cut", "region"),
)


@dataclass
class SignalWriter:
    """Writes a folder of pictures with the tasks and the labeling config of a project; it appears once all is there.

    Attributes
    ----------
    out : Path, the folder.
    images_at : str, the beginning of the pictures' addresses; None for Label Studio's local files.
    notes : list of str, sentences about what was repaired or left out.
    """

    out: Path
    images_at: str | None
    notes: list[str] = field(default_factory=list)
    _part: Path = field(default_factory=Path)
    _tasks: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def open(cls, out: Path, labels: Sequence[str], images_at: str | None) -> Iterator[Self]:
        """Open a folder that does not exist yet, or is empty, for a project with these labels."""
        from sam_backend.labelstudio.config_writer import write_config

        config = write_config(labels)
        with whole_folder(out) as part:
            writer = cls(out, images_at, _part=part)
            yield writer
            (part / TASKS).write_text(json.dumps(writer._tasks, indent=1), encoding="utf-8")
            (part / CONFIG).write_text(config, encoding="utf-8")

    @staticmethod
    def check(files: Sequence[Path]) -> None:
        """Check that recordings exist and have names that their pictures can be told apart by.

        Raises
        ------
        BadRequestError
            If one does not exist, or two have such a name.
        """
        from sam_backend.signals.rendering import file_part

        known: dict[str, Path] = {}
        for file in files:
            if not file.is_file():
                raise BadRequestError(f"There is no file {file}.")
            other = known.setdefault(file_part(file.name).lower(), file)
            if other is not file:
                raise BadRequestError(
                    f"{other} and {file} would have pictures of the same names; rename one, or render them apart."
                )

    def add(self, recording: Recording, look: Look, progress: ProgressCallback) -> None:
        """Render a recording.

        Raises
        ------
        BadRequestError
            If it has no spectrogram.
        """
        from sam_backend.signals.calibration import KEY
        from sam_backend.signals.rendering import plan, render

        self.notes += recording.notes
        progress(0, 0, f"Looking for the range of {recording.name}")
        for channel in plan(recording, look, self.notes):
            for picture in render(recording, channel, look, progress):
                calibration = picture.calibration
                path = self._part / calibration.picture
                path.write_bytes(picture.png)
                data = {"file": calibration.file, "channel": calibration.channel, "page": calibration.page}
                self._tasks.append({"data": {"image": self._address(path.name), **data, KEY: calibration.as_data()}})

    def summary(self) -> list[str]:
        """Say what is there and what to do with it."""
        said = [
            f"{self.out} has {count(len(self._tasks), 'picture')}, {TASKS} to import into Label Studio, and {CONFIG} "
            "for its project."
        ]
        if self.images_at is None:
            said.append(
                f"The tasks name the pictures as local files of Label Studio: {self._address('')}…, below its "
                f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={self.out.absolute().parent}."
            )
        return said

    def _address(self, name: str) -> str:
        if self.images_at is not None:
            # What ends otherwise names a folder, as in s3://bucket/folder.
            ends = self.images_at.endswith(("/", "="))
            return f"{self.images_at}{'' if ends else '/'}{name}"
        return f"{_LOCAL_FILES}{quote(self.out.absolute().name)}/{name}"


def write_intervals(path: Path, rows: Sequence[MarkedInterval]) -> None:
    """Write the table of intervals, ordered by file, channel and time."""
    import pandas as pd

    from sam_backend.signals.intervals import absolute_time
    from sam_evaluation.csv_text import csv_text

    def place(row: MarkedInterval) -> tuple[str, str, float]:
        return row.calibration.file, row.calibration.channel, row.interval.t_start

    cells = [
        (
            row.task,
            row.calibration.file,
            row.calibration.channel,
            row.label,
            round(row.interval.t_start, 9),
            round(row.interval.t_end, 9),
            absolute_time(row.calibration, row.interval.t_start),
            absolute_time(row.calibration, row.interval.t_end),
            round(row.interval.f_low, 6),
            round(row.interval.f_high, 6),
            row.interval.peak_frequency,
            row.interval.cut,
            row.region,
        )
        for row in sorted(rows, key=place)
    ]
    table = pd.DataFrame(cells, columns=list(_COLUMNS))
    write_whole(path, csv_text(table).encode(), private=False)


def picture_reader(folder: Path | None) -> ReadPicture | None:
    """Return a function that reads the pictures of `signal render`; None without a folder.

    Raises
    ------
    BadRequestError
        If there is no such folder.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise BadRequestError(f"There is no folder {folder}.")

    def read(task: Any, address: str, calibration: Any) -> bytes:
        if calibration is None:
            raise BadRequestError("The export does not say which picture it is.")
        # The name comes from an export, so it must not lead elsewhere.
        path = folder / Path(calibration.picture).name
        if not path.is_file():
            raise BadRequestError(f"There is no picture {path}.")
        return path.read_bytes()

    return read


def write_examples(out: Path, count: int, seconds: float, seed: int, progress: ProgressCallback) -> int:
    """Write recordings of a bearing with faults, and the table of these; return how many faults there are."""
    import numpy as np
    import pandas as pd

    from sam_backend.signals.bearing import bearing_signal

    faults = []
    with whole_folder(out) as part:
        for number in range(count):
            progress(number, count)
            made = bearing_signal(seed + number, seconds=seconds)
            name = f"bearing-{seed + number:04d}.csv"
            time = np.arange(len(made.values)) / made.rate
            # A sampling interval is some 1e-5 s.
            table = pd.DataFrame({"time": np.char.mod("%.7f", time), "acceleration": made.values})
            table.to_csv(part / name, index=False, float_format="%.7g")
            faults += [{"file": name, "shaft": made.shaft, **vars(fault)} for fault in made.faults]
        pd.DataFrame(faults).to_csv(part / FAULTS, index=False, float_format="%.7g")
        progress(count, count)
    return len(faults)
