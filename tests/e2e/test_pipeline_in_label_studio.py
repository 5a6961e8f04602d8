"""A pipeline's masks in a real Label Studio: written by preannotate, shown by the labeling page."""

from project_steps import ask, sam_inspect
from sam_backend.labelstudio.config_writer import write_config

PIPELINE = """
[[step]]
use = "everything"

[[step]]
use = "filter"
max_area_share = 0.2
limit = 1

[[step]]
use = "refine"

[[step]]
use = "relabel"
names = {}
others = "Stain"
"""


def test_the_masks_of_a_pipeline_are_shown_with_its_label(stack, home, labeling, tmp_path):
    number = stack.api.create_project("Pipeline", f"pipeline of {tmp_path}", write_config(["Stain"]))
    stack.api.create_tasks(number, [{"image": stack.tasks[0].image}])
    stack.api.connect_backend(number, stack.backend_url, "SAM Inspect")
    (task,) = stack.api.tasks(number)
    file = tmp_path / "line.toml"
    file.write_text(PIPELINE)
    printed = sam_inspect(home, stack, "preannotate", "--project", str(number), "--pipeline", str(file))
    assert "1 task has a prediction, with 1 mask in all" in printed
    (prediction,) = ask(stack, "GET", f"/api/tasks/{task.id}/")["predictions"]
    assert [region["value"]["brushlabels"] for region in prediction["result"]] == [["Stain"]]
    assert labeling.labels_of_regions(number, task.id, 1) == ["Stain"]
