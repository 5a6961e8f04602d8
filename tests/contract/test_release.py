"""Wheel and sdist: each is installed alone and does the main jobs, the wheel on every Python that is there."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests

from label_studio_requests import CONFIG, PROJECT, click, defect_image, interactive, png
from ports import own_port
from sam_backend.demo.processes import running
from sam_backend.labelstudio.rle import decode_rle

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "backend" / "sam_backend", ROOT / "evaluation" / "sam_evaluation", ROOT / "cli" / "sam_inspect"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PYTHONS = ["3.11", "3.12", "3.13"]
UV = Path(sys.executable).with_name("uv")


def python(minor: str) -> Path:
    """Return a Python of that version of this machine: the one that runs the tests, one on the PATH, or pyenv's."""
    here = "{}.{}".format(*sys.version_info[:2])
    named = [Path(found)] if (found := shutil.which(f"python{minor}")) else []
    for path in (
        [Path(sys.executable)] * (minor == here)
        + named
        + sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"))
    ):
        if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"Python {minor} is not on this machine")


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment(cwd), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def environment(folder: Path) -> dict[str, str]:
    """A user's: nothing of the checkout can be imported, no setting is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SAM_INSPECT_"))}
    return kept | {"SAM_INSPECT_HOME": str(folder / "home"), "SAM_INSPECT_CACHE": str(folder / "cache")}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the sdist of a clean tree, and the wheel that is made from the sdist."""
    folder = tmp_path_factory.mktemp("built")
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "site", "*.egg-info", "__pycache__", "test-artifacts")
    shutil.copytree(ROOT, folder / "tree", ignore=unwanted)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "tree", cwd=folder)
    return folder


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages_and_no_other(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    ours = {
        str(path.relative_to(package.parent))
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert f"sam_inspect-{VERSION}.dist-info/licenses/LICENSE" in names


@pytest.mark.slow
def test_the_sdist_has_the_licence_and_no_files_of_a_developer(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2].partition("/")[0] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert {name for name in names if name.startswith(".")} == set()


@pytest.mark.slow
@pytest.mark.parametrize(("minor", "kind"), [*((minor, "*.whl") for minor in PYTHONS), (PYTHONS[0], "*.tar.gz")])
def test_what_is_installed_alone_serves_segments_and_measures(built, tmp_path, minor, kind):
    (package,) = built.glob(kind)
    own = tmp_path / "environment"
    run(UV, "venv", "--quiet", "--python", python(minor), own, cwd=tmp_path)
    install = [UV, "pip", "install", "--quiet", "--python", own / "bin" / "python"]
    run(*install, package, cwd=tmp_path)
    command = own / "bin" / "sam-inspect"

    assert run(command, "--version", cwd=tmp_path).stdout == f"{VERSION}\n"
    images = tmp_path / "set" / "images"
    images.mkdir(parents=True)
    (images / "plate.png").write_bytes(png(defect_image().repeat(8, 0).repeat(8, 1)))
    run(command, "everything", "--images", images, "--out", tmp_path / "found", cwd=tmp_path)
    assert (tmp_path / "found" / "everything.json").is_file()
    assert clicked_pixels(command, tmp_path) > 0

    run(*install, f"{package}[evaluation]", cwd=tmp_path)
    masks = tmp_path / "set" / "masks"
    masks.mkdir()
    (masks / "plate.png").write_bytes(png(np.uint8(255) * (defect_image() == 200).repeat(8, 0).repeat(8, 1)))
    run(command, "evaluate", "--data", f"masks:{images.parent}", "--out", tmp_path / "run", cwd=tmp_path)
    assert (tmp_path / "run" / "report.html").is_file()


def clicked_pixels(command: Path, folder: Path) -> int:
    """Return the pixels of the mask that the installed service answers to a click, as Label Studio sends it."""
    url = f"http://127.0.0.1:{(port := own_port(19390))}"

    def is_ready() -> bool:
        try:
            return requests.get(f"{url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    serve = [str(command), "serve", "--port", str(port)]
    with running("serve", serve, environment=environment(folder), log=folder / "log", is_ready=is_ready, timeout=120):
        setup = {"project": PROJECT, "schema": CONFIG, "hostname": "", "access_token": "", "extra_params": None}
        requests.post(f"{url}/setup", json=setup, timeout=60).raise_for_status()
        answer = requests.post(f"{url}/predict", json=interactive(click(25, 15)), timeout=60)
    (region,) = answer.json()["results"][0]["result"]
    value = region["value"]
    return int(decode_rle(value["rle"], (region["original_height"], region["original_width"])).sum())
