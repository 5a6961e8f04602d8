import sys

import numpy as np
import pytest

from mask_files import save
from sam_backend.errors import SamInspectError
from sam_inspect.main import main
from sam_inspect.output import print_error


def test_a_printed_error_shows_no_secret_and_sends_nothing_to_the_terminal(capsys):
    print_error(SamInspectError("No image at https://a:b@host/x?sig=c \x1b[2J"))
    assert capsys.readouterr().err == "sam-inspect: No image at https://***@host/x?sig=*** \\x1b[2J\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export --data coco:x --to yolo-seg --out s3://a/b", "--out takes a file or a folder of this machine"),
        ("memory show --project 3 --checkpoint gs://a/b", "--checkpoint takes a file or a folder of this machine"),
        ("everything --images x --out foo://a/b", "foo://a/b cannot be used: Protocol not known: foo."),
        ("compare s3://key:hidden@a/b c", "The address s3://***@a/b has a password in it"),
    ],
)
def test_an_address_that_a_command_cannot_take_is_one_sentence(words, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sam-inspect", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"sam-inspect: {said}")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate --model boxfill --protocol box", "gap --models boxfill --protocol box"])
def test_a_folder_that_cannot_be_written_is_one_sentence(command, capsys, monkeypatch, tmp_path):
    save(tmp_path / "data/images/a.png", np.zeros((9, 9, 3), np.uint8))
    save(tmp_path / "data/masks/a.png", np.full((9, 9), 255, np.uint8))
    file = tmp_path / "a file"
    file.touch()
    words = [*command.split(), "--data", f"masks:{tmp_path / 'data'}", "--out", str(file)]
    monkeypatch.setattr(sys, "argv", ["sam-inspect", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"sam-inspect: {file}: File exists; something else has this name" in capsys.readouterr().err
