"""Tunes the refiner's head on accepted masks; the backbone stays, so a step costs hardly more than the head."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from sam_backend.arrays import BoolArray
from sam_backend.finetune.examples import Examples, Split, TooFewMasksError
from sam_backend.finetune.losses import mask_loss, true_iou
from sam_backend.finetune.refiner.accepted_chains import AcceptedChains
from sam_backend.finetune.refiner.head_recipe import HeadRecipe
from sam_backend.finetune.refiner.refiner_export import tuned_weights
from sam_backend.finetune.refiner.served_chain import ServedChain
from sam_backend.finetune.training_loop import Optimisation, Schedule
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.refiner.architecture import Head, normalised
from sam_backend.segmenters.refiner.refiner import Refiner, View

_FLOOR = 0.02
_QUALITY = 0.5
"""Weight of the predicted IoU."""

_TRIES = 20
"""Draws at most for a chain, until one begins with a mask in which something is wrong."""

_TIMED_STEPS = 10
"""After each so many steps, the length of the training is adapted to the speed of the machine."""

_PATIENCE = 4.0
"""A training ends after so many times its seconds, however busy the machine is."""


class HeadTuner:
    """A head in training. Nothing is chosen on validation images, so they are learnt from, too.

    The same images, recipe and weights before give the same weights on the CPU of the same machine, unless the time is
    over before the steps are done.

    Parameters
    ----------
    head : Head, which is changed.
    refiner : Refiner that the head belongs to; its backbone sees the windows.
    examples : Examples, the accepted images.
    segmenter : Segmenter, whose answers are corrected.
    recipe : HeadRecipe.
    """

    def __init__(
        self, head: Head, refiner: Refiner, examples: Examples, segmenter: Segmenter, recipe: HeadRecipe
    ) -> None:
        self._head = head.to(memory_format=torch.channels_last)
        self._refiner, self._recipe = refiner, recipe
        self._names = [*examples.names[Split.TRAINING], *examples.names[Split.VALIDATION]]
        self._chains = AcceptedChains(examples, segmenter, recipe.seed)
        self._optimisation = Optimisation(
            dict(tuned_weights(head)),
            Schedule(recipe.steps, recipe.warm_up, _FLOOR),
            rate=recipe.learning_rate,
            slow_rate=0.0,
            slow="lateral.",
            clip=recipe.clip,
            average=recipe.average,
        )

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._optimisation.step

    def run(self, after_step: Callable[[int, int, float], None]) -> None:
        """Train to the end, or until the time is over; the head has its averaged weights then.

        Parameters
        ----------
        after_step : function, called with the steps done, all steps, and the loss.

        Raises
        ------
        TooFewMasksError
            If no mask can be learnt.
        NonFiniteLossError
            If a loss is not a finite number.
        """
        recipe, optimisation = self._recipe, self._optimisation
        started, computed_before = time.monotonic(), time.process_time()

        def after(loss: float) -> bool:
            step = optimisation.step
            if step % _TIMED_STEPS == 0:
                # The rate must have fallen when the time is over. Clicks that are answered meanwhile cost none.
                used = max(time.process_time() - computed_before, (time.monotonic() - started) / _PATIENCE)
                left = int(max(recipe.seconds - used, 0) * step / max(used, 1e-9))
                length = max(min(recipe.steps, step + left), step)
                optimisation.schedule = Schedule(length, recipe.warm_up, _FLOOR)
            after_step(step, optimisation.schedule.steps, loss)
            return False

        optimisation.run(self._take_step, after, lambda: None, save_every=float("inf"))
        optimisation.use(optimisation.average.values)

    def _take_step(self) -> float:
        """Learn from chains; each answer is corrected by the next click, as people do."""
        self._optimisation.begin_step()
        rng = np.random.default_rng([self._recipe.seed, self.step, 2])
        clicked = self._begun(rng)
        losses: list[Tensor] = []
        clicks = int(rng.integers(1, self._recipe.most_clicks + 1))
        while clicked and len(losses) < clicks:
            views, targets = zip(*(chain.view(self._refiner) for chain in clicked), strict=True)
            logits, loss = self._answer(views, targets)
            losses.append(loss)
            for chain, answer in zip(clicked, logits.detach().numpy(), strict=True):
                chain.answer(answer)
            clicked = [chain for chain in clicked if chain.click(rng)]
        total = torch.stack(losses).mean()
        self._optimisation.require_finite(float(total.detach()))
        torch.autograd.backward(total)
        self._optimisation.end_step()
        return float(total.detach())

    def _begun(self, rng: Generator) -> list[ServedChain]:
        """Return chains with their first click, of the next images in an order that each round draws anew."""
        recipe, names = self._recipe, self._names
        begun: list[ServedChain] = []
        for number in range(self.step * recipe.chains, (self.step + 1) * recipe.chains):
            for attempt in range(_TRIES):
                epoch, place = divmod(number + attempt // 2, len(names))
                order = np.random.default_rng([recipe.seed, epoch, 3]).permutation(len(names))
                chain = self._chains.draw(rng, names[order[place]])
                if chain is not None and chain.click(rng):
                    begun.append(chain)
                    break
        if not begun:
            raise TooFewMasksError(
                f"None of the masks on {len(names)} images can be learnt: they are specks, they cover nearly the whole "
                "image, or the model answers with them already."
            )
        return begun

    def _answer(self, views: tuple[View, ...], targets: tuple[BoolArray, ...]) -> tuple[Tensor, Tensor]:
        """Return the head's logits (B, S, S), and the loss."""
        layout = torch.channels_last
        pixels = normalised(torch.from_numpy(np.concatenate([view.pixels for view in views])))
        maps = torch.from_numpy(np.stack([view.maps for view in views]))
        features = [
            torch.from_numpy(np.concatenate(level)).contiguous(memory_format=layout)
            for level in zip(*(view.features for view in views), strict=True)
        ]
        logits, quality = self._head(
            pixels.contiguous(memory_format=layout), features, maps.contiguous(memory_format=layout)
        )
        wanted = torch.from_numpy(np.stack(targets)).float()
        iou = true_iou(logits.detach(), wanted)
        loss = mask_loss(logits, wanted).mean() + _QUALITY * functional.binary_cross_entropy_with_logits(quality, iou)
        return logits, loss
