"""SAM's own models: tuned by the same code, and served from what was tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402
from segment_anything import sam_model_registry  # noqa: E402

from blob_images import write_blobs  # noqa: E402
from sam_backend.errors import WeightsError  # noqa: E402
from sam_backend.finetune import trainable  # noqa: E402
from sam_backend.finetune.adapters import add_adapters, merge_adapters  # noqa: E402
from sam_backend.finetune.examples import read_examples  # noqa: E402
from sam_backend.finetune.trainable import load_trainable  # noqa: E402
from sam_backend.finetune.tuner import Tuner  # noqa: E402
from sam_backend.finetune.tuning_recipe import TuningRecipe  # noqa: E402
from sam_backend.segmenters.entries import OWN, tuned_weights  # noqa: E402
from sam_backend.segmenters.sam import SamSegmenter  # noqa: E402
from sam_evaluation.datasets.mask_folder import MaskFolder  # noqa: E402
from small_sam import small_sam  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a small SAM that stands for the published checkpoint of `sam:vit_b`."""
    monkeypatch.setitem(sam_model_registry, "vit_b", small_sam)
    path = tmp_path / "official.pth"
    torch.save(small_sam().state_dict(), path)
    monkeypatch.setattr(trainable, "obtain_checkpoint", lambda *_: path)
    return path


def served(published: Path, tuned: Path | None = None) -> SamSegmenter:
    return SamSegmenter.from_checkpoint(OWN["sam:vit_b"], published, "cpu", tuned and tuned_weights(tuned))


def test_a_tuned_sam_is_served_from_what_differs_and_tuned_on_from_it(published: Path, tmp_path: Path) -> None:
    start = load_trainable("sam:vit_b")
    found = read_examples(MaskFolder(write_blobs(tmp_path / "blobs", 16, objects=1)))
    tuner = Tuner(start, found, TuningRecipe(steps=2, images=1, prompts=1, views=1), tmp_path / "work")
    assert np.isfinite(tuner.take_step())
    tuner.best = {name: value.detach().clone() for name, value in tuner.optimisation.weights.items()}
    tuner.use_best()
    (tmp_path / "out").mkdir()
    start.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"weights.safetensors"}
    weights = load_file(tmp_path / "out" / "weights.safetensors")
    assert {name.partition(".")[0] for name in weights} == {"mask_decoder", "prompt_encoder"}

    tuned = served(published, tmp_path / "out")
    assert tuned.version != served(published).version
    assert all(torch.equal(value, start.model.state_dict()[name]) for name, value in tuned.model.state_dict().items())
    assert load_trainable("sam:vit_b", tmp_path / "out").digest() == start.digest()


def test_a_sam_that_an_earlier_version_tuned_is_served_and_tuned_on(published: Path, tmp_path: Path) -> None:
    changed = small_sam()
    with torch.no_grad():
        changed.mask_decoder.mask_tokens.weight.add_(0.1)
    weights = changed.state_dict()
    torch.save({name: weights[name] for name in weights if name.startswith("mask_decoder.")}, tmp_path / "weights.pt")
    tuned = served(published, tmp_path)
    assert all(torch.equal(value, weights[name]) for name, value in tuned.model.state_dict().items())
    assert tuned.version != served(published).version
    assert all(
        torch.equal(value, weights[name])
        for name, value in load_trainable("sam:vit_b", tmp_path).model.state_dict().items()
    )


def test_weights_tuned_from_another_model_are_refused(published: Path, tmp_path: Path) -> None:
    save_file({"another.weight": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="tuned from another model"):
        served(published, tmp_path)


def test_a_file_that_holds_no_tuned_weights_is_refused(published: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="does not hold weights tuned from sam:vit_b"):
        served(published, tmp_path)


def test_adapters_alone_learn_and_are_merged_into_what_they_stand_beside() -> None:
    pytest.importorskip("peft", reason="peft of the torch extra is not installed")
    encoder = small_sam().image_encoder
    names, image = set(encoder.state_dict()), torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        before = encoder(image)
        encoder.requires_grad_(False)
        add_adapters(encoder, rank=2)
        assert torch.allclose(encoder(image), before, atol=1e-5)
        learning = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
        assert learning
        assert all("lora_" in name for name in learning)
        for value in learning.values():
            value.add_(0.01)
        changed = encoder(image)
        merge_adapters(encoder)
        assert set(encoder.state_dict()) == names
        assert torch.allclose(encoder(image), changed, atol=1e-4)
        assert not torch.allclose(changed, before, atol=1e-4)
