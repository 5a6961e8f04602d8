import socket

import numpy as np
import pytest
from label_studio_sdk import LabelStudio
from PIL import ExifTags, Image

from sam_backend.demo.demo_images import make_images
from sam_backend.demo.once import prompt_once
from sam_backend.demo.project import BACKEND_TITLE, import_images, open_project, user_images


def test_once_prompts_through_label_studio_and_prints_the_answers(demo_once):
    assert demo_once.returncode == 0, demo_once.stdout + demo_once.stderr
    assert "12 tasks are pre-annotated" in demo_once.stdout
    rows = [line.split("│")[1:-1] for line in demo_once.stdout.splitlines() if line.startswith("│")]
    prompts = {row[1].strip(): [float(cell.replace(",", "")) for cell in row[2:]] for row in rows}
    assert list(prompts) == ["first click", "next click", "box"]
    for area, predicted_iou, overlap, milliseconds in prompts.values():
        assert area > 0
        assert 0 <= predicted_iou <= 1
        assert overlap >= 0.4
        assert milliseconds > 0


def test_a_busy_port_is_reported_and_replaced(demo_interrupted):
    port = demo_interrupted.ports[0]
    assert port != demo_interrupted.busy
    assert f"http://localhost:{port}/projects/" in demo_interrupted.output


def test_ctrl_c_ends_the_demo_and_both_servers(demo_interrupted):
    assert demo_interrupted.code == 0, demo_interrupted.output
    for port in demo_interrupted.ports:
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", port))


def test_a_later_run_reuses_project_and_images_and_moves_the_connection(stack):
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    assert [project.id for project in client.projects.list() if project.title == "SAM Inspect"] == [stack.project]
    assert [task.data["name"] for task in client.tasks.list(project=stack.project)] == [
        image.name for image in make_images()
    ]
    (connection,) = client.ml.list(project=stack.project)
    assert (connection.url, connection.is_interactive, connection.state) == (stack.backend_url, True, "CO")
    assert [webhook.url for webhook in client.webhooks.list(project=stack.project)] == [f"{stack.backend_url}/webhook"]


def test_every_task_is_pre_annotated_by_the_running_model(stack):
    client = LabelStudio(base_url=stack.url, api_key=stack.credentials.token)
    (connection,) = client.ml.list(project=stack.project)
    for task in client.tasks.list(project=stack.project, fields="all"):
        assert [prediction.model_version for prediction in task.predictions] == [connection.model_version]


def test_a_rotated_image_of_the_user_is_prompted_as_it_is_shown(stack, tmp_path):
    pixels = np.full((120, 200, 3), 90, np.uint8)
    pixels[40:80, 60:140] = 220
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "part.jpg", exif=turned)

    source = user_images(tmp_path)
    project = open_project(stack.api, source)
    (task,) = import_images(stack.api, project, source, lambda *_: None)
    connection = stack.api.connect_backend(project, stack.backend_url, BACKEND_TITLE)
    rows = prompt_once(stack.api, connection, task, image=None, file=source.files[0])
    assert [row.prompt for row in rows] == ["first click", "next click", "box"]
    assert {row.answer.mask.shape for row in rows} == {(200, 120)}
