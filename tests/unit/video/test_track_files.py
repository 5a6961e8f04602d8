"""The files of followed objects, and the counts over a line that are made of them."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from sam_backend.errors import BadRequestError
from sam_backend.samples import Cropped
from sam_backend.segmenters.tracking import TrackedMask
from sam_backend.video.following import FollowedFrame
from sam_backend.video.line_counts import line_crossings
from sam_backend.video.reading import Video, open_video
from sam_backend.video.track_files import COLUMNS, MASKS, RESULT, TRACKS, TrackRow, read_tracks, write_tracks
from sam_backend.video.writing import video_writer

LABELS = {1: "=nuts, bolts/M8", 2: ""}


def followed(clip, video, stop=None):
    for frame in video.frames():
        if frame.index == stop:
            raise RuntimeError
        masks = {number: Cropped.of(clip.masks[number][frame.index]) for number in clip.masks}
        yield FollowedFrame(
            frame,
            {
                number: TrackedMask(mask, 0.9, visible=True) if mask.area else TrackedMask.absent(video.size, 0.25)
                for number, mask in masks.items()
            },
        )


def test_tracks_and_masks_come_back_as_they_were_followed(clip, clip_file, tmp_path):
    video = open_video(clip_file)
    seen = write_tracks(tmp_path, video, followed(clip, video), LABELS)
    rows = read_tracks(tmp_path / TRACKS)
    assert len(rows) == 24
    # A spreadsheet would take the label for a formula.
    assert '"\'=nuts, bolts/M8"' in (tmp_path / TRACKS).read_text()
    assert seen == {number: sum(mask.any() for mask in clip.masks[number]) for number in (1, 2)}
    for row in rows:
        mask = clip.masks[row.number][row.frame]
        assert row.box == (clip.box(row.number, row.frame) if mask.any() else None)
        assert (row.label, row.score) == (LABELS[row.number], 0.9 if mask.any() else 0.25)
        assert row.time == pytest.approx(row.frame / 25)
    assert any(row.box is None for row in rows)
    for frame, line in enumerate((tmp_path / MASKS).read_text().splitlines()):
        said = json.loads(line)
        assert said["frame"] == frame
        for one in said["objects"]:
            assert (coco.decode(one["segmentation"]) == clip.masks[one["id"]][frame]).all()


def test_the_video_of_the_result_has_all_frames_at_their_times_with_the_masks_in_colour(clip, clip_file, tmp_path):
    video = open_video(clip_file)
    write_tracks(tmp_path, video, followed(clip, video), LABELS)
    result = open_video(tmp_path / RESULT)
    assert (len(result), result.size) == (12, (96, 320))
    assert result.times == pytest.approx(video.times, abs=1e-3)
    before, after = (next(iter(one.frames())).pixels.astype(int) for one in (video, result))
    change, mask = np.abs(after - before).mean(2), clip.masks[1][0]
    assert change[mask].mean() > 3 * change[~mask].mean()


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    (tmp_path / TRACKS).write_text(f"{','.join(COLUMNS)}\r\n3,0.12,1,a,1,2,3,4,0.9,1\r\n", encoding="utf-8-sig")
    assert read_tracks(tmp_path / TRACKS) == [TrackRow(3, 0.12, 1, "a", (1, 2, 3, 4), 0.9)]


@pytest.mark.parametrize("times", [[0, 36_000, 72_000, 72_000.04], [0, 3e7, 3e7 + 1e-6, 3e7 + 2e-6]])
def test_the_video_of_the_result_may_have_frames_hours_apart_or_very_close(tmp_path, times):
    video = Video(tmp_path / "a.mkv", "a.mkv", (48, 64), np.array(times), 25.0)
    with video_writer(tmp_path / RESULT, video) as add:
        for time in times:
            add(np.full((48, 64, 3), 100, np.uint8), time)
    written = open_video(tmp_path / RESULT)
    assert len(written) == 4
    assert written.times == pytest.approx(times, abs=0.5)


def test_a_run_that_breaks_off_leaves_no_file(clip, clip_file, tmp_path):
    video = open_video(clip_file)
    with pytest.raises(RuntimeError):
        write_tracks(tmp_path, video, followed(clip, video, stop=5), LABELS)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(clip, clip_file, tmp_path):
    (tmp_path / f"{MASKS}.4123.7.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"of somebody else")
    video = open_video(clip_file)
    write_tracks(tmp_path, video, followed(clip, video), LABELS)
    assert {path.name for path in tmp_path.iterdir()} == {TRACKS, MASKS, RESULT, "mine.part"}


def walk(number, places, hidden=(), side=20):
    """Return the rows of an object whose foot point is at places, of which some frames are hidden."""
    boxes = [(x - side // 2, y - side, x + side // 2, y) for x, y in places]
    return [
        TrackRow(frame, frame / 25, number, "person", None if frame in hidden else box, 0.9)
        for frame, box in enumerate(boxes)
    ]


def ways(rows, line):
    return [(one.number, one.to_right) for one in line_crossings(rows, line)]


UP = (50, 100, 50, 0)


def test_objects_are_counted_in_both_directions():
    rows = walk(1, [(x, 50) for x in range(20, 90, 10)]) + walk(2, [(x, 60) for x in range(80, 10, -10)])
    assert ways(rows, UP) == [(1, True), (2, False)]
    assert ways(rows, (50, 0, 50, 100)) == [(1, False), (2, True)]


def test_an_object_that_is_hidden_on_the_line_is_counted_once():
    places = [(x, 50) for x in range(20, 90, 5)]
    assert ways(walk(1, places, hidden=range(4, 9)), UP) == [(1, True)]


def test_trembling_on_the_line_is_not_counted():
    tremble = [(20, 50), (49, 50), (51, 50), (49, 50), (50, 50), (51, 50), (20, 50)]
    assert ways(walk(1, tremble), UP) == []
    assert ways(walk(1, [*tremble, (80, 50)]), UP) == [(1, True)]


def test_who_goes_around_the_end_of_a_line_does_not_cross_it():
    assert ways(walk(1, [(20, 150), (80, 150)]), UP) == []


def test_there_and_back_are_two_crossings():
    assert ways(walk(1, [(20, 50), (80, 50), (20, 50)]), UP) == [(1, True), (1, False)]


def test_a_line_without_length_and_a_file_that_is_no_table_are_refused(tmp_path):
    for line in ((5, 5, 5, 5), (float("nan"), 0, 5, 5), (0, float("inf"), 5, 5), (1e308, 0, -1e308, 5)):
        with pytest.raises(BadRequestError, match=r"two ends .* that differ"):
            line_crossings([], line)
    head, row = ",".join(COLUMNS), "0,0,1,{label},1,1,2,2,1,{visible}"
    for text in (
        "",
        "a,b\n1,2\n",
        f"{head}\n{row.format(label='a' * 200_000, visible=1)}\n",
        f"{head}\n{row.format(label='', visible='shown')}\n",
    ):
        (tmp_path / "other.csv").write_text(text)
        with pytest.raises(BadRequestError, match="is no table of tracks"):
            read_tracks(tmp_path / "other.csv")
    with pytest.raises(BadRequestError, match="cannot be read: No such file"):
        read_tracks(tmp_path / "gone.csv")
