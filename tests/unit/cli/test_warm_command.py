"""`sam-inspect warm` encodes a folder, goes on where it stopped, and says what is ready."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from label_studio_requests import defect_image
from object_stores import Bucket
from sam_backend.errors import SamInspectError
from sam_inspect.main import app


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("warm",), "Give either --project or --images"),
        (("warm", "--project", "3", "--images", "a"), "Give either --project or --images"),
        (("warm", "--images", "nowhere"), "nowhere should be a folder with images"),
        (("warm", "--images", "memory://none"), "memory://none should be a folder with images"),
        (("warm", "--images", "."), ". holds no image; expected files that end in .png"),
    ],
    ids=["nothing", "both", "no folder", "no folder on a store", "an empty folder"],
)
def test_a_mistake_is_one_sentence(
    words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SamInspectError)
    assert str(result.exception).startswith(sentence)


def test_images_on_a_store_are_encoded_once(s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(defect_image()).save(tmp_path / "a.png")
    s3.put("line/more/a.png", (tmp_path / "a.png").read_bytes())
    s3.put("line/b.png", b"no image")
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    for encoded in (1, 0):
        result = CliRunner().invoke(app, ["warm", "--images", f"{s3.address}/line", "--model", "grabcut"])
        assert result.stdout == f"1 of 2 images are ready, {encoded} of them encoded now; 1 cannot be used.\n"


def test_a_folder_is_encoded_once(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "more/b.png", "more/same.png")):
        Image.fromarray(defect_image() + min(number, 1)).save(images / name)
    (images / "c.png").write_bytes(b"no image")
    own = {"SAM_INSPECT_HOME": str(tmp_path / "home"), "SAM_INSPECT_CACHE": str(tmp_path / "cache")}

    def warm(**settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sam_inspect", "warm", "--images", str(images), "--model", "grabcut"]
        environment = os.environ | own | settings
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    first, second = warm(), warm()
    assert first.stdout == "3 of 4 images are ready, 2 of them encoded now; 1 cannot be used.\n"
    assert "c.png" in first.stderr.replace("\n", "")
    assert second.stdout == "3 of 4 images are ready, 0 of them encoded now; 1 cannot be used.\n"
    off = warm(SAM_INSPECT_EMBEDDING_DISK_MB="0")
    assert off.returncode == 1
    assert "set SAM_INSPECT_EMBEDDING_DISK_MB" in off.stderr
