"""SAM's own models: tuned by the same code, served from what was tuned, exported to ONNX."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from segment_anything import SamPredictor, sam_model_registry  # noqa: E402
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from blob_images import write_blobs  # noqa: E402
from sam_backend.errors import WeightsError  # noqa: E402
from sam_backend.finetune import run  # noqa: E402
from sam_backend.finetune.adapters import add_adapters, merge_adapters  # noqa: E402
from sam_backend.finetune.examples import Share, read_examples  # noqa: E402
from sam_backend.finetune.recipe import Parts, Recipe  # noqa: E402
from sam_backend.finetune.starts import Start  # noqa: E402
from sam_backend.finetune.tuning import Tuner  # noqa: E402
from sam_backend.segmenters.entries import OWN  # noqa: E402
from sam_backend.segmenters.sam import SamSegmenter  # noqa: E402
from sam_evaluation.datasets.registry import DatasetSpec  # noqa: E402


def small_sam() -> Any:
    """Return a SAM of the official classes with a thin, shallow encoder of 256 x 256 pixels."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=1024,
        depth=1,
        embed_dim=32,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        window_size=14,
    )
    transformer = TwoWayTransformer(depth=1, embedding_dim=256, mlp_dim=64, num_heads=8)
    prompts = PromptEncoder(
        embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16
    )
    return Sam(encoder, prompts, MaskDecoder(transformer_dim=256, transformer=transformer)).eval()


@pytest.fixture
def tuned(tmp_path: Path) -> tuple[Start, Path]:
    """Return a small SAM after a step, and the folder that it was exported to."""
    start = Start("sam:vit_b", small_sam(), 1024, pieces=False, tuned=False)
    found = read_examples(DatasetSpec("masks", write_blobs(tmp_path / "blobs", 16, objects=1)))
    tuner = Tuner(start, found, Recipe(steps=2, images=1, prompts=1, views=1), tmp_path / "work")
    assert np.isfinite(tuner.take_step())
    assert found.names[Share.TRAINING]
    tuner.best = {name: value.detach().clone() for name, value in tuner.trained.items()}
    tuner.use_best()
    (tmp_path / "out").mkdir()
    run._export(start, Parts.DECODER, tmp_path / "out")
    return start, tmp_path / "out"


def test_a_tuned_sam_is_served_from_what_differs_and_its_decoder_is_in_onnx(
    tuned: tuple[Start, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, folder = tuned
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert {name.partition(".")[0] for name in weights} == {"mask_decoder", "prompt_encoder"}

    monkeypatch.setitem(sam_model_registry, "vit_b", small_sam)
    torch.save(small_sam().state_dict(), tmp_path / "official.pth")
    official = SamSegmenter.from_checkpoint(OWN["sam:vit_b"], tmp_path / "official.pth", "cpu")
    served = SamSegmenter.from_checkpoint(OWN["sam:vit_b"], tmp_path / "official.pth", "cpu", folder / "weights.pt")
    assert served.version != official.version
    assert all(torch.equal(value, start.model.state_dict()[name]) for name, value in served._model.state_dict().items())

    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    predictor = SamPredictor(start.model)
    predictor.features, predictor.is_image_set = embedding, True
    predictor.input_size = predictor.original_size = (1024, 1024)
    coords, labels = torch.tensor([[[400.0, 300.0]], [[90.0, 800.0]]]), torch.tensor([[1], [1]])
    _, iou, low = predictor.predict_torch(coords, labels, multimask_output=True)
    session = onnxruntime.InferenceSession(str(folder / "decoder.onnx"))
    masks, predicted = session.run(
        None,
        {
            "embedding": embedding.numpy(),
            "coords": np.concatenate([coords.numpy(), np.zeros((2, 1, 2), np.float32)], 1),
            "labels": np.array([[1, -1], [1, -1]]),
            "logits": np.zeros((2, 1, 256, 256), np.float32),
            "has_logits": np.zeros(2, np.float32),
        },
    )
    assert masks[:, 1:] == pytest.approx(low.numpy(), abs=1e-3)
    assert predicted[:, 1:] == pytest.approx(iou.numpy(), abs=1e-4)


def test_weights_tuned_from_another_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sam_model_registry, "vit_b", small_sam)
    torch.save(small_sam().state_dict(), tmp_path / "official.pth")
    torch.save({"another.weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="tuned from another model"):
        SamSegmenter.from_checkpoint(OWN["sam:vit_b"], tmp_path / "official.pth", "cpu", tmp_path / "weights.pt")


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
