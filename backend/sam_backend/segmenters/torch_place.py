"""Where a model of PyTorch computes: on the GPU while its memory suffices, else on the CPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

logger = logging.getLogger(__name__)

_CPU = "cpu"

Given = ParamSpec("Given")
Made = TypeVar("Made")


class TorchPlace:
    """Modules on a device. They go to the CPU, with a warning and for good, when the device's memory does not suffice.

    Safe to share between threads.

    Parameters
    ----------
    name : str, the model's name, for the warning.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.
    """

    def __init__(self, name: str, device: str | None = None) -> None:
        self._name = name
        self._device = device or ("cuda" if torch.cuda.is_available() else _CPU)
        self._modules: list[nn.Module] = []
        self._moving = threading.RLock()

    @property
    def device(self) -> str:
        """The torch device, for example `cuda`; while modules move, this waits."""
        with self._moving:
            return self._device

    def put(self, module: Any) -> Any:
        """Return a module, in evaluation mode, on the device, or on the CPU if it does not fit."""
        module.eval()
        self._modules.append(module)
        device = self.device
        try:
            return module.to(device)
        except torch.OutOfMemoryError:
            if device == _CPU:
                raise
        # Outside of the `except`, what was computed on the device is let go.
        self._leave(device)
        return module

    def run(self, work: Callable[[], Made]) -> Made:
        """Return what work on the modules gives; it reads `device` itself, and is repeated if that did not suffice."""
        device = self.device
        try:
            return work()
        except torch.OutOfMemoryError:
            if device == _CPU:
                raise
        except RuntimeError:
            # Of threads that compute at once, one finds that memory does not suffice and moves the modules.
            if self.device == device:
                raise
        self._leave(device)
        return work()

    def _leave(self, device: str) -> None:
        with self._moving:
            if self._device == _CPU:
                return
            self._device = _CPU
            for module in self._modules:
                module.to(_CPU)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        logger.warning(
            "The memory of %s does not suffice for %s: it computes on the CPU from now on, slower. A smaller model may "
            "fit; `sam-inspect models --measure` shows what each takes.",
            _told(device),
            self._name,
        )


def on_its_place(method: Callable[Given, Made]) -> Callable[Given, Made]:
    """Let a method of an object with a `TorchPlace` as `place` run on it."""

    @wraps(method)
    def placed(*given: Given.args, **named: Given.kwargs) -> Made:
        place: TorchPlace = given[0].place  # type: ignore[attr-defined]
        return place.run(lambda: method(*given, **named))

    return placed


def _told(device: str) -> str:
    if not device.startswith("cuda") or not torch.cuda.is_available():
        return device
    found = torch.cuda.get_device_properties(device)
    return f"{device} ({found.name}, {found.total_memory / 1e9:.1f} GB)"
