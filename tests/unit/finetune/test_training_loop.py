"""The loop that every training shares: rates, averages, checkpoints, and when it saves and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from sam_backend.finetune.training_loop import (  # noqa: E402
    NonFiniteLossError,
    Optimisation,
    RunningAverage,
    Schedule,
    read_checkpoint,
)

pytestmark = pytest.mark.slow


def optimisation(steps: int = 4, **options: float) -> Optimisation:
    """Return two weights at 1 in training, of which `slow.weight` learns at a tenth of the rate."""
    torch.manual_seed(0)
    weights = {name: torch.nn.Parameter(torch.ones(3)) for name in ("fast.weight", "slow.weight")}
    settings = {"rate": 0.1, "slow_rate": 0.01, "clip": 1.0, "average": 0.9} | options
    return Optimisation(weights, Schedule(steps, warm_up=1, floor=0.0), slow="slow.", **settings)


def take_step(training: Optimisation) -> None:
    training.begin_step()
    sum((weight**2).sum() for weight in training.weights.values()).backward()
    training.end_step()


def test_the_rate_rises_then_falls_to_its_floor() -> None:
    schedule = Schedule(steps=100, warm_up=10, floor=0.02)
    rates = [schedule.rate(0.5, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.05, rel=1e-3)
    assert max(rates) == max(rates[9:12])
    assert rates[100] == pytest.approx(0.5 * 0.02)


def test_an_average_follows_closely_at_first_and_slowly_later() -> None:
    early, late = (RunningAverage({"weight": torch.zeros(1)}, 0.9) for _ in range(2))
    early.update({"weight": torch.ones(1)}, step=0)
    late.update({"weight": torch.ones(1)}, step=1000)
    assert (float(early.values["weight"]), float(late.values["weight"])) == pytest.approx((0.9, 0.1))


def test_weights_of_a_slow_part_learn_at_its_own_rate() -> None:
    training = optimisation()
    take_step(training)
    fast, slow = (1 - float(training.weights[f"{part}.weight"].detach()[0]) for part in ("fast", "slow"))
    assert fast == pytest.approx(10 * slow, rel=0.02)


def test_a_training_that_goes_on_from_its_checkpoint_ends_as_one_that_was_not_interrupted(tmp_path: Path) -> None:
    straight = optimisation()
    take_step(straight)
    straight.checkpoint("this training", "notes", {"best": torch.ones(2)}).write(tmp_path / "checkpoint.pt")
    take_step(straight)

    checkpoint = read_checkpoint(tmp_path / "checkpoint.pt")
    assert checkpoint is not None
    assert (checkpoint.identity, checkpoint.notes, checkpoint.step) == ("this training", "notes", 1)
    assert checkpoint.best["best"].tolist() == [1, 1]
    resumed = optimisation()
    resumed.resume(checkpoint)
    take_step(resumed)
    for name, weight in straight.weights.items():
        assert torch.equal(weight, resumed.weights[name])
        assert torch.equal(straight.average.values[name], resumed.average.values[name])


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit of a file's size")
    checkpoint = optimisation().checkpoint("this training", best={"best": torch.ones(100_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoint.write(tmp_path / "checkpoint.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


class Evil:
    """A class whose objects a checkpoint of earlier versions held."""


@pytest.mark.parametrize(
    "content",
    [
        {"identity": (Evil(), "nano"), "state": Evil(), "average": {}},
        {"recipe": "{}", "step": 3, "seconds": 1.0, "model": {}, "averaged": {}, "optimiser": {}},
        {"format": "sam-inspect training 1", "identity": "no weights"},
        [1, 2],
    ],
    ids=["objects", "another version", "incomplete", "a list"],
)
def test_a_file_that_is_no_checkpoint_of_this_version_is_none(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pt"
    assert read_checkpoint(path) is None
    torch.save(content, path)
    assert read_checkpoint(path) is None
    path.write_bytes(b"half a checkpoi")
    assert read_checkpoint(path) is None


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    training = optimisation()
    training.begin_step()
    training.weights["fast.weight"].grad = torch.full((3,), float("inf"))
    with pytest.raises(NonFiniteLossError, match="after step 0"):
        training.end_step()
    assert training.step == 0
    assert training.weights["fast.weight"].tolist() == training.average.values["fast.weight"].tolist() == [1, 1, 1]


def test_averaged_weights_are_used_inside_a_block_only() -> None:
    training = optimisation()
    take_step(training)
    own = training.weights["fast.weight"].detach().clone()
    with training.averaged():
        assert torch.equal(training.weights["fast.weight"], training.average.values["fast.weight"])
        assert not torch.equal(training.weights["fast.weight"], own)
    assert torch.equal(training.weights["fast.weight"], own)


def test_a_loop_saves_when_asked_to_and_at_its_end_once() -> None:
    training, saved = optimisation(steps=4), []

    def run(**options: object) -> None:
        training.run(
            lambda: take_step(training),
            lambda _: training.step == 2,
            lambda: saved.append(training.step),
            save_every=3600,
            **options,  # type: ignore[arg-type]
        )

    run(is_over=lambda: training.step == 3)
    assert saved == [2, 3]
    run()
    assert saved == [2, 3, 4]
    run()
    assert saved == [2, 3, 4]


def test_a_loop_saves_nothing_after_a_loss_that_is_not_finite() -> None:
    training, saved = optimisation(), []
    with pytest.raises(NonFiniteLossError):
        training.run(
            lambda: training.require_finite(float("nan")), lambda _: True, lambda: saved.append(1), save_every=0
        )
    assert saved == []
