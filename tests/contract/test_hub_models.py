"""Models of `transformers` against the package's own processor and forward pass, with the same random weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

import torch
import transformers as hub

from loopback import serving
from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.samples import Cropped
from sam_backend.segmenters.contract import SegmenterContract, image_of
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.hub_entries import load_from_folder
from sam_backend.segmenters.model_info import WeightFolders
from sam_backend.segmenters.model_registry import load_segmenter
from sam_backend.segmenters.protocol import Prompt
from tiny_hub_models import images_of, save_tiny

pytestmark = pytest.mark.slow

FAMILIES = {
    "slimsam": (hub.SamModel, hub.SamProcessor),
    "hq:vit_b": (hub.SamHQModel, hub.SamHQProcessor),
    "sam2.1:tiny": (hub.Sam2Model, hub.Sam2Processor),
    "edgetam": (hub.EdgeTamModel, hub.Sam2Processor),
    "sam3": (hub.Sam3TrackerModel, hub.Sam3TrackerProcessor),
}
IMAGES = {"landscape": (90, 150), "portrait": (300, 120), "square": (256, 256)}
CLOSE = 1e-4


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return a function of a model's name that returns the folder of a tiny one and its segmenter."""
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def made(name):
        folder = root / name.replace(":", "-")
        save_tiny(name.partition(":")[0], folder)
        return folder, load_from_folder(OWN[name], folder, 1, WeightFolders(None, root))

    return made


def prompts_on(height, width):
    """Return one prompt of each kind, and which of its parts it has."""
    middle, corner = [width / 2, height / 2], [3.25, 4.5]
    box = np.array([width / 4, height / 5, width / 1.5, height / 1.2], np.float32)
    return {
        "click": Prompt(np.array([middle]), np.array([1])),
        "clicks": Prompt(np.array([middle, corner]), np.array([1, 0])),
        "box": Prompt(box=box),
        "both": Prompt(np.array([middle]), np.array([1]), box=box),
        "logits": Prompt(
            np.array([corner]), np.array([1]), logits=np.random.default_rng(1).normal(0, 5, (64, 64)).astype(np.float32)
        ),
    }


def by_the_library(name, folder, image, prompts, multimask):
    """Return masks (P, K, H, W) and scores (P, K) of prompts of one kind by the library alone."""
    kind, processor_kind = FAMILIES[name]
    model = kind.from_pretrained(folder).eval()
    processor = processor_kind(images_of(name.partition(":")[0]))
    given = {}
    if len(prompts[0].points):
        given["input_points"] = [[prompt.points.tolist() for prompt in prompts]]
        given["input_labels"] = [[prompt.labels.tolist() for prompt in prompts]]
    if prompts[0].box is not None:
        given["input_boxes"] = [[prompt.box.tolist() for prompt in prompts]]
    inputs = processor(images=image, return_tensors="pt", **given)
    if prompts[0].logits is not None:
        inputs["input_masks"] = torch.from_numpy(prompts[0].logits)[None, None]
    sizes = inputs.pop("original_sizes")
    seen = [inputs.pop("reshaped_input_sizes")] if "reshaped_input_sizes" in inputs else []
    with torch.no_grad():
        answer = model(**inputs, multimask_output=multimask)
    masks = processor.image_processor.post_process_masks([answer.pred_masks[0]], sizes, *seen)[0]
    return masks.numpy(), answer.iou_scores[0].numpy()


@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("name", FAMILIES)
def test_masks_and_scores_are_those_of_the_library(tiny, name, shape):
    folder, segmenter = tiny(name)
    image = image_of(IMAGES[shape])
    embedding = segmenter.encode(image)
    for kind, prompt in prompts_on(*IMAGES[shape]).items():
        for multimask in (True, False):
            (answer,) = segmenter.decode(embedding, [prompt], multimask=multimask)
            masks, scores = by_the_library(name, folder, image, [prompt], multimask)
            assert np.mean(answer.masks != masks[0]) <= CLOSE, (kind, multimask)
            np.testing.assert_allclose(answer.predicted_iou, scores[0], atol=CLOSE)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_was_drawn_is_the_mask_prompt_in_the_models_own_frame(tiny, name):
    folder, segmenter = tiny(name)
    image = image_of((128, 256))
    drawn = np.zeros((128, 256), np.uint8)
    cv2.circle(drawn, (150, 60), 40, 1, -1)
    is_padded = name in ("slimsam", "hq:vit_b")
    square = np.pad(drawn, ((0, 128), (0, 0))) if is_padded else drawn
    inside = cv2.resize(square.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    logits = 16 * cv2.GaussianBlur(inside, (0, 0), 1) - 8
    prompt = Prompt(box=np.array([100, 15, 195, 105], np.float32), drawn=Cropped.of(drawn.astype(bool)))
    (answer,) = segmenter.decode(segmenter.encode(image), [prompt])
    masks, scores = by_the_library(name, folder, image, [replace(prompt, drawn=None, logits=logits)], False)
    assert np.mean(answer.masks != masks[0]) <= 1e-3
    np.testing.assert_allclose(answer.predicted_iou, scores[0], atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_of_mixed_prompts_gives_what_each_gives_alone(tiny, name):
    folder, segmenter = tiny(name)
    image = image_of(IMAGES["landscape"])
    embedding = segmenter.encode(image)
    kinds = prompts_on(*IMAGES["landscape"])
    moved = replace(kinds["click"], points=kinds["click"].points + 20)
    prompts = [kinds["logits"], moved, kinds["box"], kinds["click"], kinds["both"], kinds["clicks"]]
    for prompt, answer in zip(prompts, segmenter.decode(embedding, prompts), strict=True):
        (alone,) = segmenter.decode(embedding, [prompt])
        np.testing.assert_allclose(answer.logits, alone.logits, atol=CLOSE)
    masks, _ = by_the_library(name, folder, image, [kinds["click"], moved], True)
    for mine, theirs in zip(segmenter.decode(embedding, [kinds["click"], moved]), masks, strict=True):
        assert np.mean(mine.masks != theirs) <= CLOSE


@pytest.mark.parametrize("name", FAMILIES)
def test_features_show_the_image_in_its_own_aspect_ratio(tiny, name):
    _, segmenter = tiny(name)
    features = segmenter.features(segmenter.encode(image_of((80, 160))))
    assert (features.values.shape[0], features.shown) == (16, (8, 16))


def test_weights_that_break_off_are_refused_in_one_sentence(tiny, tmp_path):
    folder, _ = tiny("sam2.1:tiny")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"does not hold a model like sam2.1:tiny \("):
        load_from_folder(OWN["sam2.1:tiny"], tmp_path, 1, WeightFolders(None, tmp_path))


@pytest.mark.parametrize("given", FAMILIES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_of_another_family_is_refused_in_one_sentence(tiny, tmp_path, name, given):
    if name == given:
        return
    folder, _ = tiny(given)
    with pytest.raises(WeightsError, match=rf"does not hold a model like {name} ?[:(]") as caught:
        load_from_folder(OWN[name], folder, 1, WeightFolders(None, tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_configuration_is_refused_in_one_sentence(tiny, tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"does not hold a model like sam3 \("):
        load_from_folder(OWN["sam3"], tmp_path, 1, WeightFolders(None, tmp_path))


def test_a_model_of_another_size_serves_with_a_warning(tiny, tmp_path, caplog):
    folder, _ = tiny("hq:vit_b")
    load_from_folder(OWN["hq:vit_b"], folder, 1, WeightFolders(None, tmp_path))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{folder} holds a model of another size than hq:vit_b, and serves under that name: its encoder has "
        "{'hidden_size': 32, 'num_hidden_layers': 2}, the published one {'hidden_size': 768, 'num_hidden_layers': 12}."
    )


def test_a_model_is_downloaded_from_a_mirror_loaded_and_asked(tiny, tmp_path, monkeypatch):
    folder, segmenter = tiny("slimsam")
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path))
    with serving() as mirror:
        monkeypatch.setenv("SAM_INSPECT_MIRROR", mirror.url)
        for path in folder.iterdir():
            mirror.routes[f"/nielsr/slimsam-77-uniform/resolve/main/{path.name}"] = path.read_bytes()
        loaded = load_segmenter("slimsam", threads=1)
    assert loaded.version.startswith(segmenter.version)
    image = image_of((50, 70))
    (answer,) = loaded.decode(loaded.encode(image), [Prompt(np.array([[35, 25]]), np.array([1]))])
    (expected,) = segmenter.decode(segmenter.encode(image), [Prompt(np.array([[35, 25]]), np.array([1]))])
    assert np.array_equal(answer.masks, expected.masks)


def test_official_sam_is_also_read_from_a_folder_of_the_hub(tiny):
    folder, segmenter = tiny("slimsam")
    loaded = load_segmenter("sam:vit_b", folder, threads=1)
    assert loaded.name == "sam:vit_b"
    assert loaded.version.startswith(segmenter.version.replace("slimsam", "sam:vit_b"))


def test_logits_of_another_size_are_refused(tiny):
    _, segmenter = tiny("slimsam")
    with pytest.raises(BadRequestError, match=r"slimsam takes logits of shape \(64, 64\)"):
        segmenter.decode(segmenter.encode(image_of((20, 30))), [Prompt(logits=np.zeros((8, 8), np.float32))])


@pytest.mark.parametrize("name", ["slimsam", "hq:vit_b"])
def test_an_image_of_which_nothing_is_left_is_refused_in_one_sentence(tiny, name):
    _, segmenter = tiny(name)
    assert segmenter.encode(np.zeros((1, 400, 3), np.uint8)).size == (1, 400)
    with pytest.raises(BadRequestError, match=f"{name} cannot take an image of 5000 x 1 pixels, which is too narrow"):
        segmenter.encode(np.zeros((1, 5000, 3), np.uint8))


class TestSlimSam(SegmenterContract):
    @pytest.fixture
    def make_segmenter(self, tiny):
        return lambda: tiny("slimsam")[1]


class TestSam2(SegmenterContract):
    @pytest.fixture
    def make_segmenter(self, tiny):
        return lambda: tiny("sam2.1:tiny")[1]
