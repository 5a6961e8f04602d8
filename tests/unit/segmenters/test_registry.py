"""Names of models, and what is said when one cannot be had."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend import extras
from sam_backend.errors import MissingExtraError, UnknownModelError, WeightsError
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.registry import known_models, load_segmenter, model_info
from sam_inspect.main import app


@pytest.fixture(autouse=True)
def weights_folder(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAM_INSPECT_WEIGHTS", str(folder))
    return folder


def without_torch(package):
    return None if package == "torch" else package


def test_every_known_model_is_described():
    names = [model.name for model in known_models()]
    assert names == ["nano", "sam:vit_b", "sam:vit_l", "sam:vit_h", "grabcut"]
    assert all(model.description and model.licence for model in known_models())
    assert [model.name for model in known_models() if model.files] == ["sam:vit_b", "sam:vit_l", "sam:vit_h"]


def test_an_unknown_model_is_told_with_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownModelError) as caught:
        load_segmenter("vit_b")
    assert str(caught.value) == (
        "There is no model 'vit_b'; the known ones are nano, sam:vit_b, sam:vit_l, sam:vit_h, grabcut; "
        "did you mean sam:vit_b?"
    )


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(UnknownModelError, match=r"grabcut\.$"):
        model_info("zzz")


def test_official_models_without_torch_say_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", without_torch)
    with pytest.raises(MissingExtraError, match=r"sam:vit_b needs torch, .* pip install 'sam-inspect\[torch\]'$"):
        load_segmenter("sam:vit_b")


def test_a_model_without_weights_is_loaded():
    assert load_segmenter("grabcut").name == "grabcut"


def test_a_checkpoint_for_a_model_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="grabcut has no weights"):
        load_segmenter("grabcut", tmp_path)


@needs_torch
def test_a_checkpoint_given_for_a_model_is_looked_for_there_alone(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file .*mine\.pth"):
        load_segmenter("sam:vit_b", tmp_path / "mine.pth")


def test_the_table_says_of_each_model_what_is_here_and_what_to_do(weights_folder, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", without_torch)
    path = weights_folder / "sam_vit_b_01ec64.pth"
    path.touch()
    result = CliRunner().invoke(app, ["models"], env={"COLUMNS": "300"})
    rows = result.output.splitlines()
    assert any("sam:vit_b" in row and str(path) in row for row in rows)
    assert any("sam:vit_l" in row and "1,250 MB: sam-inspect download sam:vit_l" in row for row in rows)
    assert any("nano" in row and "nothing to download" in row for row in rows)
    assert result.output.count("pip install 'sam-inspect[torch]'") == 3


def test_download_has_nothing_to_do_for_a_model_in_the_package():
    result = CliRunner().invoke(app, ["download", "nano"])
    assert (result.exit_code, result.output) == (0, "nano needs no download.\n")


def test_download_prints_where_a_file_is_that_is_here_already(weights_folder, monkeypatch):
    path = weights_folder / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    info = OWN["sam:vit_b"]
    monkeypatch.setitem(OWN, info.name, replace(info, files=(replace(info.files[0], size=0, sha256=empty),)))
    result = CliRunner().invoke(app, ["download", "sam:vit_b"])
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
