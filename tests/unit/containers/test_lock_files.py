"""The lock files of the images satisfy pyproject.toml, whole and with hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
WANTED = {
    "cpu": PROJECT["project"]["dependencies"] + EXTRAS["tracing"],
    "cuda": PROJECT["project"]["dependencies"]
    + [one for extra in ("evaluation", "torch", "transformers", "video", "tracing") for one in EXTRAS[extra]],
    "build": PROJECT["build-system"]["requires"],
}


def locked(name):
    """Return the requirements of a lock file, each with its hashes."""
    text = (ROOT / "docker" / f"{name}.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = []
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        found.append((Requirement(requirement), hashes))
    return found


def key(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_file_satisfies_the_project(name):
    pins = locked(name)
    for text in WANTED[name]:
        wanted = Requirement(text)
        versions = [next(iter(pin.specifier)).version for pin, _ in pins if key(pin.name) == key(wanted.name)]
        assert versions, f"{wanted.name} is not locked; run make lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{text}: {versions}; run make lock"


@pytest.mark.parametrize("name", WANTED)
def test_everything_in_a_lock_file_is_pinned_with_hashes(name):
    for pin, hashes in locked(name):
        assert [one.operator for one in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), pin


def test_the_images_have_the_same_versions_of_what_they_share():
    cpu, cuda = (
        {(key(pin.name), str(pin.marker)): pin.specifier for pin, _ in locked(name)} for name in ("cpu", "cuda")
    )
    assert {name: cuda[name] for name in cpu} == cpu


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_file_names_no_server(name):
    assert not re.search(r"://|--(extra-)?index-url|--find-links|@ ", (ROOT / "docker" / f"{name}.lock").read_text())
