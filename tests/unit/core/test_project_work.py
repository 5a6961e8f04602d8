"""Work on a project from the command line, for tasks with several images."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock, Timeout
from PIL import Image

from annotation_events import ASKED, TAUGHT, region
from colour_segmenter import ColourFinder, ColourSegmenter
from label_studio_requests import data_url, png
from mask_files import save
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.proposers import Proposers
from sam_backend.core.task_embeddings import TaskEmbedding, TaskEmbeddings
from sam_backend.errors import BadRequestError
from sam_backend.everything.folder_run import FolderRun
from sam_backend.everything.search import ProjectSearch, Search
from sam_backend.labelstudio.projects import ProjectTask
from sam_backend.masks import mask_iou
from sam_backend.memory.gaps import Gaps
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.pipeline.pipeline import Pipeline
from sam_backend.segmenters.cache import EmbeddingSource
from sam_backend.segmenters.pixels import with_pixels
from sam_backend.settings import Settings
from sam_evaluation.datasets.registry import DatasetSpec

LABELS = '<Label value="red"/><Label value="green"/>'
CONFIG = f"""<View><Image name="pages" valueList="$pages"/><Image name="last" value="$last"/>
<BrushLabels name="mask" toName="pages">{LABELS}</BrushLabels>
<PolygonLabels name="ring" toName="last"><Label value="red"/></PolygonLabels></View>"""
TEACH, ASK = data_url(png(TAUGHT[0])), data_url(png(ASKED[0]))


class Embeddings:
    """Encodes the images of data URLs; every other address fails."""

    def fetch(self, segmenter, url, project, task, *, configured=None):
        if not url.startswith("data:"):
            raise BadRequestError(f"{url} cannot be followed.")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
        return TaskEmbedding(url, segmenter.encode(pixels), EmbeddingSource.ENCODER)


class StoredProject:
    """A project whose predictions are kept in a list."""

    id, uid, label_config = 7, "7.1", CONFIG

    def __init__(self, *tasks):
        self._tasks, self.predictions = tasks, []

    def tasks(self):
        return iter(self._tasks)

    def predict(self, task, prediction):
        self.predictions.append((task.id, prediction))


@pytest.fixture
def work(tmp_path):
    result = [{**region(label, mask), "to_name": "pages", "item_index": 1} for label, mask in TAUGHT[1]]
    annotation = {"id": 1, "task": 1, "updated_at": "2026-11-23T05:32:00Z", "was_cancelled": False, "result": result}
    project = StoredProject(
        ProjectTask(1, {"pages": ["/none.png", TEACH], "last": TEACH}, [annotation]),
        ProjectTask(2, {"pages": [ASK, "/gone.png", ASK], "last": ASK}),
        ProjectTask(3, {"pages": ["/gone.png"]}),
    )
    return ProjectWork(
        project, ProjectMemory(tmp_path / "memory"), ColourSegmenter(), Embeddings(), Proposers(tmp_path)
    )


def ignore(done, total, doing=""):
    pass


def places(prediction):
    return {
        (region["to_name"], region.get("item_index"), next(iter(region["value"].get(region["type"], []))))
        for region in prediction["result"]
    }


ALL = {
    *(("pages", page, label) for page in (0, 2) for label in ("red", "green")),
    # The controls of the last image do not know the label green.
    ("last", None, "red"),
}


def test_what_cannot_be_read_is_noted_while_no_server_notes_anything(work, monkeypatch):
    work.project._tasks = [ProjectTask(3, {}, [{"id": "no number"}])]
    noted = Gaps.set_aside

    def note(gaps, reasons):
        with pytest.raises(Timeout):
            FileLock(work.memory.store.folder / "lock").acquire(timeout=0)
        noted(gaps, reasons)

    monkeypatch.setattr(Gaps, "set_aside", note)
    work.gather(ignore)
    assert "An annotation of task 3 is left out" in work.memory.store.gaps.reasons()[0]


def test_every_image_of_a_task_is_pre_annotated_by_what_a_later_image_taught(work, caplog):
    work.gather(ignore)
    work.learn(ignore)
    counts = work.pre_annotate(ignore)
    ((task, prediction),) = work.project.predictions
    assert (task, places(prediction)) == (2, ALL)
    assert (counts.written, counts.failed) == (1, 1)
    assert "Task 2 gets no prediction on pages[1]: /gone.png cannot be followed." in caplog.text


def test_without_examples_the_labels_propose_by_their_texts_where_the_model_takes_them(work):
    with pytest.raises(BadRequestError, match="has no examples yet"):
        work.pre_annotate(ignore)
    replace(work, segmenter=ColourFinder()).pre_annotate(ignore)
    ((task, prediction),) = work.project.predictions
    assert (task, places(prediction)) == (2, ALL)


def test_a_task_with_several_images_is_ranked_once_with_the_regions_of_all(work):
    work.gather(ignore)
    work.learn(ignore)
    order = work.rank(lambda images, labelled, random: list(range(len(images)))[::-1], 0, ignore, ignore)
    assert [task for task, _ in order] == [2]
    ((task, prediction),) = work.project.predictions
    assert (task, places(prediction), prediction["score"]) == (2, ALL, 0)


def test_a_pipeline_proposes_without_examples_and_unknown_labels_are_counted(work, tmp_path):
    file = tmp_path / "line.toml"
    file.write_text('[[step]]\nuse = "text"\ntexts = { red = "red", Blue = "green" }\n')
    counts = replace(work, segmenter=ColourFinder(), pipeline=Pipeline.load(file)).pre_annotate(ignore)
    ((_, prediction),) = work.project.predictions
    assert places(prediction) == {("pages", 0, "red"), ("pages", 2, "red"), ("last", None, "red")}
    assert counts.unknown == {"Blue": 3}
    file.write_text('[[step]]\nuse = "memory"\n')
    with pytest.raises(BadRequestError, match="has no examples yet"):
        replace(work, pipeline=Pipeline.load(file)).pre_annotate(ignore)


class WithPixels(ColourSegmenter):
    """Its embeddings hold their images, as those of loaded models do."""

    def encode(self, image):
        return with_pixels(super().encode(image), image)


def test_the_images_of_a_folder_get_the_masks_and_labels_of_pre_annotation(work, tmp_path):
    work.gather(ignore)
    work.learn(ignore)
    save(tmp_path / "images" / "a.png", ASKED[0])
    search = Search(WithPixels(), TaskEmbeddings.in_memory(Settings()), project=ProjectSearch.of(work))
    done = FolderRun(tmp_path / "images", tmp_path / "out").run(search, ignore)
    assert done.classes == ["red", "green"]
    dataset = DatasetSpec.parse(f"coco:{tmp_path / 'out'}").open()
    masks = {one.label: one.mask for one in dataset.load("a.png").objects}
    assert set(masks) == {"red", "green"}
    for label, mask in ASKED[1]:
        assert mask_iou(masks[label], mask) > 0.8


def test_a_search_without_examples_is_refused_before_anything_is_written(work, tmp_path):
    save(tmp_path / "images" / "a.png", ASKED[0])
    run = FolderRun(tmp_path / "images", tmp_path / "out")
    with pytest.raises(BadRequestError, match="Project 7 has no examples yet"):
        run.run(Search(WithPixels(), TaskEmbeddings.in_memory(Settings()), project=ProjectSearch.of(work)), ignore)
    assert not (tmp_path / "out").exists()
