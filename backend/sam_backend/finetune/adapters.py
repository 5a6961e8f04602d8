"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) in an image encoder, by the library `peft`."""

from __future__ import annotations

from typing import Any

from torch import nn

from sam_backend.errors import MissingExtraError


def add_adapters(encoder: nn.Module, rank: int) -> None:
    """Put adapters beside every linear layer and every convolution without groups of `encoder`.

    All else of it stays frozen. With their first weights, adapters change nothing.

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
    """Add what adapters learned to the weights beside them, and take the adapters out; without any, do nothing."""
    adapted = [(name, layer) for name, layer in encoder.named_modules() if hasattr(layer, "get_base_layer")]
    for name, layer in adapted:
        whole: Any = layer
        whole.merge()
        parent, _, own = name.rpartition(".")
        setattr(encoder.get_submodule(parent), own, whole.get_base_layer())


def _takes_adapter(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
