"""What the trainings of a project's parts share."""

from __future__ import annotations

from types import SimpleNamespace

from sam_backend.finetune import part_training
from sam_backend.finetune.part_training import step_reporter


def test_steps_are_reported_about_every_second_with_the_time_that_the_others_take(monkeypatch):
    clock, shown = [0.0], []
    monkeypatch.setattr(part_training, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    report = step_reporter(lambda **status: shown.append(status))
    # An interrupted training goes on with its fifth step.
    for step in range(5, 11):
        clock[0] += 0.6
        report(step, 10, f"loss {step}")
    assert [(status["step"], status["seconds_left"]) for status in shown] == [(6, 2), (8, 1), (10, 0)]
    assert shown[0]["doing"] == "loss 6"
