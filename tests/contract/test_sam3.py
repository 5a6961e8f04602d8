"""SAM 3's detector against the package's own processor and forward pass, with the same random weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

import torch
import transformers as hub
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from label_studio_requests import defect_image, interactive, rectangle
from loopback import serving
from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.segmenters.concepts import Concept, find_instances
from sam_backend.segmenters.contract import SegmenterContract, image_of
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.hub_entries import load_from_folder
from sam_backend.segmenters.model_info import WeightFolders
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.settings import Settings
from sam_inspect.main import app
from services import make_app
from tiny_hub_models import images_of, save_tiny, tokenizer

pytestmark = pytest.mark.slow

CLOSE = 1e-4
IMAGES = {"landscape": (90, 150), "portrait": (300, 120), "square": (256, 256)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("sam3")
    save_tiny("sam3", made)
    return made


@cache
def loaded(folder):
    return load_from_folder(OWN["sam3"], folder, 1, WeightFolders(None, folder))


@cache
def _make(folder):
    return lambda: loaded(folder)


@pytest.fixture(scope="module")
def segmenter(folder):
    return loaded(folder)


def concepts_on(height, width):
    """A text, boxes, and both; the last box is around what is not meant."""
    boxes = np.array([[width / 4, height / 5, width / 2, height / 2], [3.25, 4.5, width / 3, height - 1.5]], np.float32)
    return {
        "text": Concept("scratch on steel"),
        "box": Concept(boxes=boxes[:1], labels=np.array([1])),
        "boxes": Concept(boxes=boxes, labels=np.array([1, 0])),
        "both": Concept("a pit", boxes, np.array([1, 0])),
    }


def by_the_library(folder, image, concept):
    """Return masks (K, H, W) and scores (K,) by the library alone, the highest score first."""
    model = hub.Sam3Model.from_pretrained(folder).eval()
    processor = hub.Sam3Processor(images_of("sam3"), tokenizer())
    boxes = (
        {"input_boxes": [concept.boxes.tolist()], "input_boxes_labels": [concept.labels.tolist()]}
        if len(concept.boxes)
        else {}
    )
    inputs = processor(images=image, text=concept.text or None, return_tensors="pt", **boxes)
    sizes = inputs.pop("original_sizes").tolist()
    with torch.no_grad():
        answer = model(**inputs)
    result = processor.post_process_instance_segmentation(answer, threshold=0.0, target_sizes=sizes)[0]
    order = torch.argsort(result["scores"], descending=True, stable=True)
    return result["masks"][order].bool().numpy(), result["scores"][order].numpy()


@pytest.mark.parametrize("shape", IMAGES)
def test_instances_are_those_of_the_library(folder, segmenter, shape):
    image = image_of(IMAGES[shape])
    embedding = segmenter.encode(image)
    for kind, concept in concepts_on(*IMAGES[shape]).items():
        mine = find_instances(segmenter, embedding, concept, least_score=0.0)
        masks, scores = by_the_library(folder, image, concept)
        np.testing.assert_allclose(mine.scores, scores, atol=CLOSE, err_msg=kind)
        assert np.mean(np.asarray(mine.masks) != masks) <= CLOSE, kind


def test_the_text_and_the_sign_of_a_box_matter(segmenter):
    image = image_of(IMAGES["square"])
    embedding = segmenter.encode(image)
    box = np.array([[20, 30, 90, 120]], np.float32)
    asked = [
        Concept("pit"),
        Concept("a long scratch"),
        Concept("pit", box, np.array([1])),
        Concept("pit", box, np.array([0])),
    ]
    found = [find_instances(segmenter, embedding, concept, least_score=0.0).scores for concept in asked]
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            assert np.abs(one - other).max() > 10 * CLOSE


def test_a_text_is_encoded_once(segmenter, monkeypatch):
    embedding = segmenter.encode(image_of((60, 60)))
    first = find_instances(segmenter, embedding, Concept("once"), least_score=0.0)
    monkeypatch.setattr(segmenter._detector, "get_text_features", None)
    again = find_instances(segmenter, embedding, Concept("once"), least_score=0.0)
    assert np.array_equal(first.scores, again.scores)


def test_instances_below_the_least_score_are_left_out(segmenter):
    embedding = segmenter.encode(image_of((60, 60)))
    scores = find_instances(segmenter, embedding, Concept("pit"), least_score=0.0).scores
    middle = float(scores[3] + scores[4]) / 2
    assert len(find_instances(segmenter, embedding, Concept("pit"), least_score=middle).masks) == 4
    assert len(find_instances(segmenter, embedding, Concept("pit"), least_score=1.0).masks) == 0


def test_tracker_and_detector_have_one_backbone(segmenter):
    shared = [id(value) for value in segmenter._detector.vision_encoder.backbone.parameters()]
    assert [id(value) for value in segmenter._model.vision_encoder.backbone.parameters()] == shared


def test_a_text_of_too_many_tokens_is_refused(segmenter):
    embedding = segmenter.encode(image_of((60, 60)))
    with pytest.raises(BadRequestError, match="sam3 takes a text of 30 tokens, about twenty words; this one has 40"):
        find_instances(segmenter, embedding, Concept("x" * 40))


def test_it_is_downloaded_with_its_tokenizer_from_a_mirror_and_asked(folder, segmenter, tmp_path, monkeypatch):
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path))
    with serving() as mirror:
        monkeypatch.setenv("SAM_INSPECT_MIRROR", mirror.url)
        for path in folder.iterdir():
            mirror.routes[f"/facebook/sam3/resolve/main/{path.name}"] = path.read_bytes()
        with pytest.raises(WeightsError, match="sam3 is not here and has a licence of its own"):
            load_segmenter("sam3", threads=1)
        assert not mirror.requests
        assert CliRunner().invoke(app, ["download", "sam3", "--accept-licence"]).exit_code == 0
        loaded = load_segmenter("sam3", threads=1)
    image = image_of((50, 70))
    found = find_instances(loaded, loaded.encode(image), Concept("pit"), least_score=0.0)
    expected = find_instances(segmenter, segmenter.encode(image), Concept("pit"), least_score=0.0)
    assert np.array_equal(found.scores, expected.scores)


class TestSam3(SegmenterContract):
    @pytest.fixture
    def make_segmenter(self, folder):
        # One function for all tests of the class, by which the contract keeps segmenters and embeddings.
        return _make(folder)


CONFIG = """<View><Image name="image" value="$image"/>
  <TextArea name="text" toName="image" smart="true"/>
  <RectangleLabels name="rect" toName="image" smart="true" exemplars="positive"><Label value="Pit"/></RectangleLabels>
  <BrushLabels name="mask" toName="image"><Label value="Pit"/></BrushLabels></View>"""


def test_the_service_answers_with_one_region_for_each_instance(segmenter, tmp_path):
    image = defect_image()
    typed = {"type": "textarea", "from_name": "text", "to_name": "image", "value": {"text": ["scratch on steel"]}}
    drawn = {
        Concept("scratch on steel"): typed,
        Concept(boxes=np.array([[20, 10, 30, 20]]), labels=np.array([1])): rectangle(20, 10, 30, 20, "Pit"),
    }
    embedding = segmenter.encode(image)
    app = make_app(segmenter, Settings(home=tmp_path / "home", cache=tmp_path / "cache"))
    with TestClient(app) as client:
        for concept, region in drawn.items():
            answer = client.post("/predict", json=interactive(region, config=CONFIG, project=None))
            (result,) = answer.json()["results"]
            expected = find_instances(segmenter, embedding, concept)
            assert len(expected.masks) > 0
            masks = [decode_rle(one["value"]["rle"], image.shape[:2]) for one in result["result"]]
            assert np.array_equal(masks, np.asarray(expected.masks))
            assert [one["score"] for one in result["result"]] == pytest.approx(expected.scores.tolist(), abs=1e-4)
            assert {one["value"]["brushlabels"][0] for one in result["result"]} == {"Pit"}


def test_a_folder_without_a_tokenizer_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(WeightsError, match=r"lacks tokenizer\.json"):
        load_segmenter("sam3", tmp_path, threads=1)
