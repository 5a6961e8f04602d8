"""Names of models, the models of other packages, and the messages for models that cannot be used."""

import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from marks import needs_torch
from sam_backend import extras
from sam_backend.errors import MissingExtraError, UnknownModelError, WeightsError
from sam_backend.segmenters import ModelInfo, model_registry
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.hub_entries import HUB_MODELS
from sam_backend.segmenters.model_registry import known_models, load_segmenter, model_info
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
    hub = [info.name for info in HUB_MODELS]
    assert names == ["nano", "sam:vit_b", "sam:vit_l", "sam:vit_h", "mobilesam", *hub, "grabcut"]
    assert all(model.description and model.licence for model in known_models())
    assert [model.name for model in known_models() if not model.weights] == ["nano", "grabcut"]


def test_a_model_with_a_licence_of_its_own_asks_before_it_is_downloaded(tmp_path):
    environment = {"SAM_INSPECT_CACHE": str(tmp_path), "SAM_INSPECT_MIRROR": "http://127.0.0.1:1"}
    asked = CliRunner().invoke(app, ["download", "sam3"], env=environment)
    assert "sam3 is not here and has a licence of its own: read it on https://huggingface.co/facebook/sam3" in str(
        asked.exception
    )
    accepted = CliRunner().invoke(app, ["download", "sam3", "--accept-licence"], env=environment)
    assert "Cannot download http://127.0.0.1:1/facebook/sam3/resolve/main/config.json" in str(accepted.exception)


class EntryPoint:
    """An entry point of a package; its object is what loading gives, or the error that it raises."""

    def __init__(self, name, registered):
        self.name, self.value, self.registered = name, f"package:{name}", registered

    def load(self):
        if isinstance(self.registered, Exception):
            raise self.registered
        return self.registered


@pytest.fixture
def register(monkeypatch):
    """Return a function that registers models of other packages."""

    def register(**registered):
        points = [EntryPoint(name, value) for name, value in registered.items()]
        monkeypatch.setattr(
            model_registry, "entry_points", lambda group: points if group == model_registry.ENTRY_POINTS else []
        )
        model_registry._of_packages.cache_clear()

    yield register
    model_registry._of_packages.cache_clear()


def info_of(name):
    return ModelInfo(name, "A model of a package.", "MIT", lambda *_: f"the segmenter {name}")


def test_models_of_packages_come_last_and_are_loaded_by_name(register):
    register(one=info_of("mine:one"), two=lambda: info_of("mine:two"))
    assert [info.name for info in known_models()][-3:] == ["grabcut", "mine:one", "mine:two"]
    assert load_segmenter("mine:two")._segmenter == "the segmenter mine:two"
    output = CliRunner().invoke(app, ["models"], env={"COLUMNS": "300"}).output
    assert any("mine:one" in row and "nothing to download" in row for row in output.splitlines())


def test_a_package_that_fails_is_logged_and_left_out(register, caplog):
    register(
        broken=ImportError("no module tensor"), wrong=lambda: "a string", taken=info_of("nano"), fine=info_of("fine")
    )
    assert [info.name for info in known_models()][len(OWN) :] == ["fine"]
    assert "The model broken of package:broken cannot be used: no module tensor" in caplog.text
    assert "The model wrong of package:wrong cannot be used: it gives str, not ModelInfo" in caplog.text
    assert "The model nano of package:taken is left out: the name is taken." in caplog.text


def test_the_list_of_models_imports_no_model():
    heavy = ("cv2", "scipy", "onnxruntime", "torch", "pycocotools", "httpx")
    code = (
        "import sys; from sam_backend.segmenters.model_registry import known_models; known_models(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_an_unknown_model_is_reported_with_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownModelError) as caught:
        load_segmenter("sam_vit_b")
    assert str(caught.value) == (
        f"There is no model 'sam_vit_b'; the known ones are {', '.join(OWN)}; did you mean sam:vit_b?"
    )


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(UnknownModelError, match=r"grabcut\.$"):
        model_info("zzz")


def test_official_models_without_torch_say_what_to_install(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", without_torch)
    with pytest.raises(MissingExtraError, match=r"sam:vit_b needs torch, .* pip install 'sam-inspect\[torch\]'$"):
        load_segmenter("sam:vit_b")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("mobilesam", "timm", "torch"),
        ("sam:vit_b", "segment_anything", "torch"),
        ("slimsam", "transformers", "transformers"),
        ("hq:vit_l", "transformers", "transformers"),
        ("sam2.1:small", "torchvision", "transformers"),
        ("edgetam", "timm", "transformers"),
        ("sam3", "transformers", "transformers"),
    ],
)
def test_of_each_family_a_missing_package_is_named_with_its_extra(monkeypatch, name, package, extra):
    monkeypatch.setattr(extras, "find_spec", lambda asked: None if asked == package else asked)
    with pytest.raises(
        MissingExtraError, match=rf"^{name} needs {package}, not installed .* 'sam-inspect\[{extra}\]'$"
    ):
        load_segmenter(name)


def test_a_model_without_weights_is_loaded():
    assert load_segmenter("grabcut").name == "grabcut"


def test_a_checkpoint_for_a_model_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="grabcut has no weights"):
        load_segmenter("grabcut", tmp_path)


@needs_torch
def test_a_checkpoint_given_for_a_model_is_searched_only_there(tmp_path):
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
    assert result.output.count("pip install 'sam-inspect[torch]'") == 4


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
