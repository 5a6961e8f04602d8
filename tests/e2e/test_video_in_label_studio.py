"""A box on one frame of a video in the real page comes back as a sequence that the page shows frame by frame."""

import json

import numpy as np
import pytest
from label_studio_sdk import LabelStudio
from typer.testing import CliRunner

from moving_shapes import moving_shapes, write_video
from sam_inspect.main import app

CONFIG = """<View>
  <Labels name="label" toName="video"><Label value="Left"/><Label value="Right"/></Labels>
  <Video name="video" value="$video" framerate="25"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>"""
LOADED = """() => {
    const video = window.Htx?.annotationStore?.selected?.objects?.[0];
    return video?.length > 1 && video.ref.current?.videoDimensions.width > 0;
}"""
CLIP = moving_shapes(5, frames=24, shapes=1)


@pytest.fixture
def project(stack, tmp_path):
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    number = client.projects.create(title="Video", label_config=CONFIG).id
    write_video(tmp_path / "clip.mp4", CLIP.frames)
    stack.api.create_tasks(number, [{"video": stack.api.upload(number, tmp_path / "clip.mp4")}])
    return number


def test_a_box_on_one_frame_is_followed_and_shown(stack, labeling, project, tmp_path, monkeypatch):
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    (task,) = client.tasks.list(project=project)
    page = labeling._page
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    open_video_task(page, stack.url, project, task.id)
    draw_box(page, CLIP.box(1))
    labeling.submit()
    # Not even a smart tool asks a model about a video.
    assert not [url for url in asked if "interactive-annotating" in url]
    (annotation,) = client.annotations.list(task.id)
    (drawn,) = annotation.result

    monkeypatch.setenv("SAM_INSPECT_LABEL_STUDIO_URL", stack.url)
    monkeypatch.setenv("SAM_INSPECT_LABEL_STUDIO_API_KEY", stack.credentials.token)
    monkeypatch.setenv("SAM_INSPECT_ALLOW_HOST", "localhost")
    monkeypatch.setenv("SAM_INSPECT_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, ["track", "--project", str(project)])
    assert done.exit_code == 0, done.output
    assert "1 task has a prediction by nano-" in done.output

    open_video_task(page, stack.url, project, task.id)
    page.evaluate("() => Htx.annotationStore.selectPrediction(Htx.annotationStore.predictions[0].id)")
    page.wait_for_function(LOADED)
    shown = page.evaluate("""() => {
        const store = Htx.annotationStore;
        const [region] = store.selected.regions;
        const frames = Array.from({length: store.selected.objects[0].length}, (_, index) => index + 1);
        return JSON.stringify({
            id: region.cleanId,
            labels: region.labels,
            keyframes: region.sequence.length,
            boxes: frames.map(frame => region.isInLifespan(frame) ? region.getShape(frame) : null),
        });
    }""")
    labeling.screenshot("followed-through-a-video")
    said = json.loads(shown)
    assert (said["id"], said["labels"], len(said["boxes"])) == (drawn["id"], ["Left"], 24)
    assert said["keyframes"] < 24
    seen = [CLIP.masks[1][frame].sum() > 0.8 * CLIP.masks[1][0].sum() for frame in range(24)]
    for frame in range(24):
        if not CLIP.masks[1][frame].any():
            assert said["boxes"][frame] is None
        elif seen[frame]:
            box = said["boxes"][frame]
            corners = np.array([box["x"] * 3.2, box["y"] * 1.8, box["width"] * 3.2, box["height"] * 1.8])
            corners[2:] += corners[:2]
            assert np.abs(corners - CLIP.box(1, frame)).max() < 8, frame
    assert said["boxes"][0] is not None
    assert said["boxes"][-1] is not None
    assert None in said["boxes"]


def open_video_task(page, url, project, task):
    page.goto(f"{url}/projects/{project}/data?task={task}", wait_until="domcontentloaded")
    page.wait_for_function(LOADED)


def draw_box(page, box):
    """Draw a box, in pixels of the video, on the frame that is shown."""
    page.keyboard.press("1")
    canvas = page.locator(".konvajs-content canvas").first.bounding_box()
    # The video lies in the middle of the canvas.
    shown = page.evaluate("""() => {
        const player = Htx.annotationStore.selected.objects[0].ref.current;
        return [player.videoDimensions.width, player.videoDimensions.height, player.zoom];
    }""")
    height, width = CLIP.frames.shape[1:3]
    zoom = shown[2]
    left = canvas["x"] + (canvas["width"] - width * zoom) / 2
    top = canvas["y"] + (canvas["height"] - height * zoom) / 2
    page.mouse.move(left + box[0] * zoom, top + box[1] * zoom)
    page.mouse.down()
    page.mouse.move(left + (box[0] + box[2]) / 2 * zoom, top + (box[1] + box[3]) / 2 * zoom, steps=3)
    page.mouse.move(left + box[2] * zoom, top + box[3] * zoom, steps=3)
    page.mouse.up()
