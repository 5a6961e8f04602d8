"""What was drawn on the videos of a project is followed and written back as predictions."""

import pytest

pytest.importorskip("av", reason="needs the extra video")

from moving_shapes import moving_shapes, write_video
from sam_backend.core import video_work
from sam_backend.core.video_work import VideoWork
from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.projects import ProjectTask, TaskPrediction
from sam_backend.progress import no_progress
from sam_backend.samples import Cropped
from sam_backend.segmenters.tracking import TrackedMask
from sam_backend.settings import Settings

CLIP = moving_shapes(1, frames=16, size=(96, 320))
CONFIG = """<View><Labels name="label" toName="video"><Label value="Man"/></Labels>
<Video name="video" value="$video" framerate="25"/><VideoRectangle name="box" toName="video"/></View>"""


class Knowing:
    """A tracker that knows the shapes of the clip; it keeps what it was asked."""

    name = version = "knowing"

    def __init__(self):
        self.asked = []

    def start(self):
        self.asked.append({})
        return _Session(self.asked[-1])


class _Session:
    def __init__(self, asked):
        self._asked, self._index = asked, -1

    def step(self, pixels, prompts):
        self._index += 1
        if prompts:
            self._asked[self._index] = {number: prompt.box.tolist() for number, prompt in prompts.items()}
        followed = {number for frame in self._asked.values() for number in frame}
        masks = {number: Cropped.of(CLIP.masks[number][self._index]) for number in followed}
        return {number: TrackedMask(mask, 0.8, visible=bool(mask.area)) for number, mask in masks.items()}


class StoredProject:
    id, uid, label_config = 7, "7.1", CONFIG

    def __init__(self, *tasks):
        self._tasks, self.predictions = tasks, {}

    def tasks(self):
        return iter(self._tasks)

    def predict(self, task, prediction):
        self.predictions[task.id] = prediction


class Files:
    def __init__(self, folder):
        self._folder = folder

    def fetch(self, url, server, task, *, configured=None):
        if url == "/gone.mp4":
            raise ImageServerError("The image /gone.mp4 is not there.")
        return (self._folder / url[1:]).read_bytes()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function of tasks that follows what is on them: the predictions, the counts, and what was asked."""
    write_video(tmp_path / "a.mp4", CLIP.frames)

    def run(*tasks, config=CONFIG, again=False):
        project, tracker = StoredProject(*tasks), Knowing()
        project.label_config = config
        monkeypatch.setattr(video_work, "open_registered", lambda servers, number: project)
        work = VideoWork(Settings(home=tmp_path, cache=tmp_path), "7")
        work._images = Files(tmp_path)
        return project.predictions, work.run(tracker, no_progress, no_progress, again=again), tracker.asked

    return run


def drawn(number, frames=(0,), **change):
    """Return a region with a box around a shape in some frames, as the page saves it."""
    sequence = []
    for frame in frames:
        left, top, right, bottom = (float(side) for side in CLIP.box(number, frame))
        share = {"x": left / 3.2, "y": top / 0.96, "width": (right - left) / 3.2, "height": (bottom - top) / 0.96}
        sequence.append({"frame": frame + 1, "enabled": True, "rotation": 0, "time": 0.0, **share})
    value = {"framesCount": 16, "duration": 0.64, "sequence": sequence, "labels": ["Man"]}
    return {
        "id": f"r{number}",
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
        "origin": "manual",
        "value": value,
        **change,
    }


def saved(*regions, at="2026-11-29T00:00:00Z", **change):
    return {"id": 1, "result": list(regions), "updated_at": at, "was_cancelled": False, **change}


def test_every_region_is_followed_from_its_box_and_keeps_its_id_and_label(run):
    predictions, counts, asked = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(drawn(1), drawn(2))]))
    assert asked[0][0] == {number: pytest.approx([*CLIP.box(number)], abs=0.01) for number in (1, 2)}
    regions = predictions[1]["result"]
    assert [(one["id"], one["from_name"], one["type"], one["value"]["labels"]) for one in regions] == [
        ("r1", "box", "videorectangle", ["Man"]),
        ("r2", "box", "videorectangle", ["Man"]),
    ]
    assert all("origin" not in one for one in regions)
    for number, one in enumerate(regions, 1):
        ends = [keyframe["frame"] for keyframe in one["value"]["sequence"] if not keyframe["enabled"]]
        hidden = [index for index in range(16) if not CLIP.masks[number][index].any()]
        # The last frame before it is hidden, counted from 1.
        assert ends == [hidden[0]]
    assert (predictions[1]["model_version"], predictions[1]["score"]) == ("knowing", pytest.approx(0.8))
    assert (counts.tasks, counts.objects, counts.notes) == (1, 2, [])


def test_keyframes_of_a_later_frame_are_prompts_too(run):
    _, _, asked = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(drawn(1, (2, 14)))]))
    assert list(asked[0]) == [2, 14]


def test_of_a_task_what_was_saved_last_counts_also_a_draft(run):
    task = ProjectTask(
        1,
        {"video": "/a.mp4"},
        [saved(drawn(1)), saved(drawn(2), at="2026-11-29T09:00:00Z", was_cancelled=True)],
        drafts=[saved(drawn(2), at="2026-11-29T01:00:00Z")],
    )
    predictions, _, _ = run(task)
    assert [one["id"] for one in predictions[1]["result"]] == ["r2"]


def test_a_region_of_a_prediction_that_nobody_changed_stays_as_it_is(run):
    copied = drawn(2, (0, 9), origin="prediction")
    predictions, counts, asked = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(drawn(1), copied)]))
    assert list(asked[0][0]) == [1]
    assert predictions[1]["result"][1]["value"] == copied["value"]
    assert counts.objects == 1
    predictions, _, asked = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(copied)]))
    assert (predictions, asked) == ({}, [])


def test_a_task_whose_prediction_is_newer_is_followed_again_only_where_that_is_asked_for(run):
    def task(number, version, made):
        drawn_at = [saved(drawn(1), at="2026-11-29T05:00:00Z")]
        return ProjectTask(number, {"video": "/a.mp4"}, drawn_at, [TaskPrediction(1, version, [], made)])

    tasks = [
        task(1, "knowing", "2026-11-29T06:00:00Z"),
        task(2, "knowing", "2026-11-29T04:00:00Z"),
        task(3, "another", "2026-11-29T06:00:00Z"),
    ]
    predictions, counts, _ = run(*tasks)
    assert (list(predictions), counts.earlier) == ([2, 3], 1)
    predictions, counts, _ = run(*tasks, again=True)
    assert (list(predictions), counts.earlier) == ([1, 2, 3], 0)


def test_a_task_whose_video_fails_is_named_and_the_others_go_on(run):
    tasks = [
        ProjectTask(1, {"video": "/gone.mp4"}, [saved(drawn(1))]),
        ProjectTask(2, {"video": "/a.mp4"}, [saved(drawn(1))]),
        ProjectTask(3, {"video": "/a.mp4"}),
    ]
    predictions, counts, _ = run(*tasks)
    assert list(predictions) == [2]
    assert counts.notes == ["Task 1 is left out: The image /gone.mp4 is not there."]


def test_an_object_that_is_never_outlined_stays_as_it_was_drawn(run, monkeypatch):
    region = drawn(1)
    monkeypatch.setitem(CLIP.masks, 1, CLIP.masks[1] & False)
    predictions, counts, _ = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(region)]))
    assert predictions[1]["result"][0]["value"] == region["value"]
    assert counts.notes == ["Task 1: nothing was outlined in region r1; it stays as drawn."]


def test_a_rate_that_does_not_fit_is_said_with_the_one_to_write(run):
    _, counts, _ = run(
        ProjectTask(1, {"video": "/a.mp4"}, [saved(drawn(1))]), config=CONFIG.replace('framerate="25"', "")
    )
    assert counts.notes == [
        "The labeling config has framerate 24 and the video of task 1 25: the page numbers 15 frames, not 16; write "
        'framerate="25" to see each frame.'
    ]


def test_a_box_outside_of_the_video_leaves_its_task_out(run):
    region = drawn(1)
    region["value"]["sequence"][0]["frame"] = 99
    _, counts, _ = run(ProjectTask(1, {"video": "/a.mp4"}, [saved(region)]))
    assert counts.notes == [
        "Task 1 is left out: The box of region r1 in frame 99 lies outside of the video, which has 16 frames of 320 x "
        "96 pixels."
    ]


def test_a_project_without_a_video_is_refused(run):
    with pytest.raises(BadRequestError, match="has no video on which objects are followed"):
        run(config='<View><Image name="image" value="$image"/></View>')
