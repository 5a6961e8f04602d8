"""MobileSAM: the names and shapes of the official checkpoint, and what its architecture computes."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")
pytest.importorskip("timm", reason="the extra [torch] is not installed")

from segment_anything import SamPredictor, sam_model_registry  # noqa: E402

from loopback import serving  # noqa: E402
from sam_backend.errors import WeightsError  # noqa: E402
from sam_backend.segmenters import Prompt, WeightFolders  # noqa: E402
from sam_backend.segmenters.contract import image_of  # noqa: E402
from sam_backend.segmenters.entries import MOBILE_SAM, OWN, load_official  # noqa: E402
from sam_backend.segmenters.mobile_sam import MobileSamSegmenter  # noqa: E402
from sam_backend.segmenters.model_registry import load_segmenter  # noqa: E402
from sam_backend.segmenters.weights import file_sha256  # noqa: E402
from tiny_vit_of_mobile_sam import official_forward, official_shapes  # noqa: E402

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module")
def checkpoint():
    """Return a checkpoint of seeded weights with the official names and shapes."""
    generator = torch.Generator().manual_seed(0)

    def made(name, shape):
        if name.endswith("num_batches_tracked"):
            return torch.tensor(7)
        values = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            return values.abs() + 0.5
        # About one for what scales, small for sums, so that no layer drowns another.
        return (
            1 + 0.2 * values
            if len(shape) == 1 and name.endswith("weight")
            else values * 0.5 / max(shape[1:], default=1) ** 0.5
        )

    encoder = {f"image_encoder.{name}": made(name, shape) for name, shape in official_shapes().items()}
    rest = {k: v for k, v in sam_model_registry["vit_b"]().state_dict().items() if not k.startswith("image_encoder.")}
    return encoder | rest


@pytest.fixture(scope="module")
def loaded(checkpoint, tmp_path_factory):
    """Return the checkpoint's file, the entry that takes it for the published one, and the model from it."""
    folder = tmp_path_factory.mktemp("mobilesam")
    path = folder / "mobile_sam.pt"
    torch.save(checkpoint, path)
    sha256 = file_sha256(path, WeightFolders(None, folder))
    info = replace(MOBILE_SAM, files=(replace(MOBILE_SAM.files[0], sha256=sha256),))
    return path, info, MobileSamSegmenter.from_checkpoint(info, path, "cpu")


def test_these_weights_fill_a_file_of_the_published_size(checkpoint):
    # Beside the values, a file of torch holds some hundred bytes for each of the 439 names.
    stored = sum(value.numel() * value.element_size() for value in checkpoint.values())
    assert 0 < MOBILE_SAM.files[0].size - stored < 200_000


def test_every_weight_has_its_place(loaded, checkpoint):
    _, _, segmenter = loaded
    state = segmenter.model.state_dict()
    assert len(state) == len(checkpoint)
    assert set(segmenter.weights_of(checkpoint)) == set(state)
    assert sum(parameter.numel() for parameter in segmenter.model.parameters()) == 10_130_092


@torch.inference_mode()
def test_the_encoder_computes_what_the_architecture_says(loaded, checkpoint):
    _, _, segmenter = loaded
    weights = {name.removeprefix("image_encoder."): value for name, value in checkpoint.items()}
    images = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))
    features = segmenter.model.image_encoder(images)
    assert features.shape == (1, 256, 64, 64)
    torch.testing.assert_close(features, official_forward(weights, images), **CLOSE)
    assert features.std() > 0.1


@pytest.mark.parametrize("size", [(150, 260), (300, 170), (200, 200)], ids=["landscape", "portrait", "square"])
def test_masks_scores_and_logits_are_those_of_the_official_predictor(loaded, size):
    _, _, segmenter = loaded
    image = image_of(size)
    predictor = SamPredictor(segmenter.model)
    predictor.set_image(image)
    embedding = segmenter.encode(image)
    np.testing.assert_allclose(embedding.arrays["features"], predictor.features[0].numpy(), **CLOSE)
    point, box = np.array([[size[1] * 0.4, size[0] * 0.6]]), np.array([10.0, 20.0, size[1] * 0.7, size[0] * 0.8])
    for prompt in (Prompt(point, [1]), Prompt(box=box), Prompt(point, [0], box=box)):
        (answer,) = segmenter.decode(embedding, [prompt])
        masks, scores, logits = predictor.predict(
            point if len(prompt.points) else None,
            prompt.labels if len(prompt.points) else None,
            prompt.box,
            multimask_output=prompt.is_ambiguous,
        )
        np.testing.assert_allclose(answer.predicted_iou, scores, **CLOSE)
        np.testing.assert_allclose(answer.logits, logits, **CLOSE)
        assert np.mean(np.asarray(answer.masks) != masks) < 1e-3


def test_it_is_downloaded_from_a_mirror_checked_loaded_and_asked(loaded, tmp_path, monkeypatch):
    path, info, segmenter = loaded
    size = path.stat().st_size
    info = replace(info, files=(replace(info.files[0], size=size),))
    monkeypatch.setitem(OWN, "mobilesam", info)
    with serving() as mirror:
        folders = WeightFolders(None, tmp_path, mirror=mirror.url)
        place = "/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt"
        mirror.routes[place] = b"<html>Log in</html>".ljust(size)
        with pytest.raises(WeightsError, match=r"is not mobile_sam\.pt: its SHA-256 is"):
            load_segmenter("mobilesam", folders=folders)
        mirror.routes[place] = path.read_bytes()
        downloaded = load_segmenter("mobilesam", folders=folders)
    assert downloaded.version.startswith(segmenter.version)
    image = image_of((50, 70))
    click = [Prompt(np.array([[35.0, 25.0]]), np.array([1]))]
    ((mine,), (expected,)) = (each.decode(each.encode(image), click) for each in (downloaded, segmenter))
    np.testing.assert_allclose(mine.logits, expected.logits, **CLOSE)


def test_the_entry_loads_its_file_and_refuses_another_in_one_sentence(loaded, tmp_path):
    path, info, segmenter = loaded
    folders = WeightFolders(None, tmp_path)
    again = load_official(info, path, folders, "cpu")
    assert type(again) is MobileSamSegmenter
    assert (again.name, again.version) == ("mobilesam", segmenter.version)
    with pytest.raises(WeightsError, match=r"is corrupt or another file.*sam-inspect download mobilesam"):
        load_official(MOBILE_SAM, path, folders, "cpu")
    torch.save({"image_encoder.pos_embed": torch.zeros(1)}, tmp_path / "vit_b.pth")
    with pytest.raises(WeightsError, match=r"does not hold the weights of mobilesam: expected a file like mobile_sam"):
        MobileSamSegmenter.from_checkpoint(info, tmp_path / "vit_b.pth", "cpu")
