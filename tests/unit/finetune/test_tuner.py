"""The training: what it changes, and that an interruption changes nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from blob_images import write_blobs  # noqa: E402
from sam_backend.finetune import prompted_loss  # noqa: E402
from sam_backend.finetune.examples import Examples, TooFewMasksError, read_examples  # noqa: E402
from sam_backend.finetune.trainable import load_trainable  # noqa: E402
from sam_backend.finetune.training_loop import NonFiniteLossError  # noqa: E402
from sam_backend.finetune.tuner import Check, Tuner  # noqa: E402
from sam_backend.finetune.tuning_recipe import Parts, TuningRecipe  # noqa: E402
from sam_evaluation.datasets.mask_folder import MaskFolder  # noqa: E402

pytestmark = pytest.mark.slow

DECODER = TuningRecipe(steps=4, images=1, prompts=2, views=1)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return read_examples(MaskFolder(write_blobs(tmp_path_factory.mktemp("blobs"), 16)))


def tuner(examples: Examples, out: Path, recipe: TuningRecipe = DECODER) -> Tuner:
    return Tuner(load_trainable("nano"), examples, recipe, out)


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_decoder_learns_and_its_encoder_stays(examples: Examples, tmp_path: Path) -> None:
    found = tuner(examples, tmp_path)
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    assert np.isfinite(found.take_step())
    changed = {name for name, value in found.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert {name.partition(".")[0] for name in changed} <= {"mask_decoder", "prompt_encoder"}


def test_all_of_it_learns_when_asked_to(examples: Examples, tmp_path: Path) -> None:
    found = tuner(examples, tmp_path, TuningRecipe(parts=Parts.ALL, steps=4, images=1, prompts=1))
    before = found.model.image_encoder.backbone.stem.weight.detach().clone()
    found.take_step()
    assert not torch.equal(before, found.model.image_encoder.backbone.stem.weight)


def test_a_view_is_encoded_once_where_the_encoder_stays(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuner(replace(examples, names={split: names[:1] for split, names in examples.names.items()}), tmp_path)
    encoded: list[int] = []
    encode = found._encode
    monkeypatch.setattr(found._embeddings, "_encode", lambda image: encoded.append(1) or encode(image))
    found.take_step()
    found.take_step()
    assert len(encoded) == 1


def trained(examples: Examples, out: Path, recipe: TuningRecipe, threads: int) -> dict[str, object]:
    """Return the weights after one step, computed by a number of threads."""
    found = tuner(examples, out, recipe)
    found._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    found.take_step()
    return found.optimisation.weights


@pytest.mark.parametrize("parts", [Parts.DECODER, Parts.ALL])
def test_the_weights_do_not_depend_on_which_image_is_done_first(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Parts
) -> None:
    # With this seed, the first image of the step is corrected once and the second is not.
    recipe = TuningRecipe(parts=parts, steps=4, images=2, prompts=1, views=1, corrections=1, seed=4)
    one_by_one = trained(examples, tmp_path / "one by one", recipe, threads=1)

    here, ended, decoded = threading.local(), [threading.Event() for _ in range(2)], []
    learn, decode = Tuner._learn, prompted_loss.decode

    def learn_and_tell(self: Tuner, number: int) -> object:
        here.number = number
        try:
            return learn(self, number)
        finally:
            ended[number].set()

    def decode_and_wait(*arguments: object) -> object:
        answer = decode(*arguments)
        decoded.append(here.number)
        if here.number == 0:
            # The second image is done between the two decodings of the first.
            assert ended[1].wait(60)
        return answer

    monkeypatch.setattr(Tuner, "_learn", learn_and_tell)
    monkeypatch.setattr(prompted_loss, "decode", decode_and_wait)
    crossed = trained(examples, tmp_path / "crossed", recipe, threads=2)
    assert sorted(decoded) == [0, 0, 1]
    assert same(one_by_one, crossed)


def test_a_kept_embedding_is_that_of_the_pixels_whatever_the_image_is_called(
    examples: Examples, tmp_path: Path
) -> None:
    embeddings = tuner(examples, tmp_path)._embeddings
    dark, bright = (np.full((512, 512, 3), grey, np.uint8) for grey in (20, 220))
    first = embeddings.fetch(dark, "float32")
    assert not torch.equal(first, embeddings.fetch(bright, "float32"))
    assert torch.equal(first, embeddings.fetch(dark, "float32"))


def test_objects_too_small_to_be_measured_end_the_training_in_one_sentence(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuner(examples, tmp_path)
    monkeypatch.setattr(found, "_measure", lambda name: np.zeros((0, 2)))
    with pytest.raises(TooFewMasksError, match=r"None of the \d+ masks on the \d+ validation images can be measured"):
        found.check()


def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    examples: Examples, tmp_path: Path
) -> None:
    straight = tuner(examples, tmp_path)
    straight.take_step()
    straight.save()
    straight.take_step()

    resumed = tuner(examples, tmp_path)
    assert resumed.resume()
    assert resumed.step == 1
    resumed.take_step()
    assert same(straight.optimisation.average.values, resumed.optimisation.average.values)


def test_a_checkpoint_of_another_recipe_or_one_that_cannot_be_read_is_begun_anew(
    examples: Examples, tmp_path: Path
) -> None:
    tuner(examples, tmp_path).save()
    assert not tuner(examples, tmp_path, TuningRecipe(steps=5, images=1)).resume()
    (tmp_path / "checkpoint.pt").write_bytes(b"half a checkpoi")
    assert not tuner(examples, tmp_path).resume()


def test_a_loss_that_is_no_number_changes_nothing(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuner(examples, tmp_path)
    before = {name: value.detach().clone() for name, value in found.optimisation.weights.items()}
    monkeypatch.setattr(prompted_loss, "answer_loss", lambda logits, *_: logits.mean() * float("nan"))
    with pytest.raises(NonFiniteLossError, match="The loss became nan after step 0"):
        found.take_step()
    assert found.step == 0
    assert same(before, found.optimisation.weights)


def test_the_best_of_the_checks_is_kept_and_idle_checks_end_the_training(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuner(examples, tmp_path, TuningRecipe(steps=9, images=1, patience=2))
    name = next(iter(found.optimisation.average.values))
    for value, iou in ((0.0, 0.5), (1.0, 0.7), (2.0, 0.6), (3.0, 0.7)):
        assert not found.is_idle()
        found.optimisation.average.values[name].fill_(value)
        monkeypatch.setattr(found, "_measure", lambda _, iou=iou: np.full((2, 2), iou))
        found.check()
    assert found.is_idle()
    assert float(found.best[name].max()) == 1.0
    found.use_best()
    assert float(found.optimisation.weights[name].detach().max()) == 1.0


def test_a_check_measures_the_average_and_leaves_what_is_trained(examples: Examples, tmp_path: Path) -> None:
    found = tuner(examples, tmp_path)
    name = next(iter(found.optimisation.weights))
    own = found.optimisation.weights[name].detach().clone()
    found.optimisation.average.values[name].zero_()
    assert isinstance(found.check(), Check)
    assert torch.equal(found.optimisation.weights[name], own)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
@pytest.mark.parametrize("parts", [Parts.DECODER, Parts.ALL])
def test_a_gpu_is_taken_where_there_is_one(examples: Examples, tmp_path: Path, parts: Parts) -> None:
    recipe = replace(DECODER, parts=parts)
    found = tuner(examples, tmp_path, recipe)
    assert {value.device.type for value in found.optimisation.weights.values()} == {"cuda"}
    found.check()
    assert np.isfinite(found.take_step())
    found.save()
    resumed = tuner(examples, tmp_path, recipe)
    assert resumed.resume()
    assert np.isfinite(resumed.take_step())
    resumed.use_best()
