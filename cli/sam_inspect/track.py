"""The commands `track` and `count`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_evaluation.report.numbers import count as counted
from sam_inspect.bars import progress_bars
from sam_inspect.memory_commands import CheckpointOption
from sam_inspect.options import ModelOption, given_options, settings_of
from sam_inspect.output import print_lines, print_table

if TYPE_CHECKING:
    from sam_backend.segmenters.tracking import Tracker

_OF_FILES = {"prompts": "--prompt", "out": "--out"}


def track(
    context: typer.Context,
    video: Annotated[Path | None, typer.Option(help="The video.", metavar="FILE")] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompt",
            help="Where an object is: frame=0,box=x0,y0,x1,y1,label=person; click=x,y, not=x,y or mask=file.png "
            "in place of the box. With id=1, a later prompt corrects object 1. May be given several times.",
            metavar="TEXT",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --video, the folder of tracks.csv, masks.jsonl and result.mp4.")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(help="Id of a project in Label Studio instead: follows what was drawn on its videos."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --project, also tasks whose prediction is newer than what was drawn.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Videos in the layout of DAVIS instead: measures J, F and identity switches.")
    ] = None,
    model: ModelOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Follow objects through a video, from a box, a click or a mask on one frame.

    An object that is hidden or leaves is marked as not visible, and is found
    again where it comes back. sam2.1, edgetam and sam3 follow by their own
    memory of frames, other models by examples of the object.

    Example: sam-inspect track --video gate.mp4 --prompt frame=0,box=10,20,50,60,label=person --out tracks
    Example: sam-inspect track --project 3
    Example: sam-inspect track --data ./DAVIS --model sam2.1:tiny
    """
    if sum(one is not None for one in (video, project, data)) != 1:
        raise BadRequestError("Name what to follow in: a --video, a --project, or videos with masks with --data.")
    if again and project is None:
        raise BadRequestError("--again goes with --project alone; leave it out.")
    if video is None:
        if beside := [_OF_FILES[name] for name in given_options(context) if name in _OF_FILES]:
            raise BadRequestError(f"{beside[0]} goes with --video alone; leave it out.")
        if data is not None:
            _measure(context, data, model, checkpoint)
        else:
            _follow_project(context, str(project), model, checkpoint, again=again)
        return
    if out is None or not prompts:
        raise BadRequestError("With --video, name at least one object with --prompt, and a folder with --out.")
    _follow(context, video, prompts, out, model, checkpoint)


def count(
    tracks: Annotated[Path, typer.Option(help="The file tracks.csv of sam-inspect track.", metavar="FILE")],
    line: Annotated[str, typer.Option(help="The ends of the line in pixels.", metavar="X0,Y0,X1,Y1")],
) -> None:
    """Count the objects that go over a line, in both directions.

    Left and right are those of who looks along the line from its first end to
    its second. An object's place is the middle of the lower side of its box.

    Example: sam-inspect count --tracks tracks/tracks.csv --line 320,360,320,0
    """
    from sam_backend.video.line_counts import line_crossings
    from sam_backend.video.track_files import read_tracks

    try:
        x0, y0, x1, y1 = (float(part) for part in line.split(","))
    except ValueError:
        raise BadRequestError(f"A line is x0,y0,x1,y1, four numbers of pixels; got {line!r}.") from None
    crossings = line_crossings(read_tracks(tracks), (x0, y0, x1, y1))
    ways = {True: "left to right", False: "right to left"}
    print_table(
        ("Time", "Frame", "Object", "Label", "Way"),
        ((f"{one.time:.2f} s", str(one.frame), str(one.number), one.label, ways[one.to_right]) for one in crossings),
    )
    over = sum(one.to_right for one in crossings)
    print_lines(f"{over} went from left to right, {len(crossings) - over} from right to left.")


def _follow(
    context: typer.Context, path: Path, texts: list[str], out: Path, model: str | None, checkpoint: Path | None
) -> None:
    from sam_backend.video.following import follow
    from sam_backend.video.prompts import check_prompts, read_prompts
    from sam_backend.video.reading import open_video
    from sam_backend.video.track_files import write_tracks

    prompts = read_prompts(texts)
    with progress_bars() as add_bar:
        video = open_video(path, add_bar("Reading the video"))
        check_prompts(prompts, video)
        tracker = _tracker(context, model, checkpoint)
        followed = follow(tracker, video, prompts, add_bar("Following"))
        seen = write_tracks(out, video, followed, {one.number: one.label for one in prompts})
    frames = ", ".join(f"{number} in {shown}" for number, shown in sorted(seen.items()))
    lines = [
        f"{out} has {counted(len(seen), 'object')} ({frames} of {counted(len(video), 'frame')}), "
        f"followed by {tracker.version}."
    ]
    lines += [
        f"Object {number} is seen in no frame: its prompt gives nothing, or what it gives is another object's."
        for number, shown in sorted(seen.items())
        if not shown
    ]
    if not video.has_constant_rate:
        lines.append(f"{path} has no constant frame rate; the times are those of the file, not frames by a rate.")
    print_lines(*lines, *filter(None, [video.lost]))


def _follow_project(
    context: typer.Context, project: str, model: str | None, checkpoint: Path | None, *, again: bool
) -> None:
    from sam_backend.core.video_work import VideoWork

    work = VideoWork(settings_of(context), project)
    tracker = _tracker(context, model, checkpoint)
    with progress_bars() as add_bar:
        counts = work.run(tracker, add_bar("Tasks"), add_bar("Frames"), again=again)
    earlier = f" {counts.earlier} had one that is newer than what was drawn." if counts.earlier else ""
    print_lines(
        f"{counted(counts.tasks, 'task has', 'tasks have')} a prediction by {tracker.version}, with "
        f"{counted(counts.objects, 'followed object')} in {counted(counts.keyframes, 'keyframe')}.{earlier}",
        *counts.notes,
    )


def _measure(context: typer.Context, data: Path, model: str | None, checkpoint: Path | None) -> None:
    from sam_backend.extras import require_evaluation

    require_evaluation("track --data")
    from sam_evaluation.datasets.davis import read_sequences
    from sam_evaluation.video_evaluation import evaluate_tracker

    sequences = read_sequences(data)
    tracker = _tracker(context, model, checkpoint)
    with progress_bars() as add_bar:
        scores = evaluate_tracker(tracker, sequences, add_bar("Following"))
    print_table(
        ("Sequence", "Object", "J", "F", "Identity switches"),
        (
            (
                one.sequence,
                str(one.number),
                f"{one.region:.3f}",
                f"{one.boundary:.3f}",
                str(scores.switches[one.sequence]),
            )
            for one in scores.objects
        ),
    )
    both = (scores.region + scores.boundary) / 2
    print_lines(
        f"J&F {both:.3f}, J {scores.region:.3f}, F {scores.boundary:.3f}; "
        f"{counted(sum(scores.switches.values()), 'identity switch', 'identity switches')}; "
        f"{counted(len(scores.objects), 'object')} of {counted(len(scores.switches), 'sequence')}, "
        f"followed by {tracker.version}."
    )


def _tracker(context: typer.Context, model: str | None, checkpoint: Path | None) -> Tracker:
    from sam_backend.core.trackers import load_tracker

    settings = settings_of(context)
    return load_tracker(settings, model or settings.model, checkpoint)
