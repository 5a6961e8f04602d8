import json

import numpy as np
import pytest
from PIL import Image

from blob_images import write_blobs
from sam_backend.errors import BadRequestError
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.measured_models import check_model
from sam_evaluation.measured_pipeline import MeasuredPipeline
from sam_evaluation.run_plan import RunSettings
from sam_evaluation.runner import evaluate

NANO = [check_model("nano")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return folders of six accepted images and of two that are measured."""
    return [
        write_blobs(tmp_path_factory.mktemp(name), count, size=64, blob=(16, 20))
        for name, count in (("accepted", 6), ("parts", 2))
    ]


@pytest.fixture
def pipeline(tmp_path):
    def write(text):
        path = tmp_path / "line.toml"
        path.write_text(text)
        return path

    return write


def measured(file, data, out, examples=None, protocols="everything"):
    settings = RunSettings(protocols, pipeline=MeasuredPipeline.of(file, examples, 6))
    return evaluate(["nano"], [f"masks:{data}"], out=out, settings=settings)


def test_the_masks_of_a_pipeline_are_measured_in_place_of_the_models(folders, pipeline, tmp_path):
    every = measured(pipeline('[[step]]\nuse = "everything"\n'), folders[1], tmp_path / "every")
    none = measured(
        pipeline('[[step]]\nuse = "everything"\n[[step]]\nuse = "filter"\nmin_area = 4000\n'),
        folders[1],
        tmp_path / "none",
    )
    assert every.objects["iou"].min() > 0.5
    assert none.objects["iou"].max() == 0
    about = json.loads((tmp_path / "none" / "run.json").read_text())["settings"]["pipeline"]
    assert about["version"].startswith("line-")


def test_a_memory_follows_the_examples(folders, pipeline, tmp_path):
    file = pipeline('[[step]]\nuse = "memory"\n')
    run = measured(file, folders[1], tmp_path / "run", f"masks:{folders[0]}")
    assert run.objects["iou"].min() > 0.5
    # Classes count, since all masks have one: the same masks under another name find nothing.
    other = pipeline('[[step]]\nuse = "memory"\n[[step]]\nuse = "relabel"\nnames = {}\nothers = "pit"\n')
    assert measured(other, folders[1], tmp_path / "other", f"masks:{folders[0]}").objects["iou"].max() == 0


def test_what_does_not_go_together_is_one_sentence(folders, pipeline, tmp_path):
    memory = pipeline('[[step]]\nuse = "memory"\n')
    with pytest.raises(EvaluationError, match="follows accepted masks: name a data set of them with --examples"):
        MeasuredPipeline.of(memory, None, 6)
    with pytest.raises(EvaluationError, match="are measured as well; name another folder or split"):
        measured(memory, folders[1], tmp_path / "run", f"masks:{folders[1]}")
    everything = pipeline('[[step]]\nuse = "everything"\n')
    with pytest.raises(EvaluationError, match="follows examples; leave --examples out"):
        MeasuredPipeline.of(everything, f"masks:{folders[0]}", 6)
    with pytest.raises(EvaluationError, match="A pipeline is measured only by everything"):
        measured(everything, folders[1], tmp_path / "run", protocols="box")
    text = pipeline('[[step]]\nuse = "text"\ntexts = { Pit = "pit" }\n')
    with pytest.raises(BadRequestError, match="The model nano takes no texts"):
        MeasuredPipeline.of(text, None, 6).require(NANO, [DatasetSpec.parse(f"masks:{folders[1]}")])
    empty = tmp_path / "empty"
    for kind in ("images", "masks"):
        (empty / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(empty / kind / "0.png")
    with pytest.raises(EvaluationError, match="have no object that a memory can learn"):
        measured(pipeline('[[step]]\nuse = "memory"\n'), folders[1], tmp_path / "run", f"masks:{empty}")
