"""Which models can be tuned here. Needs no PyTorch."""

from __future__ import annotations

from sam_backend.errors import WeightsError
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.model_registry import known_models, model_info


def require_tunable(name: str) -> None:
    """Check that a model can be tuned: `nano` and the official SAMs can, whose architecture is known here.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    WeightsError
        If it cannot be tuned.
    """
    info = model_info(name)
    if info.is_trainable and OWN.get(name) is info:
        return
    tunable = ", ".join(own.name for own in OWN.values() if own.is_trainable)
    if info.is_trainable:
        raise WeightsError(
            f"{name} comes from another package, and only that package can tune it: its architecture and the format of "
            f"its weights are not known here. Choose one of {tunable}."
        )
    raise WeightsError(f"{name} cannot be tuned; choose one of {tunable}.")


def require_refined(name: str) -> None:
    """Check that a model's answers are corrected by the refiner, so that tuning it is of use.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    WeightsError
        If the model corrects its own answers.
    """
    if model_info(name).corrections == "model":
        raise WeightsError(f"{name} corrects its own answers, so a tuned refiner would change little; tune the model.")


def require_features(name: str) -> None:
    """Check that a model has features, without which its projects have no memory and no masks to learn from.

    Raises
    ------
    UnknownModelError
        If no model has this name.
    WeightsError
        If it has none.
    """
    if not model_info(name).has_features:
        suitable = ", ".join(info.name for info in known_models() if info.has_features)
        raise WeightsError(f"No proposer is trained beside {name}, which has no features; choose one of {suitable}.")
