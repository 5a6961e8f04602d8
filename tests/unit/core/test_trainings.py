"""START_TRAINING starts a process of its own, one at a time; `/status` reports its progress."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from label_studio_requests import PROJECT
from sam_backend import extras
from sam_backend.core import trainings
from sam_backend.core.backend import assemble
from sam_backend.core.trainings import Trainings
from sam_backend.finetune.training_status import FINISHED, LOCK, RUNNING, TrainingStatus, write_status
from sam_backend.segmenters import ModelInfo, model_registry
from threshold_segmenter import SERVED_VERSION, ThresholdSegmenter


@pytest.fixture
def commands(monkeypatch):
    """Run a child that waits for its end instead of a training; return the commands that were asked for."""
    asked, children, popen = [], [], subprocess.Popen

    def begin(command, **options):
        asked.append((command, options["env"]))
        child = popen(
            [sys.executable, "-c", "import sys; print('No such project.'); sys.exit(sys.stdin.readline() != '')"],
            **{**options, "stdin": subprocess.PIPE},
        )
        children.append(child)
        return child

    monkeypatch.setattr(trainings.subprocess, "Popen", begin)
    monkeypatch.setattr(trainings, "require_training", lambda user: None)
    asked_and_children = (asked, children)
    yield asked_and_children
    for child in children:
        child.stdin.close()
        child.wait()


def nano():
    segmenter = ThresholdSegmenter()
    segmenter.name = "nano"
    return segmenter


@pytest.fixture
def client(make_client):
    return make_client(nano())


def start(client):
    return client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 3}}).json()


def test_label_studios_own_request_starts_a_training_of_its_project(client, commands, tmp_path):
    project = {"id": 1, "title": "tile", "created_at": "2026-11-23T05:20:01.714782Z", "label_config": "<View/>"}
    answer = client.post("/webhook", json={"action": "START_TRAINING", "project": project}).json()
    assert (answer["status"], answer["action"]) == ("started", "START_TRAINING")
    ((command, environment),) = commands[0]
    assert command[1:] == [
        "-P",
        "-m",
        "sam_inspect",
        "finetune",
        "--proposer",
        "--refiner",
        "--project",
        PROJECT,
        "--model",
        "nano",
    ]
    assert environment["SAM_INSPECT_HOME"] == str(tmp_path / "home")


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="needs Linux with autogroups")
def test_a_training_has_a_lower_priority_than_the_service(client, commands):
    start(client)
    (child,) = commands[1]
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 10
    assert Path(f"/proc/{child.pid}/autogroup").read_text().endswith("nice 10\n")


def test_a_second_training_waits_for_the_first(client, commands):
    assert start(client)["status"] == "started"
    again = start(client)
    assert again["status"] == "ignored"
    assert "running already" in again["message"]
    assert len(commands[0]) == 1


def test_of_two_servers_on_one_home_folder_one_trains_at_a_time(make_client, commands):
    first, second = make_client(nano()), make_client(nano())
    assert start(first)["status"] == "started"
    # The process has written no status yet.
    again = start(second)
    assert again["status"] == "ignored"
    assert "running already" in again["message"]
    commands[1][0].communicate(b"end\n")
    assert start(second)["status"] == "started"
    assert start(first)["status"] == "ignored"


def test_status_shows_a_training_as_soon_as_it_is_started(client, commands):
    answer = client.get("/status").json()
    nothing = {"model_version": SERVED_VERSION, "training": None, "problems": [], "memory": {}}
    assert nothing.items() <= answer.items()
    start(client)
    training = client.get("/status").json()["training"]
    assert (training["state"], training["process"]) == ("running", commands[1][0].pid)


def test_status_shows_why_a_training_failed_at_its_start(client, commands):
    start(client)
    commands[1][0].communicate(b"end\n")
    training = client.get("/status").json()["training"]
    assert (training["state"], training["result"]) == ("failed", "No such project.")
    assert start(client)["status"] == "started"


def test_status_shows_the_progress_of_a_training_that_another_process_started(client, tmp_path):
    status = TrainingStatus(RUNNING, "Training", process=os.getpid(), step=5, steps=10, click=0.6)
    work = tmp_path / "home" / "finetune" / "nano-project-3"
    write_status(work, status)
    with FileLock(work / LOCK):
        training = client.get("/status").json()["training"]
    assert (training["state"], training["step"], training["steps"], training["click"]) == ("running", 5, 10, 0.6)


def test_a_training_of_another_process_is_not_failed_because_an_earlier_one_of_this_process_ended(
    client, commands, tmp_path
):
    start(client)
    commands[1][0].communicate(b"end\n")
    work = tmp_path / "home" / "finetune" / "nano-project-3"
    write_status(work, TrainingStatus(RUNNING, "Training", process=1, step=5))
    with FileLock(work / LOCK):
        training = client.get("/status").json()["training"]
        assert (training["state"], training["process"]) == ("running", 1)
        assert start(client)["status"] == "ignored"
    write_status(work, TrainingStatus(FINISHED, process=1, result="nano-0001 was promoted."))
    training = client.get("/status").json()["training"]
    assert (training["state"], training["result"]) == ("finished", "nano-0001 was promoted.")


def test_a_status_of_an_earlier_container_with_the_same_process_id_is_not_that_of_this_training(
    client, commands, tmp_path
):
    start(client)
    process = commands[1][0]
    work = tmp_path / "home" / "finetune" / "nano-project-3"
    write_status(work, TrainingStatus(RUNNING, "Training", process=process.pid, step=5))
    training = client.get("/status").json()["training"]
    assert (training["state"], training["step"]) == ("running", 0)


def test_a_model_that_is_not_trainable_is_refused(make_settings):
    started, message = Trainings(make_settings(), "grabcut").start("3")
    assert not started
    assert message.startswith("grabcut cannot be tuned; choose one of nano")


def test_a_trainable_model_of_another_package_is_not_tuned_as_an_official_sam(make_settings, monkeypatch):
    info = ModelInfo("mysam", "A model", "MIT", lambda *_: ThresholdSegmenter(), is_trainable=True)
    monkeypatch.setattr(model_registry, "_of_packages", lambda: (info,))
    started, message = Trainings(make_settings(), "mysam").start("3")
    assert not started
    assert "mysam comes from another package" in message


def test_a_server_with_a_checkpoint_of_its_own_starts_no_training(make_settings, tmp_path):
    started, message = Trainings(make_settings(), "nano", tmp_path / "mine").start("3")
    assert not started
    assert f"serves {tmp_path / 'mine'}, given with --checkpoint" in message
    assert "without --checkpoint" in message


def test_the_checkpoint_of_a_server_reaches_its_trainings(make_settings, tmp_path):
    backend = assemble("nano", make_settings(), checkpoint=tmp_path / "mine")
    assert "--checkpoint" in backend.trainings.start("3")[1]


def test_a_training_that_cannot_be_started_says_why(client, commands, tmp_path):
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "finetune").write_text("a file")
    answer = start(client)
    assert answer["status"] == "ignored"
    assert "remove or rename it" in answer["message"]


def test_missing_packages_for_training_are_named(make_settings, monkeypatch):
    monkeypatch.setattr(extras, "missing_packages", lambda packages: ("torch",))
    started, message = Trainings(make_settings(), "nano").start("3")
    assert not started
    assert "needs torch" in message


def test_no_proposer_is_trained_beside_a_model_without_features(make_settings, commands):
    started, message = Trainings(make_settings(), "grabcut").start_proposer(PROJECT)
    assert not started
    assert message.startswith("No proposer is trained beside grabcut")
    assert commands[0] == []
    assert Trainings(make_settings(), "nano").start_proposer(PROJECT)[0]
    assert commands[0][0][0][4:] == ["train-proposer", "--project", PROJECT, "--model", "nano"]


def test_no_refiner_is_tuned_for_a_model_that_corrects_its_own_answers(make_settings, commands):
    started, message = Trainings(make_settings(), "sam:vit_b").start_refiner(PROJECT)
    assert not started
    assert message.startswith("sam:vit_b corrects its own answers")
    assert commands[0] == []
    assert Trainings(make_settings(), "nano").start_refiner(PROJECT)[0]
    assert commands[0][0][0][4:] == ["tune-refiner", "--project", PROJECT, "--model", "nano"]
