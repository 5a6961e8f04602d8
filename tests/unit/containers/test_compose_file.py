"""The compose file: what Docker Compose itself makes of it, without a container engine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sam_backend.demo.environment import REQUIREMENT
from sam_backend.demo.label_studio_process import Credentials, environment

DOCKER = Path(__file__).parents[3] / "docker"
SENTENCE = "run docker/make-env.sh first, it writes docker/.env with random passwords"


def _compose_command():
    own = Path(sys.executable).with_name("docker-compose")
    return str(own) if own.exists() else shutil.which("docker-compose")


needs_compose = pytest.mark.skipif(_compose_command() is None, reason="docker-compose is not installed")


@pytest.fixture
def folder(tmp_path):
    """The compose file and the script of the secrets, in a folder of the test's own."""
    for name in ("compose.yaml", "make-env.sh"):
        shutil.copy(DOCKER / name, tmp_path / name)
    return tmp_path


def make_env(folder, *options):
    return subprocess.run([folder / "make-env.sh", *options], capture_output=True, text=True, check=False)


def secrets_of(folder):
    lines = [line for line in (folder / ".env").read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def remove(folder, name):
    values = secrets_of(folder)
    del values[name]
    (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def compose(folder, *words):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "SAM_INSPECT_"))}
    command = [_compose_command(), *words]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def services(folder, *options):
    done = compose(folder, *options, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def test_secrets_are_random_and_their_owners_alone(folder, tmp_path_factory):
    assert make_env(folder).returncode == 0
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    other = tmp_path_factory.mktemp("other")
    shutil.copy(DOCKER / "make-env.sh", other)
    make_env(other)
    random = [name for name in secrets_of(folder) if name.endswith(("_PASSWORD", "_TOKEN"))]
    assert len(random) == 5
    assert all(secrets_of(folder)[name] != secrets_of(other)[name] for name in random)
    assert min(len(secrets_of(folder)[name]) for name in random) >= 18


def test_secrets_that_are_there_are_kept(folder):
    make_env(folder)
    before = (folder / ".env").read_text()
    again = make_env(folder)
    assert again.returncode == 1
    assert "is not changed" in again.stderr
    assert (folder / ".env").read_text() == before
    assert make_env(folder, "--cpu").returncode == 2


@needs_compose
def test_without_its_secrets_the_compose_file_says_in_one_line_what_to_do(folder):
    done = compose(folder, "config", "--quiet")
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith(SENTENCE)


@needs_compose
@pytest.mark.parametrize(
    "name",
    [
        *("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_TOKEN", "LABEL_STUDIO_USER"),
        *("POSTGRES_PASSWORD", "SAM_INSPECT_PASSWORD"),
    ],
)
def test_each_missing_secret_stops_it(folder, name):
    make_env(folder)
    remove(folder, name)
    done = compose(folder, "config", "--quiet")
    assert done.returncode != 0
    assert f"required variable {name} is missing a value: {SENTENCE}" in done.stderr


@needs_compose
def test_an_env_of_before_there_was_grafana_still_starts_everything(folder):
    make_env(folder, "--monitoring")
    remove(folder, "GRAFANA_PASSWORD")
    grafana = services(folder)["grafana"]["environment"]
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"] == secrets_of(folder)["SAM_INSPECT_PASSWORD"]


@needs_compose
def test_a_profile_chooses_the_processor_of_the_backend(folder):
    make_env(folder)
    assert set(services(folder)) == {"database", "label-studio", "backend", "example"}
    gpu = services(folder, "--profile", "gpu")
    assert set(gpu) == {"database", "label-studio", "backend-gpu"}
    (device,) = gpu["backend-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    (folder / ".env").unlink()
    make_env(folder, "--gpu")
    assert "backend-gpu" in services(folder)


@needs_compose
def test_each_service_knows_the_others_by_their_names_and_secrets(folder):
    make_env(folder)
    secrets, own = secrets_of(folder), services(folder)
    studio, backend, database = (own[name]["environment"] for name in ("label-studio", "backend", "database"))
    assert studio["POSTGRE_PASSWORD"] == database["POSTGRES_PASSWORD"] == secrets["POSTGRES_PASSWORD"]
    assert studio["POSTGRE_HOST"] == "database"
    assert (studio["POSTGRE_USER"], studio["POSTGRE_NAME"]) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert (
        studio["LABEL_STUDIO_USER_TOKEN"]
        == backend["SAM_INSPECT_LABEL_STUDIO_API_KEY"]
        == secrets["LABEL_STUDIO_TOKEN"]
    )
    assert backend["SAM_INSPECT_LABEL_STUDIO_URL"] == "http://label-studio:8080"
    assert own["example"]["environment"] == backend
    # Label Studio makes webhooks only to names with a dot.
    (alias,) = own["backend"]["networks"]["default"]["aliases"]
    assert "." in alias
    assert own["example"]["command"][-1] == f"http://{alias}:9090"


@needs_compose
def test_nothing_but_what_people_open_is_published_and_that_on_this_machine_alone(folder):
    make_env(folder)
    own = services(folder)
    published = {
        name: [(port["host_ip"], port["target"]) for port in one.get("ports", [])] for name, one in own.items()
    }
    assert published == {
        "database": [],
        "label-studio": [("127.0.0.1", 8080)],
        "backend": [("127.0.0.1", 9090)],
        "example": [],
    }
    assert list(own["database"]["networks"]) == ["database"]


def test_the_compose_file_starts_label_studio_as_the_demo_does():
    file = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    image, values = file["services"]["label-studio"]["image"], file["services"]["label-studio"]["environment"]
    assert image.partition(":")[2] == REQUIREMENT.partition("==")[2]
    demo = environment(Path("data"), Credentials("user", "password", "token"))
    for name in set(demo) - {"LABEL_STUDIO_BASE_DATA_DIR", "PYTHONUNBUFFERED"} - set(os.environ):
        assert name in values
        if demo[name] not in ("user", "password", "token"):
            assert values[name] == demo[name]


@needs_compose
def test_monitoring_brings_prometheus_with_the_password_and_grafana_on_this_machine_alone(folder):
    assert make_env(folder, "--monitoring").returncode == 0
    own, secrets = services(folder), secrets_of(folder)
    assert set(own) == {"database", "label-studio", "backend", "example", "prometheus", "grafana"}
    assert "ports" not in own["prometheus"]
    assert [(port["host_ip"], port["target"]) for port in own["grafana"]["ports"]] == [("127.0.0.1", 3000)]
    assert own["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == secrets["GRAFANA_PASSWORD"]
    (secret,) = own["prometheus"]["secrets"]
    scraped = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["basic_auth"]["password_file"] == f"/run/secrets/{secret['source']}"
    backend = own["backend"]
    assert scraped["basic_auth"]["username"] == backend["environment"]["SAM_INSPECT_BASIC_AUTH_USER"]
    (target,) = scraped["static_configs"][0]["targets"]
    assert target == f"{backend['networks']['default']['aliases'][0]}:9090"
    file = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert file["secrets"] == {secret["source"]: {"environment": "SAM_INSPECT_PASSWORD"}}
    for name in ("prometheus", "grafana"):
        places = [volume.split(":")[0] for volume in file["services"][name]["volumes"] if volume.startswith("./")]
        assert places
        assert all((DOCKER / place).exists() for place in places)
    source = yaml.safe_load((DOCKER / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_no_secret_stands_in_the_files():
    for file in DOCKER.rglob("*"):
        if file.is_file() and file.name != ".env" and file.suffix != ".lock":
            for line in file.read_text().splitlines():
                name, _, value = line.strip().partition(": ")
                if name.endswith(("PASSWORD", "PASS", "TOKEN", "API_KEY")):
                    assert value.startswith("${") or value == '"true"', line


def test_the_services_of_ours_may_do_nothing_else():
    file = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in ("backend", "backend-gpu", "example"):
        assert file[name]["read_only"] is True
        assert file[name]["cap_drop"] == ["ALL"]
        assert file[name]["security_opt"] == ["no-new-privileges:true"]
