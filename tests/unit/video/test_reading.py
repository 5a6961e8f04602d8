"""Frames of videos: all of them, in order, turned, with their times; files that are none are refused in a sentence."""

import re
import struct
import wave

import av
import numpy as np
import pytest

from moving_shapes import write_video
from peak_memory import assert_peak
from sam_backend import extras
from sam_backend.errors import BadRequestError, MissingExtraError
from sam_backend.video.reading import open_video


def test_all_frames_come_in_order_with_their_times(clip, clip_file):
    video = open_video(clip_file)
    frames = list(video.frames())
    assert (len(video), video.size, video.rate, video.has_constant_rate) == (12, (96, 320), pytest.approx(25), True)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(12) / 25)
    for frame, pixels in zip(frames, clip.frames, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < 15


def test_frames_are_counted_where_the_header_states_another_number(clip, tmp_path):
    # Matroska states no number of frames.
    write_video(tmp_path / "clip.mkv", clip.frames[:7], codec="mpeg4")
    assert len(open_video(tmp_path / "clip.mkv")) == 7


def test_a_variable_frame_rate_is_known_by_the_timestamps(clip, tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.58, 1.2]
    write_video(tmp_path / "variable.mp4", clip.frames[:7], times=times)
    video = open_video(tmp_path / "variable.mp4")
    assert not video.has_constant_rate
    assert video.times == pytest.approx(times, abs=2e-3)


def test_times_that_are_rounded_are_a_constant_rate(clip, tmp_path):
    write_video(tmp_path / "rounded.mkv", clip.frames, times=[round(index / 29.97, 3) for index in range(12)])
    assert open_video(tmp_path / "rounded.mkv").has_constant_rate


def test_frames_are_turned_as_the_file_says(clip, clip_file, tmp_path):
    file = bytearray(clip_file.read_bytes())
    # The matrix in the header of the track: what is to the right is shown below, a quarter turn to the right.
    place = file.index(b"tkhd") + 44
    file[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 96 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(file)
    video = open_video(tmp_path / "turned.mp4")
    assert video.size == (320, 96)
    first = next(iter(video.frames())).pixels
    assert np.abs(first.astype(int) - np.rot90(clip.frames[0], -1)).mean() < 15


def test_an_end_that_cannot_be_read_is_said(clip, clip_file, tmp_path):
    write_video(tmp_path / "whole.mkv", clip.frames, codec="ffv1")
    file = bytearray((tmp_path / "whole.mkv").read_bytes())
    file[len(file) // 2 :] = bytes(len(file) - len(file) // 2)
    (tmp_path / "damaged.mkv").write_bytes(file)
    video = open_video(tmp_path / "damaged.mkv")
    assert 0 < len(video) < 12
    assert re.fullmatch(
        r".*damaged.mkv says that it lasts 0\.48 seconds, and its frames end after 0\.\d\d: the rest .*", video.lost
    )
    assert open_video(tmp_path / "whole.mkv").lost == open_video(clip_file).lost == ""


def test_never_more_than_a_few_frames_are_in_memory(tmp_path):
    # Whole, it would take 207 MB.
    write_video(tmp_path / "long.mp4", [np.full((360, 640, 3), index, np.uint8) for index in range(44)] * 7)
    assert_peak(
        "from sam_backend.video.reading import open_video; import av, numpy",
        f"""
        video = open_video(Path({str(tmp_path / "long.mp4")!r}))
        assert sum(1 for frame in video.frames()) == len(video) == 308
        """,
        below=70_000_000,
    )


def broken(tmp_path, clip_file, kind):
    path = tmp_path / f"{kind}.mp4"
    if kind == "text":
        path.write_text("no video at all")
    elif kind == "playlist":
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip_file}\n#EXT-X-ENDLIST\n"
        path.write_text(playlist)
    elif kind == "list of files":
        path.write_text(f"ffconcat version 1.0\nfile '{clip_file.name}'\n")
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "sound":
        path = tmp_path / "sound.wav"
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(b"\0\0" * 800)
    elif kind == "without frames":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 96, 320, "yuv420p"
            container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("gone", "There is no video"),
        ("text", "is no video that can be read"),
        ("nothing", "is no video that can be read"),
        ("playlist", "is no video that can be read"),
        ("list of files", "is no video that can be read"),
        ("folder", "is a folder, not a video"),
        ("sound", "holds only sound; give a file with a video"),
        ("without frames", "has no frame|is no video that can be read|holds no video"),
    ],
)
def test_a_file_without_frames_is_refused_in_one_sentence(tmp_path, clip_file, kind, says):
    with pytest.raises(BadRequestError, match=says) as error:
        open_video(broken(tmp_path, clip_file, kind))
    assert str(error.value).count(". ") == 0


def test_a_name_stands_for_the_path_in_messages(tmp_path):
    with pytest.raises(BadRequestError, match=r"^There is no video /data/upload/3\.$"):
        open_video(tmp_path / "gone", name="/data/upload/3")


def test_without_pyav_the_command_that_installs_it_is_named(clip_file, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"A video needs av, .* run pip install 'sam-inspect\[video\]'"):
        open_video(clip_file)
