"""The Kubernetes manifest: its structure, and that it agrees with the image."""

import json
import re
from pathlib import Path

import pytest
import yaml

from container_image import instructions

DOCKER = Path(__file__).parents[3] / "docker"


@pytest.fixture
def objects():
    return {
        (one["kind"], one["metadata"]["name"]): one
        for one in yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text())
    }


@pytest.fixture
def pod(objects):
    return objects["Deployment", "sam-inspect"]["spec"]["template"]["spec"]


def test_every_object_fits_the_schemas_of_kubernetes(objects):
    validate = pytest.importorskip("kubernetes_validate").validate
    for one in objects.values():
        validate(one, "1.37", strict=True)


def test_volumes_selectors_and_ports_lead_to_what_is_there(objects, pod):
    (container,) = pod["containers"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
    for one in volumes.values():
        if claim := one.get("persistentVolumeClaim"):
            assert ("PersistentVolumeClaim", claim["claimName"]) in objects
    deployment, service = objects["Deployment", "sam-inspect"]["spec"], objects["Service", "sam-inspect"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    assert service["selector"].items() <= labels.items()
    names = {port["name"] for port in container["ports"]}
    assert {service["ports"][0]["targetPort"], container["readinessProbe"]["httpGet"]["port"]} <= names
    assert len({one["metadata"]["namespace"] for one in objects.values()}) == 1


def test_the_manifest_agrees_with_the_image(pod):
    steps = list(instructions(DOCKER / "Dockerfile"))
    (container,) = pod["containers"]
    health = next(rest for name, rest in steps if name == "HEALTHCHECK")
    assert container["startupProbe"]["exec"]["command"] == json.loads(health.partition(" CMD ")[2])
    places = json.loads(next(rest for name, rest in steps if name == "VOLUME"))
    assert set(places) <= {one["mountPath"] for one in container["volumeMounts"]}
    user = {rest for name, rest in steps if name == "USER"} - {"0:0"}
    assert user == {f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"}
    assert str(container["ports"][0]["containerPort"]) == next(rest for name, rest in steps if name == "EXPOSE")


def test_no_secret_stands_in_the_manifest(pod):
    for variable in pod["containers"][0]["env"]:
        if re.search("PASS|TOKEN|KEY", variable["name"]):
            assert list(variable["valueFrom"]) == ["secretKeyRef"]
