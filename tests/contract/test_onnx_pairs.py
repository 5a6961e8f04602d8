"""ONNX files in the layouts of other projects give what the model in PyTorch gives, with the same random weights."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")
pytest.importorskip("onnx", reason="the extra [torch] is not installed")

from onnx_of_others import write_sam, write_sam2  # noqa: E402
from sam_backend.errors import WeightsError  # noqa: E402
from sam_backend.finetune.onnx_export import write_onnx  # noqa: E402
from sam_backend.segmenters import Prompt, WeightFolders  # noqa: E402
from sam_backend.segmenters.contract import SegmenterContract, image_of  # noqa: E402
from sam_backend.segmenters.entries import OWN  # noqa: E402
from sam_backend.segmenters.model_registry import load_segmenter  # noqa: E402
from sam_backend.segmenters.sam import SamSegmenter  # noqa: E402
from small_sam import small_sam  # noqa: E402

pytestmark = pytest.mark.slow

SIDE = 256
CLOSE = {"rtol": 0, "atol": 1e-4}
IMAGES = {"landscape": (90, 150), "portrait": (300, 120), "square": (256, 256)}
LAYOUTS = {
    "samexporter, colours": {"colours": True, "single": False},
    "samexporter, normalised": {"colours": False, "single": False},
    "labelme and osam": {"colours": False, "single": True, "encoder_input": "x"},
}


@pytest.fixture(scope="module")
def source():
    return SamSegmenter(small_sam(side=SIDE), OWN["sam:vit_b"], version="small", device="cpu")


@pytest.fixture(scope="module", params=LAYOUTS)
def pair(request, source, tmp_path_factory):
    """Return a SAM from the files of a layout, and whether its decoder gives one mask alone."""
    folder = tmp_path_factory.mktemp("pair")
    write_sam(source.model, folder, **LAYOUTS[request.param])
    return loaded(folder), LAYOUTS[request.param]["single"]


def loaded(folder: Path):
    return load_segmenter(f"onnx:{folder}", threads=1, folders=WeightFolders(None, folder.parent / "cache"))


def prompts_on(size):
    """Return prompts of every kind on an image of this size (H, W)."""
    height, width = size
    middle, corner = [width / 2, height / 2], [3.25, 4.5]
    box = np.array([width / 4, height / 5, width / 1.5, height / 1.2], np.float32)
    logits = np.random.default_rng(1).normal(0, 5, (SIDE // 4, SIDE // 4)).astype(np.float32)
    return [
        Prompt([middle], [1]),
        Prompt([middle, corner], [1, 0]),
        Prompt(box=box),
        Prompt([middle], [0], box=box),
        Prompt([corner], [1], logits=logits),
    ]


@pytest.mark.parametrize("shape", IMAGES)
def test_a_sam_gives_the_masks_scores_and_logits_of_its_source(pair, source, shape):
    model, single = pair
    image = image_of(IMAGES[shape])
    mine, theirs = model.encode(image), source.encode(image)
    np.testing.assert_allclose(mine.arrays["features"], theirs.arrays["features"], **CLOSE)
    prompts = prompts_on(IMAGES[shape])
    answers = model.decode(mine, prompts)
    expected = source.decode(theirs, prompts)
    for prompt, one, other in zip(prompts, answers, expected, strict=True):
        best = slice(None)
        # With one mask, a decoder gives the best of three up to two points; SAM's padding and a box's corners count.
        if single and len(prompt.points) + (1 if prompt.box is None else 2) < 3:
            (other,) = source.decode(theirs, [prompt], multimask=True)
            best = slice(other.best, other.best + 1)
        np.testing.assert_allclose(one.logits, other.logits[best], **CLOSE)
        np.testing.assert_allclose(one.predicted_iou, other.predicted_iou[best], **CLOSE)
        assert np.mean(np.asarray(one.masks) != np.asarray(other.masks)[best]) < 1e-3
    assert model.features(mine).shown == source.features(theirs).shown


@pytest.fixture(scope="module", params=["samexporter", "osam"])
def sam2(request, tmp_path_factory):
    """Return a SAM 2 from the files of a layout, its source, and whether its decoder also has the single mask."""
    pytest.importorskip("transformers", reason="needs the extra transformers")
    from sam_backend.segmenters.hub_entries import load_from_folder
    from tiny_hub_models import save_tiny

    root = tmp_path_factory.mktemp("sam2")
    save_tiny("sam2.1", root / "hub")
    source = load_from_folder(OWN["sam2.1:tiny"], root / "hub", 1, WeightFolders(None, root))
    source._model.mask_decoder.dynamic_multimask_via_stability = False
    write_sam2(source._model, root / "onnx", SIDE, of_osam=request.param == "osam")
    return loaded(root / "onnx"), source, request.param == "osam"


@pytest.mark.parametrize("shape", IMAGES)
def test_a_sam2_gives_the_masks_scores_and_logits_of_its_source(sam2, shape):
    model, source, has_single = sam2
    image = image_of(IMAGES[shape])
    mine, theirs = model.encode(image), source.encode(image)
    for name, level in (("fine0", 0), ("fine1", 1), ("features", 2)):
        # Two libraries resize the image; their pixels differ by one of 255 at most.
        np.testing.assert_allclose(mine.arrays[name], theirs.arrays[f"features{level}"], rtol=0, atol=0.02)
        mine.arrays[name] = theirs.arrays[f"features{level}"]
    for prompt in prompts_on(IMAGES[shape]):
        for several in (True, False):
            ((one,), (other,)) = (
                each.decode(embedding, [prompt], multimask=several)
                for each, embedding in ((model, mine), (source, theirs))
            )
            if not several and not has_single:
                (other,) = source.decode(theirs, [prompt], multimask=True)
                best = slice(other.best, other.best + 1)
            else:
                best = slice(None)
            np.testing.assert_allclose(one.logits, other.logits[best].clip(-32, 32), **CLOSE)
            np.testing.assert_allclose(one.predicted_iou, other.predicted_iou[best], **CLOSE)
            assert np.mean(np.asarray(one.masks) != np.asarray(other.masks)[best]) < 1e-3
    features, expected = model.features(mine), source.features(theirs)
    assert features.shown == expected.shown
    np.testing.assert_allclose(features.values, expected.values, rtol=0, atol=1e-4)


def test_what_is_no_pair_is_refused_in_one_sentence(source, tmp_path):
    write_sam(source.model, tmp_path / "twice", colours=False, single=False)
    folder = tmp_path / "twice"
    (folder / "copy.onnx").write_bytes((folder / "a.encoder.onnx").read_bytes())
    with pytest.raises(WeightsError, match=r"holds 3 ONNX files \(a\.decoder\.onnx, a\.encoder\.onnx, copy\.onnx\)"):
        loaded(folder)
    (folder / "a.decoder.onnx").unlink()
    with pytest.raises(WeightsError, match=r"no pair of ONNX files that is read here.*image_embeddings of input_image"):
        loaded(folder)
    (folder / "copy.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"copy\.onnx is no ONNX model"):
        loaded(folder)
    with pytest.raises(WeightsError, match=r"holds no exported model.*or one with an encoder and a decoder as ONNX"):
        loaded(tmp_path)


def test_an_encoder_of_another_size_than_its_decoder_is_refused(source, tmp_path):
    write_sam(source.model, tmp_path / "pair", colours=False, single=False)
    other = small_sam(side=128).image_encoder
    write_onnx(other, (torch.rand(1, 3, 128, 128),), tmp_path / "pair" / "a.encoder.onnx", ["x"], ["y"], {})
    with pytest.raises(WeightsError, match="no pair of ONNX files that is read here"):
        loaded(tmp_path / "pair")


def test_the_version_changes_with_the_files(source, tmp_path):
    for name, seed in (("one", 0), ("two", 1)):
        model = small_sam(side=64)
        with torch.no_grad():
            model.mask_decoder.iou_token.weight.add_(seed)
        write_sam(model, tmp_path / name / "same", colours=False, single=False)
    one, two = (loaded(tmp_path / name / "same")._segmenter.version.rpartition("-")[2] for name in ("one", "two"))
    assert one != two


class TestSam(SegmenterContract):
    @pytest.fixture
    def make_segmenter(self, source, tmp_path):
        write_sam(source.model, tmp_path / "pair", colours=True, single=True)
        return lambda: loaded(tmp_path / "pair")._segmenter
