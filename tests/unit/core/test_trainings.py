"""START_TRAINING starts a process of its own, one at a time; `/status` reports its progress."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_requests import PROJECT
from sam_backend import extras
from sam_backend.core import trainings
from sam_backend.core.trainings import Trainings
from sam_backend.finetune.training_status import RUNNING, TrainingStatus, write_status
from threshold_segmenter import ThresholdSegmenter


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


@pytest.fixture
def client(make_client):
    segmenter = ThresholdSegmenter()
    segmenter.name = "nano"
    return make_client(segmenter)


def start(client):
    return client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 3}}).json()


def test_label_studios_own_request_starts_a_training_of_its_project(client, commands, tmp_path):
    project = {"id": 1, "title": "tile", "created_at": "2026-11-23T05:20:01.714782Z", "label_config": "<View/>"}
    answer = client.post("/webhook", json={"action": "START_TRAINING", "project": project}).json()
    assert (answer["status"], answer["action"]) == ("started", "START_TRAINING")
    ((command, environment),) = commands[0]
    assert command[1:] == ["-m", "sam_inspect", "finetune", "--project", PROJECT, "--model", "nano"]
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


def test_status_shows_a_training_as_soon_as_it_is_started(client, commands):
    answer = client.get("/status").json()
    assert answer == {"model_version": "threshold-1", "training": None, "problems": [], "memory": {}}
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
    write_status(tmp_path / "home" / "finetune" / "nano-project-3", status)
    training = client.get("/status").json()["training"]
    assert (training["step"], training["steps"], training["click"]) == (5, 10, 0.6)


def test_a_model_that_is_not_trainable_is_refused(make_settings):
    assert Trainings(make_settings(), "grabcut").start("3") == (False, "grabcut cannot be trained.")


def test_missing_packages_for_training_are_named(make_settings, monkeypatch):
    monkeypatch.setattr(extras, "missing_packages", lambda packages: ("torch",))
    started, message = Trainings(make_settings(), "nano").start("3")
    assert not started
    assert "needs torch" in message
