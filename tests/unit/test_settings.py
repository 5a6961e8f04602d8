"""Settings from the environment, a settings file and defaults, in this order."""

import re
from pathlib import Path

import pytest
from diskcache import Cache
from pydantic import SecretStr

from sam_backend.errors import SamInspectError
from sam_backend.second_look import Focus
from sam_backend.settings import Settings, read_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a settings file and name it in the environment."""
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("SAM_INSPECT_SETTINGS", str(path))
    return lambda text: path.write_text(text) and path


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(write, monkeypatch):
    assert Settings().image_timeout == 10
    write("image_timeout = 5\nfocus = 'on'")
    monkeypatch.setenv("SAM_INSPECT_IMAGE_TIMEOUT", "7")
    assert (read_settings().image_timeout, read_settings().focus) == (7, Focus.ON)


def test_an_empty_variable_counts_as_missing(write, monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_HOME", "")
    monkeypatch.setenv("SAM_INSPECT_MODEL", "")
    write("model = 'grabcut'")
    assert read_settings().home != Path()
    assert read_settings().model == "grabcut"


def test_a_folder_of_this_machine_is_no_address(write, monkeypatch):
    write("weights = 's3://bucket/cache'")
    with pytest.raises(SamInspectError, match=r"weights is 's3://bucket/cache': .* not the address of a store"):
        read_settings()
    write("model = 'nano'")
    monkeypatch.setenv("SAM_INSPECT_CACHE", "s3://bucket/cache")
    with pytest.raises(SamInspectError, match=r"SAM_INSPECT_CACHE is 's3://bucket/cache': a path of this machine is"):
        read_settings()


def test_the_first_file_that_there_is_counts(tmp_path, monkeypatch):
    places = [
        tmp_path / name
        for name in ("given.toml", "named.toml", "sam-inspect.toml", "user/sam-inspect/sam-inspect.toml")
    ]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"model = '{path}'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("SAM_INSPECT_SETTINGS", str(places[1]))
    chosen = [read_settings(places[0]).model, read_settings().model]
    monkeypatch.delenv("SAM_INSPECT_SETTINGS")
    chosen.append(read_settings().model)
    places[2].unlink()
    chosen.append(read_settings().model)
    assert chosen == [str(path) for path in places]


def test_a_relative_path_counts_from_the_folder_of_the_file(write):
    path = write("weights = 'checkpoints'")
    assert read_settings().weights == path.parent / "checkpoints"
    write("weights = '~/checkpoints'")
    assert read_settings().weights == Path.home() / "checkpoints"


NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_too_large_is_refused(monkeypatch, name):
    for value in ("999999999999999999999", "9" * 5000):
        monkeypatch.setenv(f"SAM_INSPECT_{name.upper()}", value)
        with pytest.raises(SamInspectError, match=rf"SAM_INSPECT_{name.upper()} is '999") as error:
            read_settings()
        assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", [name for name in NUMBERS if name.endswith("_mb")])
def test_the_largest_size_is_one_that_an_index_takes(tmp_path, name):
    Cache(tmp_path, size_limit=getattr(Settings(**{name: 10**12}), name) * 2**20).close()


def test_a_wrong_value_is_told_with_its_variable(monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_IMAGE_TIMEOUT", "soon")
    with pytest.raises(SamInspectError, match="SAM_INSPECT_IMAGE_TIMEOUT is 'soon'"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_timeout = 'soon'", "{file}: image_timeout is 'soon': Input should be a valid number"),
        ("polygon_tolerance = -1", "{file}: polygon_tolerance is -1: Input should be greater than or equal to 0"),
        ("focus = 'sometimes'", "{file}: focus is 'sometimes': Input should be 'auto', 'on' or 'off'; set it right"),
        ("modle = 'nano'", "{file}: there is no setting 'modle'; the settings are model, weights"),
        ("modle = 'nano'", "did you mean model?"),
        ("model", "The settings file {file} is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_with_file_and_key(write, text, sentence):
    path = write(text)
    with pytest.raises(SamInspectError, match=re.escape(sentence.format(file=path))) as error:
        read_settings()
    assert "\n" not in str(error.value)


def test_a_file_that_is_named_and_missing_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_SETTINGS", str(tmp_path / "none.toml"))
    with pytest.raises(SamInspectError, match=r"none\.toml cannot be read \(No such file or directory\)"):
        read_settings()


def test_a_secret_is_never_shown(write):
    write("label_studio_api_key = 3735928559")
    with pytest.raises(SamInspectError, match="label_studio_api_key: Input should be a valid string") as error:
        read_settings()
    assert "3735928559" not in str(error.value)
    write("label_studio_api_key = 'deadbeef'")
    assert "deadbeef" not in repr(read_settings())


def test_a_child_process_gets_the_same_settings_by_its_environment(monkeypatch, tmp_path):
    given = Settings(
        model="grabcut", weights=tmp_path, focus=Focus.OFF, basic_auth_pass=SecretStr("secret"), image_timeout=3.5
    )
    for name, value in given.environment_of_child().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == given


def test_the_reference_page_lists_every_setting():
    rows = []
    for name, field in Settings.model_fields.items():
        if field.default_factory:
            default = f"the user's {'data' if name == 'home' else 'cache'} folder"
        else:
            default = "none" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name}` | `SAM_INSPECT_{name.upper()}` | {default} | {field.description} |")
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert written == rows, "the table should be:\n" + "\n".join(rows)
