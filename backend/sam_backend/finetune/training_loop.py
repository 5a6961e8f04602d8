"""What every training of this project shares: learning rates, averaged weights, steps, and checkpoints."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sam_backend.errors import SamInspectError
from sam_backend.files import whole_file

_FORMAT = "sam-inspect training 1"
_WEIGHT_DECAY = 0.01

Result = TypeVar("Result")


class NonFiniteLossError(SamInspectError):
    """The loss or its gradient is not a finite number; the weights are as they were before the step."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(f"The loss became {loss} after step {step}; the last checkpoint is kept.")
        self.loss = loss


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises linearly and then falls as a cosine (Loshchilov and Hutter, arXiv 1608.03983).

    Attributes
    ----------
    steps : int, the length of the training.
    warm_up : int, the steps in which the rate rises.
    floor : float in [0, 1], the share of the highest rate that is left at the end.
    """

    steps: int
    warm_up: int
    floor: float

    def rate(self, highest: float, step: int) -> float:
        """Return the learning rate of a step.

        Examples
        --------
        >>> schedule = Schedule(steps=100, warm_up=10, floor=0.02)
        >>> [round(schedule.rate(1.0, step), 2) for step in (0, 9, 50, 100)]
        [0.1, 0.98, 0.51, 0.02]
        """
        warm = min(1.0, (step + 1) / self.warm_up)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return highest * warm * (self.floor + (1 - self.floor) * cosine)


class RunningAverage:
    """An exponential running average of weights, which follows them more closely in the first steps.

    Parameters
    ----------
    weights : mapping, name -> Tensor, the first weights.
    decay : float in [0, 1), the share of the average that a step keeps once the training is long.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.values = {name: value.detach().clone() for name, value in weights.items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights after a step, whose number counts from 0."""
        keep = min(self._decay, (1 + step) / (10 + step))
        for name, value in self.values.items():
            value.lerp_(weights[name].detach(), 1 - keep)


@dataclass(frozen=True)
class Checkpoint:
    """A training on disk: tensors, numbers and text only, so that reading one runs no code.

    Attributes
    ----------
    identity : str, JSON of all that decides the weights; another identity is another training.
    notes : str, JSON of what else the training keeps.
    step : int, the steps done.
    seconds : float, the time they took.
    weights, average, best : dict, name -> Tensor.
    optimiser : dict, the optimiser's state.
    """

    identity: str
    notes: str
    step: int
    seconds: float
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    optimiser: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; raise OSError if it cannot be written."""
        with whole_file(path) as part, part.open("wb") as file:
            try:
                torch.save({"format": _FORMAT, **vars(self)}, file)
            except RuntimeError as error:
                # PyTorch hides the system's error, such as a full disk, behind one that says nothing.
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from error
                raise


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return a checkpoint on the CPU; None if there is none, it cannot be read, or another version wrote it."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(**content) if content.pop("format") == _FORMAT else None
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, KeyError, TypeError, ValueError):
        return None


class Optimisation:
    """Weights in training, with their optimiser, schedule and running average.

    A step is: `begin_step`, then gradients in the weights' `grad`, then `end_step`.

    Parameters
    ----------
    weights : dict, name -> Tensor, everything that is averaged and saved; its parameters are optimised.
    schedule : Schedule.
    rate, slow_rate : float, the highest learning rates, the second of the weights whose names begin with `slow`.
    slow : str, for example "image_encoder.".
    clip : float, the largest norm of the gradient.
    average : float, the decay of the running average.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        schedule: Schedule,
        *,
        rate: float,
        slow_rate: float,
        slow: str,
        clip: float,
        average: float,
    ) -> None:
        self.weights, self.schedule, self._clip = weights, schedule, clip
        self.average = RunningAverage(weights, average)
        self._parameters = {name: value for name, value in weights.items() if isinstance(value, nn.Parameter)}
        groups: list[dict[str, Any]] = [{"params": [], "highest": rate}, {"params": [], "highest": slow_rate}]
        for name, value in self._parameters.items():
            groups[name.startswith(slow)]["params"].append(value)
        self._optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=rate, weight_decay=_WEIGHT_DECAY
        )
        self.step = 0
        self.seconds = 0.0

    def begin_step(self) -> None:
        """Set the learning rates of the next step and forget the last gradients."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.schedule.rate(group["highest"], self.step)
        self._optimiser.zero_grad(set_to_none=True)

    def require_finite(self, loss: float) -> None:
        """Raise NonFiniteLossError if a loss, or the norm of a gradient, is not a finite number."""
        if not math.isfinite(loss):
            raise NonFiniteLossError(loss, self.step)

    def end_step(self) -> None:
        """Clip the gradients, change the weights, and take them into the average.

        Raises
        ------
        NonFiniteLossError
            If the gradient is not finite; nothing has changed.
        """
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._clip)
        self.require_finite(float(norm))
        self._optimiser.step()
        self.average.update(self.weights, self.step)
        self.step += 1

    @torch.no_grad()
    def use(self, values: Mapping[str, Tensor]) -> None:
        """Copy other values into the weights."""
        for name, weight in self.weights.items():
            weight.copy_(values[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Compute with the averaged weights inside the block."""
        own = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.use(self.average.values)
        try:
            yield
        finally:
            self.use(own)

    def checkpoint(self, identity: str, notes: str = "", best: dict[str, Tensor] | None = None) -> Checkpoint:
        """Return the present state; see `Checkpoint`."""
        weights = {name: weight.detach() for name, weight in self.weights.items()}
        state = self._optimiser.state_dict()
        return Checkpoint(identity, notes, self.step, self.seconds, weights, self.average.values, best or {}, state)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same identity."""
        self.use(checkpoint.weights)
        with torch.no_grad():
            for name, value in self.average.values.items():
                value.copy_(checkpoint.average[name])
        self._optimiser.load_state_dict(checkpoint.optimiser)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds

    def run(
        self,
        take_step: Callable[[], Result],
        after_step: Callable[[Result], bool],
        save: Callable[[], None],
        *,
        save_every: float,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the steps that are left, and save now and then and at the end.

        Parameters
        ----------
        take_step : function that takes one step and returns what `after_step` needs to know of it.
        after_step : function that returns whether to save at once.
        save : function that writes a checkpoint.
        save_every : float, seconds between checkpoints.
        is_over : function that returns whether to end early.

        Raises
        ------
        NonFiniteLossError
            If a step fails; nothing is saved then.
        """
        saved_step, saved_at = self.step, time.monotonic()
        while self.step < self.schedule.steps and not is_over():
            started = time.monotonic()
            result = take_step()
            self.seconds += time.monotonic() - started
            if after_step(result) or time.monotonic() - saved_at > save_every:
                save()
                saved_step, saved_at = self.step, time.monotonic()
        if saved_step != self.step:
            save()
