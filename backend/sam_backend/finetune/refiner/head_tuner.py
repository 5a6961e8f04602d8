"""Tunes the refiner's head on accepted masks; the features of the backbone stay, so a step costs the head alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sam_backend.finetune.examples import Examples, Split, TooFewMasksError
from sam_backend.finetune.refiner.accepted_windows import AcceptedWindows
from sam_backend.finetune.refiner.chains import ChainLoss, run_chains
from sam_backend.finetune.refiner.head_recipe import HeadRecipe
from sam_backend.finetune.refiner.refiner_export import tuned_weights
from sam_backend.finetune.refiner.windows import Windows
from sam_backend.finetune.training_loop import Optimisation, Schedule
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.refiner.architecture import Head, normalised
from sam_backend.segmenters.refiner.refiner import Refiner

_FLOOR = 0.02
_CHECKED_WINDOWS = 24
_CHECKED_CLICKS = 4
_TRIES = 20
"""Windows that are drawn at most in the place of one that its object does not fit into."""

_TIMED_STEPS = 10
"""After each so many steps, the length of the training is adapted to the speed of the machine."""

_PATIENCE = 4.0
"""A training ends after so many times its seconds, however busy the machine is."""


class HeadTuner:
    """A head in training, and its best weights so far.

    The same images, recipe and weights before give the same weights on the CPU of the same machine, unless the time is
    over before the steps are done.

    Parameters
    ----------
    head : Head, which is changed.
    refiner : Refiner that the head belongs to; its backbone sees the windows.
    examples : Examples, the accepted images.
    segmenter : Segmenter, whose answers are corrected.
    recipe : HeadRecipe.

    Raises
    ------
    TooFewMasksError
        If no mask of the training or of the validation images can be learnt.
    """

    def __init__(
        self, head: Head, refiner: Refiner, examples: Examples, segmenter: Segmenter, recipe: HeadRecipe
    ) -> None:
        torch.manual_seed(recipe.seed)
        self._head = head.to(memory_format=torch.channels_last)
        self._refiner, self._examples, self._recipe = refiner, examples, recipe
        self._windows = AcceptedWindows(examples, segmenter, recipe.mix, recipe.seed)
        self._optimisation = Optimisation(
            dict(tuned_weights(head)),
            Schedule(recipe.steps, recipe.warm_up, _FLOOR),
            rate=recipe.learning_rate,
            slow_rate=0.0,
            slow="lateral.",
            clip=recipe.clip,
            average=recipe.average,
        )
        names = examples.names[Split.VALIDATION]
        rng = np.random.default_rng([recipe.seed, 1])
        self._checked = self._draw(rng, [names[number % len(names)] for number in range(_CHECKED_WINDOWS)])
        self.best = _copies(self._optimisation.average.values)
        self.best_step = 0
        """The step of the best weights so far."""
        self.scores: list[float] = [self._score()]
        """Mean IoU on the validation images after each check, the first before any step."""

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._optimisation.step

    def run(self, after_step: Callable[[int, int], None]) -> None:
        """Train to the end, until nothing gets better, or until the time is over; the head has its best weights then.

        Parameters
        ----------
        after_step : function, called with the steps done and all steps.

        Raises
        ------
        NonFiniteLossError
            If a loss is not a finite number; the head has its best weights before.
        """
        recipe, optimisation = self._recipe, self._optimisation
        started, computed_before = time.monotonic(), time.process_time()
        check_every = max(1, recipe.steps // recipe.checks)

        def after(_loss: float) -> bool:
            step = optimisation.step
            if step % _TIMED_STEPS == 0:
                # The rate must have fallen when the time is over. Clicks that are answered meanwhile cost none.
                used = max(time.process_time() - computed_before, (time.monotonic() - started) / _PATIENCE)
                left = int(max(recipe.seconds - used, 0) * step / max(used, 1e-9))
                length = max(min(recipe.steps, step + left), step)
                optimisation.schedule = Schedule(length, recipe.warm_up, _FLOOR)
            if step % check_every == 0 or step == optimisation.schedule.steps:
                self._check()
            after_step(step, optimisation.schedule.steps)
            return False

        try:
            optimisation.run(self._take_step, after, lambda: None, save_every=float("inf"), is_over=self._is_idle)
        finally:
            optimisation.use(self.best)

    def _take_step(self) -> float:
        recipe, names = self._recipe, self._examples.names[Split.TRAINING]
        self._optimisation.begin_step()
        rng = np.random.default_rng([recipe.seed, self._optimisation.step, 2])
        first = self._optimisation.step * recipe.windows
        chosen = []
        for number in range(first, first + recipe.windows):
            epoch, place = divmod(number, len(names))
            chosen.append(names[np.random.default_rng([recipe.seed, epoch, 3]).permutation(len(names))[place]])
        windows = self._draw(rng, chosen)
        loss = self._loss(windows, rng, int(rng.integers(1, recipe.most_clicks + 1))).mean
        self._optimisation.require_finite(float(loss.detach()))
        torch.autograd.backward(loss)
        self._optimisation.end_step()
        return float(loss.detach())

    def _loss(self, windows: Windows, rng: np.random.Generator, clicks: int) -> ChainLoss:
        chains = ChainLoss()
        pixels = normalised(torch.from_numpy(windows.pixels)).contiguous(memory_format=torch.channels_last)
        seen = [self._refiner.features(window) for window in windows.pixels]
        features = [
            torch.from_numpy(np.concatenate(level)).contiguous(memory_format=torch.channels_last)
            for level in zip(*seen, strict=True)
        ]
        run_chains(self._head, windows, pixels, features, rng, clicks, chains.learn)
        return chains

    def _draw(self, rng: np.random.Generator, names: list[str]) -> Windows:
        """Return a window of each image; where an image has none that fits, one of the next."""
        drawn: list[Windows] = []
        for start in range(len(names)):
            for number in range(_TRIES):
                window = self._windows.draw(rng, names[(start + number // 2) % len(names)])
                if window is not None:
                    drawn.append(window)
                    break
        if not drawn:
            raise TooFewMasksError(
                f"None of the masks on {len(set(names))} images can be learnt: they are specks, or they cover nearly "
                "the whole image."
            )
        return Windows.joined(drawn)

    def _check(self) -> None:
        with self._optimisation.averaged():
            score = self._score()
        if score > max(self.scores):
            self.best, self.best_step = _copies(self._optimisation.average.values), self.step
        self.scores.append(score)

    def _score(self) -> float:
        """Return the mean IoU after the clicks of the validation windows, always the same ones."""
        with torch.no_grad():
            chains = self._loss(self._checked, np.random.default_rng([self._recipe.seed, 4]), _CHECKED_CLICKS)
        return float(torch.stack(chains.iou).mean())

    def _is_idle(self) -> bool:
        return len(self.scores) - 1 - self.scores.index(max(self.scores)) >= self._recipe.patience


def _copies(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in values.items()}
