"""The Dockerfile: its steps are executed, its service started as its user, without a container engine."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from container_image import build, can_build, instructions

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
# What python:*-slim of Debian has of its own.
LIBRARIES = (
    "ld-linux",
    "libc.",
    "libdl.",
    "libgcc_s.",
    "libm.",
    "libpthread.",
    "librt.",
    "libstdc++.",
    "libutil.",
    "libz.",
)
PASSWORD = {"SAM_INSPECT_BASIC_AUTH_USER": "label-studio", "SAM_INSPECT_BASIC_AUTH_PASS": "secret"}

built = pytest.mark.skipif(not can_build(), reason="overlays of this machine's root need root on Linux")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    work = tmp_path_factory.mktemp("image")
    yield build(DOCKERFILE, ROOT, "cpu", work)
    shutil.rmtree(work)


def test_hadolint_finds_nothing():
    own = Path(sys.executable).with_name("hadolint")
    command = str(own) if own.exists() else shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([command, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_images_are_made_by_the_same_steps():
    stages, name = {}, ""
    for instruction, rest in instructions(DOCKERFILE):
        if instruction == "FROM":
            name = rest.partition(" AS ")[2]
        stages.setdefault(name, []).append((instruction, rest.replace("cuda", "cpu")))
    assert stages["packages-cuda"] == stages["packages-cpu"]
    assert stages["cuda"][-1] == stages["cpu"][-1]
    assert stages["cuda"][-2] == ("USER", "10001:10001")


def test_only_what_the_steps_copy_is_sent_to_the_engine():
    first, *kept = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().split()
    assert first == "*"
    copied = {
        name
        for instruction, rest in instructions(DOCKERFILE)
        if instruction == "COPY" and not rest.startswith("--from=")
        for name in rest.split()[:-1]
    }
    locks = {name for name in copied if name.startswith("docker/") and name.endswith(".lock")}
    assert {f"!{name}" for name in copied - locks} | {"!docker/*.lock", "**/__pycache__"} == set(kept)


@built
@pytest.mark.slow
def test_the_image_has_the_locked_packages_and_ours_alone(image):
    script = "from importlib.metadata import distributions as d; [print(f'{o.name}=={o.version}') for o in d()]"
    names = image.run("python", "-c", script).stdout.split()
    locked = {}
    for line in (ROOT / "docker" / "cpu.lock").read_text().splitlines():
        if line[:1].isalnum():
            pin = Requirement(line.rstrip(" \\"))
            if pin.marker is None or pin.marker.evaluate():
                locked[pin.name] = next(iter(pin.specifier)).version
    found = {name.lower().replace("_", "-"): version for name, _, version in (one.partition("==") for one in names)}
    assert found.pop("sam-inspect")
    assert found == locked


@built
@pytest.mark.slow
def test_the_service_is_healthy_as_its_user_with_a_read_only_root(image):
    assert image.user == "10001:10001"
    start, healthy = shlex.join((*image.entrypoint, *image.command)), shlex.join(image.health)
    script = f"""
        {start} & service=$!
        tries=0
        until {healthy} 2>/dev/null; do
            tries=$((tries + 1)); kill -0 $service && [ $tries -lt 1000 ] || exit 1
            sleep 0.2
        done
        grep '^Uid' /proc/$service/status; kill $service; wait $service || echo ended $?
        {healthy} 2>/dev/null || echo unhealthy
        touch /opt/file 2>&1
    """
    done = image.run("sh", "-c", script, timeout=300, **PASSWORD)
    assert done.stdout.split("\n")[0].split()[1:] == ["10001"] * 4, done.stderr
    assert "ended 143" in done.stdout, done.stderr
    assert "unhealthy" in done.stdout
    assert "Read-only file system" in done.stdout
    assert "Traceback" not in done.stderr


@built
@pytest.mark.slow
def test_without_a_password_the_service_does_not_start(image):
    done = image.run(*image.entrypoint, *image.command)
    assert done.returncode == 1
    assert "so it needs a password" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@built
@pytest.mark.slow
def test_the_libraries_of_the_packages_are_in_a_slim_image(image):
    script = (
        "find /opt/sam-inspect -name '*.so*' -type f -exec ldd {} + 2>/dev/null"
        r" | sed -n 's/^\s*\(\S*\) => \/\(lib\|usr\).*/\1/p' | sort -u"
    )
    needed = image.run("sh", "-c", script).stdout.split()
    assert needed
    assert [name for name in needed if not name.startswith(LIBRARIES)] == []
