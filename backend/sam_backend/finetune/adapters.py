"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) in an image encoder, with the library `peft`."""

from __future__ import annotations

from typing import Any

from torch import nn

from sam_backend.errors import MissingExtraError


def add_adapters(encoder: nn.Module, rank: int) -> None:
    """Put an adapter beside every linear layer and every ungrouped convolution of an encoder.

    All other weights stay frozen. New adapters change no output.

    Raises
    ------
    MissingExtraError
        If `peft` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise MissingExtraError("LoRA needs peft; run pip install 'sam-inspect[torch]'") from error
    targets = [name for name, layer in encoder.named_modules() if _takes_adapter(layer)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), encoder)


def merge_adapters(encoder: nn.Module) -> None:
    """Add the adapters to the weights beside them and remove the adapters; without adapters, do nothing."""
    adapted = [(name, layer) for name, layer in encoder.named_modules() if hasattr(layer, "get_base_layer")]
    for name, layer in adapted:
        adapter: Any = layer
        adapter.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(encoder.get_submodule(parent), attribute, adapter.get_base_layer())


def _takes_adapter(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
