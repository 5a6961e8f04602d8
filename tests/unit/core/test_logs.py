import logging
import sys

import pytest

from sam_backend.core.logs import SafeFormatter


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
