import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--images", "nowhere"], "sam-inspect: nowhere should be a folder with images; there is no such folder."),
        (["--model", "nanno"], "did you mean nano?"),
    ],
    ids=["folder", "model"],
)
def test_a_mistake_is_one_sentence_before_anything_is_started(tmp_path, options, sentence):
    command = [sys.executable, "-m", "sam_inspect", "demo", "--home", str(tmp_path / "home"), *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"{sentence}\n")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()
