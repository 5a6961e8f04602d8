import pytest

from sam_backend.errors import reason_phrase
from sam_backend.safe_text import escape_unprintable, mask_secrets, safe_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://b.s3/x.png?X-Amz-Signature=abc&X-Amz-Date=1", "https://b.s3/x.png?X-Amz-Signature=***&X-Amz-Date=1"),
        ("/x?a=1&sig=ab%2Fc&se=2", "/x?a=1&sig=***&se=2"),
        ("/x?token=abc 404", "/x?token=*** 404"),
        ("/x?access_token=abc", "/x?access_token=***"),
        ("/presign?u=https%3A%2F%2Fh%3Fsig%3Dabc", "/presign?u=https%3A%2F%2Fh%3Fsig%3D***"),
        ("https://me:secret@host/x", "https://***@host/x"),
        ("https://me:sec/re?t@host/x", "https://***@host/x"),
        ("https:me:secret@host/x", "https:***@host/x"),
        ("https://host:8080/x@2.png", "https://host:8080/x@2.png"),
        ("Token 0123456789abcdef0123456789abcdef01234567", "Token ***"),
        ("no eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6MX0.abc here", "no *** here"),
        ("Token of a project", "Token of a project"),
        ("https://host/x.png?file=a.png", "https://host/x.png?file=a.png"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_secrets_are_masked_and_the_rest_stays(text, expected):
    assert mask_secrets(text) == expected


@pytest.mark.parametrize(
    "letter", ["\n", "\r", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ud800", "\U000e0001"]
)
def test_a_letter_that_cannot_be_printed_is_escaped(letter):
    shown = safe_line(f"a{letter}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


def test_kept_letters_stay():
    assert escape_unprintable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("sentence", ["x" * 499 + " y", "x" * 600, "a\nb", "ä\x1b€", " ", ""])
def test_a_reason_phrase_is_one_line_without_spaces_at_its_ends(sentence):
    phrase = reason_phrase(sentence)
    assert phrase == phrase.strip()
    assert len(phrase) <= 500
    assert phrase.isprintable()
