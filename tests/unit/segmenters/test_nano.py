"""The embedded model: its ONNX form equals its PyTorch form, and the shipped files work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.segmenters import Embedding, Prompt
from sam_backend.segmenters.nano import segmenter as nano
from sam_backend.segmenters.nano.segmenter import NanoSegmenter
from sam_backend.segmenters.pieces import clicked_pieces
from sam_evaluation import RunSettings, evaluate
from sam_evaluation.metrics import iou

POINTS = np.array([[60.0, 50.0], [120.0, 90.0]])
LABELS = np.array([1, 0])
BOX = np.array([20.0, 30.0, 150.0, 120.0])


def noise(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def shipped() -> NanoSegmenter:
    return NanoSegmenter()


@pytest.fixture(scope="module")
def disk(shipped: NanoSegmenter) -> tuple[Embedding, np.ndarray]:
    """A dark disk on grey, encoded, and its mask."""
    image = np.full((300, 400, 3), 170, np.uint8)
    cv2.circle(image, (150, 120), 40, (60, 60, 60), -1, cv2.LINE_AA)
    return shipped.encode(image), image[..., 0] < 115


@pytest.fixture(scope="module")
def both_forms(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, NanoSegmenter]:
    torch = pytest.importorskip("torch")
    from segment_anything import SamPredictor

    from sam_backend.finetune.onnx_export import export_nano
    from sam_backend.segmenters.nano.architecture import build_nano

    torch.manual_seed(0)
    model = build_nano().eval()
    folder = tmp_path_factory.mktemp("nano")
    export_nano(model.state_dict(), folder)
    return SamPredictor(model), NanoSegmenter(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(200, 200), (160, 400), (520, 250)])
def test_the_official_predictor_gives_the_same_masks_scores_and_logits(both_forms, height: int, width: int) -> None:
    predictor, segmenter = both_forms
    image = noise(height, width)
    predictor.set_image(image)
    embedding = segmenter.encode(image)
    earlier = segmenter.decode(embedding, [Prompt(POINTS[:1], LABELS[:1])], multimask=False)[0].logits[0]
    cases = [
        (Prompt(POINTS[:1], LABELS[:1]), {"point_coords": POINTS[:1], "point_labels": LABELS[:1]}, True),
        (Prompt(POINTS, LABELS), {"point_coords": POINTS, "point_labels": LABELS}, False),
        (Prompt(box=BOX), {"box": BOX}, False),
        (Prompt(POINTS, LABELS, BOX), {"point_coords": POINTS, "point_labels": LABELS, "box": BOX}, False),
        (
            Prompt(POINTS, LABELS, logits=earlier),
            {"point_coords": POINTS, "point_labels": LABELS, "mask_input": earlier[None]},
            False,
        ),
    ]
    answers = segmenter.decode(embedding, [prompt for prompt, _, _ in cases])
    for answer, (prompt, arguments, multimask) in zip(answers, cases, strict=True):
        masks, scores, logits = predictor.predict(**arguments, multimask_output=multimask)
        # Several are known at every second cell, a single one at every cell around its mask.
        np.testing.assert_allclose(answer.logits[:, ::2, ::2], logits[:, ::2, ::2], atol=1e-4)
        if not multimask:
            inside = logits > 0
            np.testing.assert_allclose(answer.logits[inside], logits[inside], atol=1e-4)
        np.testing.assert_allclose(answer.predicted_iou, scores, atol=1e-4)
        if prompt.box is None:
            masks = np.stack([clicked_pieces(mask, POINTS[:1]) for mask in masks])
        # A pixel whose logit is zero to float precision may fall on either side.
        assert (np.asarray(answer.masks) != masks).mean() < 1e-4


@pytest.mark.slow
def test_what_ships_is_a_sam_for_the_official_mask_generator_too(shipped: NanoSegmenter, disk) -> None:
    pytest.importorskip("torch")
    from segment_anything import SamAutomaticMaskGenerator

    from sam_backend.finetune.trainable import load_nano

    model = load_nano(Path(nano.__file__).parent).eval()
    image = np.full((300, 400, 3), 170, np.uint8)
    cv2.circle(image, (150, 120), 40, (60, 60, 60), -1, cv2.LINE_AA)
    generator = SamAutomaticMaskGenerator(model, points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    found = generator.generate(image)
    assert max(iou(each["segmentation"], disk[1]) for each in found) > 0.8


def test_a_lone_click_gets_three_masks_and_anything_clearer_one(shipped: NanoSegmenter, disk) -> None:
    embedding, _ = disk
    click, box, asked = Prompt(POINTS[:1], LABELS[:1]), Prompt(box=BOX), Prompt(POINTS, LABELS)
    assert [len(answer.masks) for answer in shipped.decode(embedding, [click, box, asked])] == [3, 1, 1]
    assert len(shipped.decode(embedding, [box], multimask=True)[0].masks) == 3


def test_prompts_decoded_together_are_answered_as_if_alone(shipped: NanoSegmenter, disk) -> None:
    embedding, _ = disk
    prompts = [Prompt(np.array([[x, 120.0]]), np.array([1])) for x in np.linspace(20, 380, nano._BATCH + 3)]
    prompts.insert(4, Prompt(box=BOX))
    for prompt, together in zip(prompts, shipped.decode(embedding, prompts), strict=True):
        alone = shipped.decode(embedding, [prompt])[0]
        np.testing.assert_allclose(together.logits, alone.logits, atol=1e-3)


def test_logits_of_another_size_are_refused(shipped: NanoSegmenter, disk) -> None:
    prompt = Prompt(box=BOX, logits=np.zeros((64, 64), np.float32))
    with pytest.raises(BadRequestError, match=r"takes logits of shape \(256, 256\); got \(64, 64\)"):
        shipped.decode(disk[0], [prompt])


def test_the_shipped_model_finds_a_plain_disk_by_click_and_by_box(shipped: NanoSegmenter, disk) -> None:
    embedding, truth = disk
    click, box = shipped.decode(
        embedding,
        [Prompt(np.array([[150.0, 120.0]]), np.array([1])), Prompt(box=np.array([110.0, 80.0, 191.0, 161.0]))],
    )
    assert iou(click.masks[click.best], truth) > 0.8
    assert iou(box.masks[0], truth) > 0.8


def test_the_shipped_files_stay_within_thirty_megabytes() -> None:
    folder = Path(nano.__file__).parent
    assert sum(path.stat().st_size for path in folder.glob("*.onnx")) <= 30e6


@pytest.mark.slow
def test_the_version_changes_with_the_weights(both_forms, shipped: NanoSegmenter) -> None:
    assert shipped.version.startswith("nano-")
    assert shipped.version != both_forms[1].version


def test_a_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"encoder\.onnx"):
        NanoSegmenter(tmp_path)


def test_a_file_that_is_no_model_is_reported_by_name(tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "outline.onnx"):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(WeightsError, match=r"encoder\.onnx is no ONNX model"):
        NanoSegmenter(tmp_path)


@pytest.mark.skipif("SAM_INSPECT_DATA" not in os.environ, reason="SAM_INSPECT_DATA, the folder of images, is not set")
@pytest.mark.slow
def test_on_real_steel_it_beats_the_filled_box_and_the_region_under_a_click(tmp_path: Path) -> None:
    steel = f"neu_seg:{os.environ['SAM_INSPECT_DATA']}/neu_seg"
    rivals = ["boxfill", "felzenszwalb"]
    run = evaluate(["nano", *rivals], [steel], out=tmp_path, settings=RunSettings("box,click", limit=60))
    mean = run.objects.groupby(["model", "protocol"])["iou"].mean()
    assert mean["nano", "box"] > mean["boxfill", "box"] + 0.05
    assert mean["nano", "click"] > mean["felzenszwalb", "click"] + 0.05


@pytest.mark.parametrize("content", [None, b"junk"])
def test_a_folder_that_is_no_version_is_not_said_to_be_a_broken_installation(tmp_path, content):
    if content:
        (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="sam-inspect finetune") as raised:
        NanoSegmenter(tmp_path)
    assert "install" not in str(raised.value)


def test_a_version_of_before_is_said_to_be_one(tmp_path):
    for name in ("encoder.onnx", "decoder.onnx"):
        shutil.copy(Path(nano.__file__).parent / name, tmp_path)
    with pytest.raises(WeightsError, match=r"outline\.onnx, but .* an earlier version of SAM Inspect"):
        NanoSegmenter(tmp_path)


def test_only_the_mask_that_is_asked_for_is_drawn(shipped: NanoSegmenter, disk) -> None:
    embedding, truth = disk
    answer = shipped.decode(embedding, [Prompt(np.array([[150.0, 120.0]]), np.array([1]))])[0]
    assert not answer.masks._drawn
    assert iou(answer.masks[answer.best], truth) > 0.8
    assert list(answer.masks._drawn) == [answer.best]
