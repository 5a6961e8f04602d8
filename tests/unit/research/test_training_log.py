"""The log of a training."""

from __future__ import annotations

from pathlib import Path

from sam_research.training_log import append, read


def test_what_was_logged_beyond_the_checkpoint_and_a_line_that_was_cut_off_count_no_more(tmp_path: Path) -> None:
    log = tmp_path / "out" / "log.jsonl"
    assert read(log) == []
    for step in (10, 20, 30):
        append(log, {"step": step, "loss": 1.0})
    append(log, {"step": 15, "loss": 0.5})
    with log.open("a") as file:
        file.write('{"step": 25, "lo')
    assert [(line["step"], line["loss"]) for line in read(log)] == [(10, 1.0), (15, 0.5)]
