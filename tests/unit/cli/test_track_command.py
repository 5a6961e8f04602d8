"""`sam-inspect track` and `sam-inspect count`: what they write and print, and what they refuse before any work."""

import pytest

pytest.importorskip("av", reason="needs the extra video")

from PIL import Image
from typer.testing import CliRunner

from moving_shapes import moving_shapes, write_video
from sam_backend.core import trackers
from sam_backend.errors import BadRequestError
from sam_backend.video.track_files import read_tracks
from sam_inspect.main import app

CLIP = moving_shapes(4, frames=14, size=(96, 240), bar=False)
BOXES = [",".join(map(str, CLIP.box(number))) for number in (1, 2)]


@pytest.fixture
def clip_file(tmp_path):
    write_video(tmp_path / "clip.mp4", CLIP.frames)
    return tmp_path / "clip.mp4"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(*arguments):
    error = run(*arguments).exception
    assert isinstance(error, BadRequestError), error
    return str(error)


def test_an_object_that_is_seen_in_no_frame_is_named(clip_file, tmp_path):
    box = ",".join(map(str, CLIP.box(1, 13)))
    done = run("track", "--video", clip_file, "--out", tmp_path, *(2 * ("--prompt", f"frame=13,box={box}")))
    assert "2 objects (1 in 1, 2 in 0 of 14 frames)" in done.output
    assert "Object 2 is seen in no frame: its prompt gives nothing, or" in done.output


def test_objects_of_a_video_are_followed_and_counted(clip_file, tmp_path):
    out = tmp_path / "out"
    done = run(
        *("track", "--video", clip_file, "--out", out),
        *("--prompt", f"frame=0,box={BOXES[0]},label=a/b", "--prompt", f"frame=2,box={CLIP_BOX_LATER}"),
    )
    assert done.exit_code == 0, done.output
    assert "2 objects (1 in 13, 2 in 12 of 14 frames), followed by nano-" in done.output
    rows = read_tracks(out / "tracks.csv")
    assert [row.frame for row in rows if row.number == 2] == list(range(2, 14))
    assert {row.label for row in rows if row.number == 1} == {"a/b"}
    ends = {number: [row.box for row in rows if row.number == number][-1] for number in (1, 2)}
    for number, box in ends.items():
        assert all(abs(side - true) <= 4 for side, true in zip(box, CLIP.box(number, 13), strict=True))
    counted = run("count", "--tracks", out / "tracks.csv", "--line", "120,96,120,0")
    assert counted.output.splitlines()[-1] == "1 went from left to right, 1 from right to left."


CLIP_BOX_LATER = ",".join(map(str, CLIP.box(2, 2)))


@pytest.fixture
def no_model(monkeypatch):
    """A model would be loaded only for work."""

    def fail(*_):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(trackers, "load_tracker", fail)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("frame=14,box=1,2,30,40", "is about frame 14; "),
        ("frame=0,box=1,2,300,40", "lies outside of the frames of "),
        ("frame=0,box=1,2,30", "is not 4 numbers"),
    ],
)
def test_a_wrong_prompt_is_said_before_a_model_is_loaded(clip_file, tmp_path, prompt, says):
    assert says in error_of("track", "--video", clip_file, "--prompt", prompt, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_model")
def test_what_to_follow_in_is_named_once(clip_file, tmp_path):
    assert "Name what to follow in" in error_of("track")
    assert "Name what to follow in" in error_of("track", "--video", clip_file, "--data", tmp_path)
    assert "--out goes with --video alone" in error_of("track", "--data", tmp_path, "--out", tmp_path)
    assert "at least one object with --prompt" in error_of("track", "--video", clip_file, "--out", tmp_path)
    assert "--again goes with --project alone" in error_of("track", "--data", tmp_path, "--again")
    (tmp_path / "no.mp4").write_text("x")
    prompt = ("--prompt", "frame=0,box=1,2,3,4", "--out", tmp_path)
    assert "is no video that can be read" in error_of("track", "--video", tmp_path / "no.mp4", *prompt)


def test_a_model_without_features_cannot_follow(clip_file, tmp_path):
    prompt = ("--prompt", f"frame=0,box={BOXES[0]}", "--out", tmp_path / "out")
    said = error_of("track", "--video", clip_file, *prompt, "--model", "grabcut")
    assert said == "grabcut cannot follow an object, since it has no features; take nano or sam2.1:tiny."


def test_a_variable_frame_rate_is_said(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.9]
    write_video(tmp_path / "variable.mp4", CLIP.frames[:6], times=times)
    prompt = ("--prompt", f"frame=0,box={BOXES[0]}")
    done = run("track", "--video", tmp_path / "variable.mp4", *prompt, "--out", tmp_path / "out")
    assert "has no constant frame rate; the times are those of the file" in done.output
    assert [row.time for row in read_tracks(tmp_path / "out" / "tracks.csv")] == pytest.approx(times, abs=2e-3)


def test_a_tracker_is_measured_on_videos_in_the_layout_of_davis(tmp_path):
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "crossing").mkdir(parents=True)
    for index in range(4):
        Image.fromarray(CLIP.frames[index]).save(tmp_path / "JPEGImages" / "crossing" / f"{index:05}.jpg", quality=95)
        labels = CLIP.masks[1][index].astype("uint8") + 2 * CLIP.masks[2][index].astype("uint8")
        Image.fromarray(labels).save(tmp_path / "Annotations" / "crossing" / f"{index:05}.png")
    done = run("track", "--data", tmp_path)
    assert done.exit_code == 0, done.output
    last = done.output.splitlines()[-1]
    assert last.startswith("J&F 0.9")
    assert "; 0 identity switches; 2 objects of 1 sequence, followed by nano-" in last


@pytest.mark.parametrize("line", ["1,2,3", "a,b,c,d"])
def test_a_line_that_is_none_is_refused(tmp_path, line):
    assert "four numbers of pixels" in error_of("count", "--tracks", tmp_path / "t.csv", "--line", line)
