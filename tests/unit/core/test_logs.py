import json
import logging
import sys

import pytest

from sam_backend.core.logs import JsonFormatter, SafeFormatter
from sam_backend.core.observer import RequestNotes, noting


def record(message, *args, error=None):
    return logging.LogRecord("sam_backend", logging.WARNING, __file__, 1, message, args, error)


@pytest.mark.parametrize("letter", ["\n", "\r", "\x1b", "\x85", "\u2028", "\ud800"])
def test_an_argument_cannot_forge_a_line(letter):
    line = SafeFormatter("%(levelname)s %(message)s").format(record("address %s", f"x{letter}WARNING y"))
    assert line.isprintable()
    assert line.startswith("WARNING address x\\")


def test_a_traceback_is_indented_so_that_its_message_forges_no_line():
    try:
        raise KeyError("x") from ValueError("a\n2026-11-28 WARNING forged?sig=abcdef")
    except KeyError:
        text = SafeFormatter("%(message)s").format(record("failed", error=sys.exc_info()))
    first, *others = text.splitlines()
    assert first == "failed"
    assert all(line.startswith("    ") for line in others)
    assert "abcdef" not in text


def test_secrets_are_masked():
    line = SafeFormatter("%(message)s").format(record("GET %s", "https://a:b@host/x?X-Amz-Signature=c"))
    assert line == "GET https://***@host/x?X-Amz-Signature=***"


@pytest.mark.parametrize("letter", ["\n", "\r", "\x00", "\x1b", "\x85", "\u2028", "\ud800", '"', "ö"])
def test_a_structured_line_is_one_object_of_ascii_whatever_it_says(letter):
    hostile = record("address %s", f"x{letter}WARNING y")
    hostile.fields = {"path": f"/{letter}", "stages": {"total": 1.5}}
    line = JsonFormatter().format(hostile)
    assert line.isascii()
    assert line.isprintable()
    values = json.loads(line)
    assert values["message"].isprintable()
    assert values["path"].isprintable()
    assert (values["level"], values["stages"]["total"]) == ("WARNING", 1.5)


def test_a_structured_line_tells_its_time_in_utc():
    made = record("x")
    made.created = 1_795_922_689.7187
    assert json.loads(JsonFormatter().format(made))["time"] == "2026-11-29T03:24:49.718Z"


def test_a_traceback_is_a_field_without_secrets_and_control_characters():
    try:
        raise KeyError("x\x1b?sig=abcdef")
    except KeyError:
        values = json.loads(JsonFormatter().format(record("failed", error=sys.exc_info())))
    assert values["message"] == "failed"
    assert values["exception"].startswith("Traceback (most recent call last):\n")
    assert "\x1b" not in values["exception"]
    assert "abcdef" not in values["exception"]


def test_a_line_with_arguments_that_do_not_fit_is_written_all_the_same():
    assert json.loads(JsonFormatter().format(record("%d tasks", "three")))["message"].startswith("%d tasks (its")


def test_lines_within_a_request_have_its_id_and_its_task():
    with noting(RequestNotes(id="a1", project="3.1", task="7")):
        inside = json.loads(JsonFormatter().format(record("x")))
    outside = json.loads(JsonFormatter().format(record("x")))
    assert (inside["request_id"], inside["project"], inside["task"]) == ("a1", "3.1", "7")
    assert set(outside) == {"time", "level", "logger", "message"}
