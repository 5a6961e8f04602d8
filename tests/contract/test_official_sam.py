"""`SamSegmenter` gives what the official `SamPredictor` gives, with the same random weights."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.segmenters import Embedding, Prompt, sam_frame
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.model_registry import load_segmenter

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")

from segment_anything import SamPredictor, sam_model_registry  # noqa: E402
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from sam_backend.segmenters.sam import SamSegmenter  # noqa: E402

pytestmark = pytest.mark.slow

SIZES = {"landscape": (150, 260), "portrait": (300, 170), "square": (200, 200)}
CLOSE = {"rtol": 0, "atol": 1e-4}


def prompts_on(size):
    """Return prompts of every kind but logits, on an image of this size (H, W)."""
    height, width = size
    at = np.array([width, height])
    box = np.array([0.2 * width, 0.3 * height, 0.7 * width, 0.85 * height])
    three = np.array([[0.5, 0.5], [0.3, 0.6], [0.9, 0.1]]) * at
    return {
        "a click": Prompt(points=at * 0.4, labels=[1]),
        "a negative click": Prompt(points=at * 0.6, labels=[0]),
        "three clicks": Prompt(points=three, labels=[1, 1, 0]),
        "three other clicks": Prompt(points=three[::-1] * 0.9, labels=[1, 0, 1]),
        "a box": Prompt(box=box),
        "another box": Prompt(box=box * 0.5),
        "a box and a click": Prompt(points=at * 0.5, labels=[0], box=box),
        "a box and three clicks": Prompt(points=three, labels=[1, 0, 1], box=box),
    }


def image_of(size):
    """Return a smooth random image: coarse noise enlarged."""
    noise = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(size[0]))
    smooth = torch.nn.functional.interpolate(noise, size, mode="bicubic").clamp(0, 1)[0]
    return (smooth.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    """Return a SAM of the official classes with a thin, shallow encoder, since a ViT-B takes seconds an image."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=64,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=512, num_heads=8)
    prompt_encoder = PromptEncoder(
        embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16
    )
    for name, weights in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:  # zeros, until they are trained
            torch.nn.init.normal_(weights, std=0.2)
    return Sam(encoder, prompt_encoder, MaskDecoder(transformer_dim=256, transformer=transformer)).eval()


@pytest.fixture(scope="module")
def segmenter(model):
    return SamSegmenter(model, replace(OWN["sam:vit_b"], name="sam:thin"), version="sam:thin-0", device="cpu")


@pytest.fixture(scope="module", params=SIZES)
def encoded(request, model, segmenter):
    """Return the official predictor with its image set, and our embedding of the same image."""
    image = image_of(SIZES[request.param])
    predictor = SamPredictor(model)
    predictor.set_image(image)
    return predictor, segmenter.encode(image)


def official(predictor, prompt, multimask):
    return predictor.predict(
        point_coords=prompt.points if len(prompt.points) else None,
        point_labels=prompt.labels if len(prompt.points) else None,
        box=prompt.box,
        mask_input=None if prompt.logits is None else prompt.logits[None],
        multimask_output=multimask,
    )


def assert_same(candidates, expected):
    masks, predicted_iou, logits = expected
    np.testing.assert_allclose(candidates.predicted_iou, predicted_iou, **CLOSE)
    np.testing.assert_allclose(candidates.logits, logits, **CLOSE)
    # Another number of prompts in a pass may round differently: a pixel may turn only where its logit is about zero.
    assert candidates.masks.shape == masks.shape
    assert candidates.masks.dtype == masks.dtype == bool
    assert (np.asarray(candidates.masks) != np.asarray(masks)).mean() < 1e-4


def test_an_embedding_is_what_the_official_predictor_computes(encoded):
    predictor, embedding = encoded
    np.testing.assert_allclose(embedding.arrays["features"], predictor.features[0].numpy(), **CLOSE)
    assert tuple(embedding.arrays["input_size"]) == predictor.input_size
    assert embedding.size == predictor.original_size
    assert embedding.arrays["features"].dtype == np.float32


@pytest.mark.parametrize("multimask", [True, False])
def test_prompts_of_all_kinds_in_one_call_get_the_official_answers(encoded, segmenter, multimask):
    predictor, embedding = encoded
    prompts = list(prompts_on(embedding.size).values())
    answers = segmenter.decode(embedding, prompts, multimask=multimask)
    for prompt, candidates in zip(prompts, answers, strict=True):
        assert_same(candidates, official(predictor, prompt, multimask))


@pytest.mark.parametrize("multimask", [True, False])
def test_logits_fed_back_get_the_official_answers(encoded, segmenter, multimask):
    predictor, embedding = encoded
    prompts = prompts_on(embedding.size)
    first = segmenter.decode(embedding, [prompts["a click"]])[0]
    logits = first.logits[first.best]
    fed_back = [
        replace(prompts[name], logits=logits) for name in ("a click", "three clicks", "a box", "a box and a click")
    ]
    fed_back += [Prompt(logits=logits), Prompt(logits=-logits)]
    answers = segmenter.decode(embedding, fed_back, multimask=multimask)
    for prompt, candidates in zip(fed_back, answers, strict=True):
        assert_same(candidates, official(predictor, prompt, multimask))


@pytest.mark.parametrize("encoded", ["landscape"], indirect=True)
def test_by_default_a_lone_click_gets_three_masks_and_any_other_prompt_one(encoded, segmenter):
    predictor, embedding = encoded
    prompts = list(prompts_on(embedding.size).values())
    for prompt, candidates in zip(prompts, segmenter.decode(embedding, prompts), strict=True):
        assert_same(candidates, official(predictor, prompt, prompt.is_ambiguous))


@pytest.mark.parametrize("encoded", ["landscape"], indirect=True)
def test_many_prompts_of_one_kind_are_decoded_in_passes_that_fit_in_memory(encoded, segmenter, monkeypatch):
    predictor, embedding = encoded
    clicks = np.random.default_rng(0).uniform(0, embedding.size[::-1], (5, 2))
    prompts = [Prompt(points=click, labels=[1]) for click in clicks]
    monkeypatch.setattr(sam_frame, "_BATCH", 2)
    passes = []
    answer = SamSegmenter._answered
    monkeypatch.setattr(
        SamSegmenter, "_answered", lambda self, *given: passes.append(len(given[1])) or answer(self, *given)
    )
    answers = segmenter.decode(embedding, prompts)
    assert passes == [2, 2, 1]
    for prompt, candidates in zip(prompts, answers, strict=True):
        assert_same(candidates, official(predictor, prompt, True))


@pytest.mark.parametrize("encoded", ["landscape"], indirect=True)
def test_of_three_masks_only_the_one_that_is_asked_for_is_enlarged(encoded, segmenter, monkeypatch):
    drawn = []
    enlarge = sam_frame.enlarged_mask
    monkeypatch.setattr(sam_frame, "enlarged_mask", lambda *given: drawn.append(1) or enlarge(*given))
    predictor, embedding = encoded
    click = prompts_on(embedding.size)["a click"]
    (candidates,) = segmenter.decode(embedding, [click])
    expected, _, _ = official(predictor, click, True)
    assert not drawn
    assert (candidates.masks[candidates.best] != expected[candidates.best]).mean() < 1e-4
    assert len(drawn) == 1


def test_images_decoded_at_once_by_several_threads_stay_apart(segmenter):
    embeddings = [segmenter.encode(image_of(size)) for size in SIZES.values()] * 2
    prompts = [prompts_on(embedding.size)["a box"] for embedding in embeddings]
    expected = [segmenter.decode(*each)[0] for each in zip(embeddings, ([prompt] for prompt in prompts), strict=True)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda e, p: segmenter.decode(e, [p])[0], embeddings, prompts))
    for candidates, other in zip(answers, expected, strict=True):
        assert_same(candidates, (other.masks, other.predicted_iou, other.logits))


@pytest.mark.parametrize("encoded", ["landscape"], indirect=True)
def test_no_prompts_get_no_answers(encoded, segmenter):
    assert segmenter.decode(encoded[1], []) == []


@pytest.mark.parametrize("encoded", ["landscape"], indirect=True)
def test_logits_of_another_model_are_refused_with_the_right_shape(encoded, segmenter):
    with pytest.raises(BadRequestError, match=r"sam:thin takes logits of shape \(256, 256\); got \(64, 64\)"):
        segmenter.decode(encoded[1], [Prompt(logits=np.zeros((64, 64), np.float32))])


def test_features_are_the_encoders_map_as_it_is(segmenter):
    values = np.random.default_rng(0).normal(size=(256, 64, 64)).astype(np.float32)
    features = segmenter.features(Embedding({"features": values, "input_size": np.array([1024, 500])}, (200, 98)))
    assert features.shown == (64, 32)
    np.testing.assert_array_equal(features.values[3, 4], values[:, 3, 4])


@pytest.fixture
def checkpoint_file(tmp_path, monkeypatch):
    """Return a function that puts a file where ViT-B's checkpoint is looked for, as if it were the published one."""
    monkeypatch.setenv("SAM_INSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAM_INSPECT_WEIGHTS", str(tmp_path))
    info = OWN["sam:vit_b"]
    (published,) = info.files
    path = tmp_path / published.filename

    def put(content):
        torch.save(content, path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        monkeypatch.setitem(OWN, info.name, replace(info, files=(replace(published, sha256=sha256),)))
        return path

    yield put
    path.unlink(missing_ok=True)


def test_a_full_vit_b_from_its_file_gives_the_official_answers(checkpoint_file):
    torch.manual_seed(1)
    model = sam_model_registry["vit_b"]()
    checkpoint_file(model.state_dict())
    segmenter = load_segmenter("sam:vit_b")
    assert segmenter.name == "sam:vit_b"
    assert segmenter.version.startswith(f"sam:vit_b-{OWN['sam:vit_b'].files[0].sha256[:8]}-refiner-")
    loaded = segmenter._segmenter.model.state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in model.state_dict().items())
    # With equal weights the encoders are equal; a ViT-B takes too long to show it by encoding twice.
    embedding = segmenter.encode(image_of(SIZES["landscape"]))
    predictor = SamPredictor(model)
    predictor.features = torch.from_numpy(embedding.arrays["features"])[None]
    predictor.input_size, predictor.original_size, predictor.is_image_set = (591, 1024), embedding.size, True
    prompts = list(prompts_on(embedding.size).values())
    for prompt, candidates in zip(prompts, segmenter.decode(embedding, prompts), strict=True):
        assert_same(candidates, official(predictor, prompt, prompt.is_ambiguous))


def test_the_weights_of_another_architecture_are_reported_in_one_sentence(checkpoint_file, model):
    path = checkpoint_file(model.state_dict())
    with pytest.raises(WeightsError) as caught:
        load_segmenter("sam:vit_b")
    assert str(caught.value).startswith(f"{path} does not hold the weights of sam:vit_b")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2, 3], b"bytes", {"weights": None}], ids=["a list", "bytes", "no tensors"])
def test_a_file_that_holds_no_weights_is_reported_in_one_sentence(checkpoint_file, content):
    path = checkpoint_file(content)
    with pytest.raises(WeightsError, match="does not hold the weights") as caught:
        SamSegmenter.from_checkpoint(OWN["sam:vit_b"], path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_torchs_is_reported_in_one_sentence(tmp_path):
    path = tmp_path / "model.pth"
    for content in (b"", b"<html>", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="does not hold the weights"):
            SamSegmenter.from_checkpoint(OWN["sam:vit_b"], path)
