"""Images of a real Label Studio's cloud storage: fetched through it, or read from the store itself."""

import pytest

from object_stores import KEYS
from project_steps import ask, sam_inspect
from sam_backend.demo.project import built_in_images
from sam_backend.labelstudio.config_writer import write_config

PIPELINE = """
[[step]]
use = "everything"

[[step]]
use = "filter"
limit = 1

[[step]]
use = "relabel"
names = {}
others = "Stain"
"""


@pytest.fixture
def project(stack, home, moto, s3):
    """A project whose only task has its image in a bucket."""
    s3.put("line/a.png", next(iter(built_in_images(home).files)).read_bytes())
    number = stack.api.create_project("Store", f"images in {s3.name}", write_config(["Stain"]))
    storage = {"project": number, "bucket": s3.name, "prefix": "line", "use_blob_urls": True, "s3_endpoint": moto}
    keys = {name.lower(): KEYS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    region = {"region_name": KEYS["AWS_DEFAULT_REGION"]}
    made = ask(stack, "POST", "/api/storages/s3/", json=storage | keys | region)
    ask(stack, "POST", f"/api/storages/s3/{made['id']}/sync")
    stack.api.connect_backend(number, stack.backend_url, "SAM Inspect")
    return number


def test_both_ways_to_an_image_give_the_same_masks(project, stack, home, moto, s3, tmp_path, monkeypatch):
    file = tmp_path / "line.toml"
    file.write_text(PIPELINE)
    (task,) = ask(stack, "GET", f"/api/projects/{project}/tasks/")
    assert task["data"] == {"image": f"{s3.address}/line/a.png"}
    masks = []
    for name, value in (("ALLOW_HOST", moto.removeprefix("http://")), ("STORES", f"{s3.address}/line")):
        with monkeypatch.context() as patch:
            patch.setenv(f"SAM_INSPECT_{name}", value)
            patch.setenv("SAM_INSPECT_CACHE", str(tmp_path / name))
            printed = sam_inspect(home, stack, "preannotate", "--project", str(project), "--pipeline", str(file))
        assert "1 task has a prediction, with 1 mask in all" in printed
        (prediction,) = ask(stack, "GET", f"/api/tasks/{task['id']}/")["predictions"]
        masks.append([region["value"] for region in prediction["result"]])
    assert masks[0] == masks[1]
