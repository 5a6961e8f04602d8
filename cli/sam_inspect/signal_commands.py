"""The commands `signal`: signals as images for Label Studio, and what is accepted there as intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_backend.extras import how_to_install, require
from sam_evaluation.report.numbers import count
from sam_inspect.bars import progress_bars
from sam_inspect.options import settings_of
from sam_inspect.output import print_lines
from sam_inspect.signal_files import SignalWriter, picture_reader, write_intervals

signal = typer.Typer(
    help="Machine signals: spectrograms as images for Label Studio, and what is accepted there as intervals.",
    no_args_is_help=True,
)


@signal.command()
def render(
    files: Annotated[list[Path], typer.Argument(help="Recordings: CSV, WAV, or NumPy's .npy.")],
    out: Annotated[Path, typer.Option(help="A new folder for the pictures, the tasks and the labeling config.")],
    fs: Annotated[
        float | None, typer.Option(help="The sampling rate in Hz; not needed where a time column or a WAV says it.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A channel, by name or number, from 1; repeat it for several. Default: all with numbers."),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(
            help="The column with seconds or ISO 8601 times. Default: the one called time, timestamp or datetime."
        ),
    ] = None,
    no_time: Annotated[
        bool, typer.Option("--no-time", help="The rows are evenly spaced, whatever a time column says.")
    ] = False,
    window: Annotated[str, typer.Option(help="hann, hamming, blackman, flattop, boxcar, … of scipy.signal.")] = "hann",
    window_length: Annotated[
        int | None, typer.Option(help="Samples of a window. Default: the power of two next to 40 ms, 256 to 2048.")
    ] = None,
    overlap: Annotated[float, typer.Option(help="The share of a window that is also in the next one.")] = 0.75,
    low: Annotated[float | None, typer.Option(help="The lowest frequency that is shown, in Hz.")] = None,
    high: Annotated[float | None, typer.Option(help="The highest one. Default: half the sampling rate.")] = None,
    log_frequency: Annotated[bool, typer.Option("--log-frequency", help="A logarithmic frequency axis.")] = False,
    levels: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--range",
            help="The dB of the darkest and the brightest colour. Default: a tenth of the channel is below, nothing "
            "above.",
        ),
    ] = None,
    page: Annotated[
        float | None, typer.Option(help="The most seconds of one picture. Default: 1024 columns of the spectrogram.")
    ] = None,
    page_overlap: Annotated[float, typer.Option(help="Seconds that a picture shares with the next one.")] = 0.0,
    max_gap: Annotated[
        int, typer.Option(min=0, help="Most missing samples in a row that are filled by linear interpolation.")
    ] = 3,
    label: Annotated[list[str] | None, typer.Option(help="A label; repeat it for several. Default: Fault.")] = None,
    images_at: Annotated[
        str | None,
        typer.Option(
            help="Where Label Studio finds the pictures, for example s3://bucket/folder/. Default: its local files, "
            "/data/local-files/?d=<name of the folder>/.",
        ),
    ] = None,
) -> None:
    """Make spectrograms of recordings: pictures with axes, and tasks for Label Studio.

    Each channel of each file is a picture, a long one several. The folder gets
    the pictures, tasks.json to import, and labeling-config.xml for the project.
    What a pixel means in time and frequency is in each task and in each
    picture's file. Gaps and uneven sampling are found by the time column.

    Example: sam-inspect signal render data.csv --fs 25600 --out spectrograms
    Example: sam-inspect signal render a.csv b.csv --column acc --label "outer race" --label "inner race" --out x
    """
    require(("pandas",), "signal", how_to_install("evaluation"))
    from sam_backend.segmenters.exported import require_empty
    from sam_backend.signals.csv_files import TimeColumn
    from sam_backend.signals.picture import Axes
    from sam_backend.signals.reading import read_recording
    from sam_backend.signals.rendering import Look

    look = Look(window, window_length, overlap, Axes(low, high, log_frequency), levels, page, page_overlap, max_gap)
    require_empty(out)
    SignalWriter.check(files)
    time = TimeColumn(time_column, no_time)
    with progress_bars() as add_bar, SignalWriter.open(out, label or ["Fault"], images_at) as writer:
        reading, rendering = add_bar("Reading"), add_bar("Rendering")
        for file in files:
            writer.add(read_recording(file, fs, column or (), time, reading), look, rendering)
    print_lines(*writer.notes, *writer.summary())


@signal.command()
def intervals(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The table, a CSV file.")],
    project: Annotated[str | None, typer.Option(help="Id of the project in Label Studio.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A JSON export of Label Studio instead of a project.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="With --from, the folder of signal render, for the peak frequencies.")
    ] = None,
) -> None:
    """Write what annotators accepted as a table of intervals of time and frequency with their labels.

    A row is a region of the newest annotation of a task: task, file, channel,
    label, t_start and t_end in seconds from the beginning of the recording,
    start and end as its time column says them, f_low, f_high and peak_frequency
    in Hz, whether the page's edge cuts it, and the region's id.

    Example: sam-inspect signal intervals --project 5 --out intervals.csv
    Example: sam-inspect signal intervals --from export.json --pictures spectrograms --out intervals.csv
    """
    require(("pandas",), "signal", how_to_install("evaluation"))
    if (project is None) == (source is None):
        raise BadRequestError("Name the annotations: either a --project, or an export with --from.")
    if project is not None and pictures is not None:
        raise BadRequestError("--pictures does not go with --project, whose images are fetched; leave it out.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise BadRequestError(f"--out is a file in a folder that exists; got {out}.")
    from sam_backend.core.signal_intervals import read_intervals
    from sam_backend.labelstudio.accepted import fetch_export
    from sam_backend.labelstudio.images import TaskImages
    from sam_backend.labelstudio.projects import find_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_evaluation.datasets.label_studio import read_export

    with progress_bars() as add_bar:
        progress = add_bar("Reading annotations")
        if source is not None:
            export, config, what, read = read_export(source), None, str(source), picture_reader(pictures)
        else:
            settings = settings_of(context)
            known = find_project(ServerRegistry.of_settings(settings), str(project))
            images = TaskImages.of_settings(settings)
            config, export = fetch_export(known.server, known.id, images.transport, timeout=settings.image_timeout)
            what = f"Project {project}"
            read = lambda task, address, _: images.fetch(address, known.server, task.id)  # noqa: E731
        marked = read_intervals(export, config, what, read, progress)
    write_intervals(out, marked.rows)
    tasks = len({row.task for row in marked.rows})
    print_lines(*marked.problems, f"{out} has {count(len(marked.rows), 'interval')} of {count(tasks, 'task')}.")


@signal.command()
def example(
    out: Annotated[Path, typer.Option(help="A new folder for the recordings and faults.csv.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of recordings.")] = 1,
    seconds: Annotated[float, typer.Option(min=4, max=600, help="Length of each.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same recordings.")] = 0,
) -> None:
    """Write recordings of a bearing with known faults, to try the other commands on.

    The signals follow the published formulas of bearing fault frequencies. They
    are sampled at 25600 Hz; faults.csv says where which fault is.

    Example: sam-inspect signal example --out bearing --count 12
    """
    require(("pandas",), "signal", how_to_install("evaluation"))
    from sam_backend.segmenters.exported import require_empty
    from sam_inspect.signal_files import write_examples

    require_empty(out)
    with progress_bars() as add_bar:
        faults = write_examples(out, count, seconds, seed, add_bar("Writing recordings"))
    print_lines(f"{out} has {count} recordings with {faults} faults, which {out / 'faults.csv'} lists.")
