"""Boxes of a project become masks of another control, as predictions or annotations."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from label_studio_requests import data_url, png
from sam_backend.core.box_conversion import BoxConversion, ConversionCounts
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.proposers import Proposers
from sam_backend.core.task_embeddings import TaskEmbedding
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.projects import ProjectTask, TaskPrediction
from sam_backend.labelstudio.region_masks import region_mask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.segmenters.correcting import Correcting, shipped_refiner
from threshold_segmenter import ThresholdSegmenter

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image" smartOnly="true"><Label value="Pit"/><Label value="Old"/></RectangleLabels>
<BrushLabels name="mask" toName="image"><Label value="Pit"/></BrushLabels></View>"""

PIXELS = np.full((40, 60, 3), 20, np.uint8)
PIXELS[10:20, 15:35] = 230
IMAGE = data_url(png(PIXELS))


def box(label="Pit", id_="b1", x=20.0, **more):
    value = {"x": x, "y": 20.0, "width": 50.0, "height": 40.0, "rotation": 0, "rectanglelabels": [label]}
    frame = {"original_width": 60, "original_height": 40, "image_rotation": 0}
    return {
        "id": id_,
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "value": value,
        **frame,
        **more,
    }


CHOICE = {"id": "c1", "type": "choices", "from_name": "sort", "to_name": "image", "value": {"choices": ["B"]}}


class Embeddings:
    def fetch(self, segmenter, url, project, task, *, configured=None):
        if not url.startswith("data:"):
            raise BadRequestError(f"{url} cannot be followed.")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
        return TaskEmbedding("", segmenter.encode(pixels), "encoded")


class StoredProject:
    """A project that remembers what was written into it."""

    id, uid = 7, "7.1"

    def __init__(self, *tasks, config=CONFIG):
        self.label_config, self._tasks, self.predicted, self.annotated = config, tasks, [], []

    def tasks(self):
        return iter(self._tasks)

    list_tasks = tasks

    def predict(self, task, prediction):
        self.predicted.append((task.id, prediction))

    def annotate(self, task, result):
        self.annotated.append((task.id, result))


def annotation(*result, at="2026-11-23T05:32:00Z", **fields):
    return {"id": 1, "updated_at": at, "was_cancelled": False, "result": list(result), **fields}


@pytest.fixture
def conversion_of(tmp_path):
    segmenter = Correcting(ThresholdSegmenter(), shipped_refiner())

    def make(*tasks, source="RectangleLabels", target="BrushLabels", config=CONFIG):
        project = StoredProject(*tasks, config=config)
        memory = ProjectMemory(tmp_path / "memory")
        work = ProjectWork(project, memory, segmenter, Embeddings(), Proposers(tmp_path))
        return BoxConversion(work, source, target)

    return make


def run(conversion, **options):
    counts = conversion.run(lambda done, total: None, **{"annotate": False, "again": False} | options)
    return counts, conversion._work.project


def test_every_box_becomes_a_mask_with_its_label_and_a_score(conversion_of):
    counts, project = run(conversion_of(ProjectTask(1, {"image": IMAGE}, [annotation(box())])))
    ((task, prediction),) = project.predicted
    (region,) = prediction["result"]
    assert (task, region["from_name"], region["value"]["brushlabels"]) == (1, "mask", ["Pit"])
    assert 0 < region["score"] <= 1
    rows, columns = np.nonzero(region_mask(region))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 23, 12, 41)
    assert prediction["model_version"].endswith("-boxes")
    assert (counts.tasks, counts.masks, counts.problems) == (1, 1, [])


def test_the_newest_annotation_counts_and_without_any_the_newest_prediction_of_others(conversion_of):
    older, newer = annotation(box(), box(id_="b2"), at="2026-01-01"), annotation(box(), at="2026-02-01")
    cancelled = annotation(box(), box(id_="b2"), at="2026-03-01", was_cancelled=True)
    predictions = [TaskPrediction(3, "boxes-1", [box()]), TaskPrediction(4, "boxes-2", [box(), box(id_="b2")])]
    _, project = run(
        conversion_of(
            ProjectTask(1, {"image": IMAGE}, [older, newer, cancelled]),
            ProjectTask(2, {"image": IMAGE}, [], predictions),
            ProjectTask(3, {"image": IMAGE}),
        )
    )
    assert [(task, len(prediction["result"])) for task, prediction in project.predicted] == [(1, 1), (2, 2)]


def test_a_repeated_run_leaves_what_is_converted_and_again_does_not(conversion_of):
    version = conversion_of().version
    task = ProjectTask(1, {"image": IMAGE}, [annotation(box())], [TaskPrediction(5, version, [])])
    counts, project = run(conversion_of(task))
    assert (counts.earlier, project.predicted) == (1, [])
    _, project = run(conversion_of(task), again=True)
    assert len(project.predicted) == 1


def test_an_annotation_keeps_everything_but_the_boxes(conversion_of):
    _, project = run(conversion_of(ProjectTask(1, {"image": IMAGE}, [annotation(box(), CHOICE)])), annotate=True)
    ((task, result),) = project.annotated
    assert (task, [entry["from_name"] for entry in result]) == (1, ["sort", "mask"])


def test_an_annotation_keeps_the_boxes_that_became_no_masks(conversion_of):
    boxes = box(), box("Old", "b2"), box(id_="b3", x=900.0)
    _, project = run(conversion_of(ProjectTask(1, {"image": IMAGE}, [annotation(*boxes)])), annotate=True)
    ((_, result),) = project.annotated
    assert [(entry["from_name"], entry["id"]) for entry in result[:2]] == [("box", "b2"), ("box", "b3")]
    assert [entry["from_name"] for entry in result[2:]] == ["mask"]


def test_what_cannot_be_converted_is_said_and_the_rest_is_converted(conversion_of):
    broken = box(id_="b3", x=900.0)
    counts, project = run(
        conversion_of(
            ProjectTask(1, {"image": IMAGE}, [annotation(box(), box("Old", "b2"), broken)]),
            ProjectTask(2, {"image": "/gone.png"}, [annotation(box())]),
        )
    )
    assert [(task, len(prediction["result"])) for task, prediction in project.predicted] == [(1, 1)]
    unknown, outside, gone = sorted(counts.problems)
    assert "A box of task 1 is left out: The box must overlap the image" in unknown + outside
    assert "A box of task 1 is left out: The label 'Old' is unknown to the control 'mask'" in unknown + outside
    assert gone == "The boxes of task 2 on image are left out: no image."


def test_a_preview_writes_nothing_and_ends_at_its_limit(conversion_of):
    conversion = conversion_of(*(ProjectTask(number, {"image": IMAGE}, [annotation(box())]) for number in (1, 2, 3)))
    shown = list(conversion.preview(2, ConversionCounts(), lambda done, total: None))
    assert [(one.task, len(one.found), conversion.pixels(one).shape) for one in shown] == [
        (1, 1, (40, 60, 3)),
        (2, 1, (40, 60, 3)),
    ]
    assert conversion._work.project.predicted == []


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"target": "PolygonLabels"}, r"has no PolygonLabels \(--to\) on an image; it has 'brushlabels'"),
        ({"source": "EllipseLabels"}, r"has no EllipseLabels \(--from\)"),
        ({"source": "BrushLabels"}, r"--from takes RectangleLabels, EllipseLabels or PolygonLabels; got BrushLabels"),
    ],
)
def test_a_tag_that_the_config_lacks_is_named(conversion_of, tags, message):
    with pytest.raises(BadRequestError, match=message):
        conversion_of(**tags)


def test_of_an_ellipse_and_a_turned_rectangle_the_upright_bounds_count_alone(conversion_of, monkeypatch):
    asked = []
    decode = ThresholdSegmenter.decode

    def listening(segmenter, embedding, prompts, **options):
        asked.extend(prompts)
        return decode(segmenter, embedding, prompts, **options)

    monkeypatch.setattr(ThresholdSegmenter, "decode", listening)
    ellipse = '<EllipseLabels name="round" toName="image" smartOnly="true"><Label value="Pit"/></EllipseLabels></View>'
    config = CONFIG.replace("</View>", ellipse)
    value = {"x": 40.0, "y": 40.0, "radiusX": 25.0, "radiusY": 20.0, "rotation": 0, "ellipselabels": ["Pit"]}
    drawn = box() | {"type": "ellipselabels", "from_name": "round", "value": value}
    run(conversion_of(ProjectTask(1, {"image": IMAGE}, [annotation(drawn)]), source="EllipseLabels", config=config))
    turned = box()
    turned["value"]["rotation"] = 30
    run(conversion_of(ProjectTask(2, {"image": IMAGE}, [annotation(turned)])))
    assert len(asked) == 2
    assert all(prompt.drawn is None and prompt.box is not None for prompt in asked)


def test_a_box_in_which_the_model_sees_nothing_stays_and_is_said(conversion_of, monkeypatch):
    def nothing_on_the_left(segmenter, embedding, prompts, **options):
        answers = decode(segmenter, embedding, prompts, **options)
        return [
            replace(answer, masks=np.zeros((1, 40, 60), bool)) if prompt.box[0] < 5 else answer
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    decode = ThresholdSegmenter.decode
    monkeypatch.setattr(ThresholdSegmenter, "decode", nothing_on_the_left)
    unseen = box(id_="b2", x=0.0)
    counts, project = run(conversion_of(ProjectTask(1, {"image": IMAGE}, [annotation(box(), unseen)])), annotate=True)
    assert (counts.tasks, counts.masks) == (1, 1)
    assert counts.problems == ["A box of task 1 is left out: the model sees nothing in it."]
    ((_, result),) = project.annotated
    assert [region["type"] for region in result] == ["rectanglelabels", "brushlabels"]
    assert result[0] == unseen
