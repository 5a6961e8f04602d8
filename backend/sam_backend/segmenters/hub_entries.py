"""The entries of the models that the package `transformers` runs. Reading them imports neither it nor torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_backend.errors import WeightsError
from sam_backend.extras import TRANSFORMERS, how_to_install, require
from sam_backend.segmenters.model_info import CONCEPTS, INTERACTIVE, ModelInfo, PromptKind, Repository, WeightFolders

if TYPE_CHECKING:
    from sam_backend.segmenters.protocol import Segmenter
    from sam_backend.segmenters.tracking import Tracker

logger = logging.getLogger(__name__)

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""Files of a published folder."""

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
"""Files of a model that takes texts."""


@dataclass(frozen=True)
class _Family:
    """What is common to models of one architecture.

    Attributes
    ----------
    types : what `model_type` of the configuration may be: a published folder may hold the model for videos, of which
        that for images is a part.
    model, images : str, classes of `transformers`: the model, and its image processor.
    segmenter : str, the class that speaks to it, of `sam_backend.segmenters.interactive` or of `module`.
    detector : str, the class that finds concepts, with the tokenizer of its texts beside it; "" for none.
    module : str, the module of the segmenter.
    video : str, the class of `transformers` that follows objects through a video; "" for none.
    """

    types: tuple[str, ...]
    model: str
    images: str
    segmenter: str
    detector: str = ""
    module: str = "interactive"
    video: str = ""


FAMILIES = {
    "sam": _Family(("sam",), "SamModel", "SamImageProcessor", "PaddedSegmenter"),
    "slimsam": _Family(("sam",), "SamModel", "SamImageProcessor", "PaddedSegmenter"),
    "hq": _Family(("sam_hq",), "SamHQModel", "SamImageProcessor", "HighQualitySegmenter"),
    "sam2.1": _Family(
        ("sam2", "sam2_video"), "Sam2Model", "Sam2ImageProcessor", "InteractiveSegmenter", video="Sam2VideoModel"
    ),
    "edgetam": _Family(
        ("edgetam", "edgetam_video"),
        "EdgeTamModel",
        "Sam2ImageProcessor",
        "InteractiveSegmenter",
        video="EdgeTamVideoModel",
    ),
    "sam3": _Family(
        ("sam3_tracker", "sam3_tracker_video", "sam3_video"),
        "Sam3TrackerModel",
        "Sam3ImageProcessor",
        "Sam3Segmenter",
        "Sam3Model",
        "sam3",
        "Sam3TrackerVideoModel",
    ),
}
"""What stands before the colon of a model's name -> its family."""


def load_from_folder(info: ModelInfo, folder: Path, threads: int, weights: WeightFolders) -> Segmenter:
    """Load a model from a folder in the layout of the Hugging Face Hub.

    Raises
    ------
    WeightsError
        If the folder does not hold a model of the entry's family.
    """
    require(TRANSFORMERS, f"{info.name} in {folder}", how_to_install("transformers"))
    import torch
    import transformers

    family = family_of(info)
    if threads:
        torch.set_num_threads(threads)
    with _refusing_another_model(info, family.types, folder):
        model = _whole(info, family.model, folder)
        images = getattr(transformers, family.images).from_pretrained(folder, local_files_only=True)
        parts: dict[str, Any] = {}
        if family.detector:
            # The detector has the same backbone; it is let go first, so that two are never in memory.
            model.vision_encoder.backbone = None
            parts["detector"] = _whole(info, family.detector, folder)
            parts["tokenizer"] = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    _warn_of_another_size(info, model.config, folder)
    loaded: Segmenter = segmenter_of(info)(model, images, info, version=_version(info, folder, weights), **parts)
    return loaded


def load_tracker_from_folder(info: ModelInfo, folder: Path, weights: WeightFolders) -> Tracker:
    """Load the model for videos, with its memory, from the folder that holds the model for images as well.

    Raises
    ------
    WeightsError
        If the folder holds no model of the entry's family, or one for images alone.
    """
    require(TRANSFORMERS, f"{info.name} in {folder}", how_to_install("transformers"))
    import transformers

    from sam_backend.segmenters.video_models import MemoryTracker

    family = family_of(info)
    # The parts with the memory are only in the folders of the models for videos.
    with _refusing_another_model(info, tuple(kind for kind in family.types if kind.endswith("_video")), folder):
        model = _whole(info, family.video, folder)
        images = getattr(transformers, family.images).from_pretrained(folder, local_files_only=True)
    _warn_of_another_size(info, model.config, folder)
    return MemoryTracker(model, images, info.name, _version(info, folder, weights))


def follows_by_itself(info: ModelInfo) -> bool:
    """Return whether a model has a part that follows objects through a video."""
    return info.repository is not None and bool(family_of(info).video)


def family_of(info: ModelInfo) -> _Family:
    """Return the family of an entry of `HUB_MODELS`."""
    return FAMILIES[info.name.partition(":")[0]]


@contextmanager
def _refusing_another_model(info: ModelInfo, types: Sequence[str], folder: Path) -> Iterator[None]:
    """Say in one sentence what a folder lacks: first its type of model, then what the block does not find."""
    from safetensors import SafetensorError

    try:
        if (kind := json.loads((folder / CONFIG).read_bytes()).get("model_type")) not in types:
            raise ValueError(f"its {CONFIG} is of {kind!r}, expected {' or '.join(types)}")
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{folder} does not hold a model like {info.name} ({reason}).") from error


def _version(info: ModelInfo, folder: Path, weights: WeightFolders) -> str:
    from sam_backend.segmenters.weights import file_sha256

    return f"{info.name}-{file_sha256(folder / WEIGHTS, weights)[:8]}"


def _warn_of_another_size(info: ModelInfo, config: Any, folder: Path) -> None:
    from sam_backend.segmenters.random_weights import configuration

    here, published = _encoder_size(config), _encoder_size(configuration(info.name))
    if here != published:
        logger.warning(
            "%s holds a model of another size than %s, and serves under that name: its encoder has %s, the published "
            "one %s.",
            folder,
            info.name,
            here,
            published,
        )


def _encoder_size(config: Any) -> dict[str, Any]:
    """Return by what the image encoders of a family differ between its models."""
    vision = config.vision_config
    encoder = getattr(vision, "backbone_config", vision)
    names = ("hidden_size", "num_hidden_layers", "blocks_per_stage")
    return {name: getattr(encoder, name) for name in names if getattr(encoder, name, None)}


def segmenter_of(info: ModelInfo) -> Any:
    """Return the class that speaks to a model of `transformers`."""
    family = family_of(info)
    return getattr(import_module(f"sam_backend.segmenters.{family.module}"), family.segmenter)


def _whole(info: ModelInfo, name: str, folder: Path) -> Any:
    """Return a model all of whose weights are in a folder; `name` is its class in `transformers`."""
    import transformers

    model, report = _quietly(transformers, name, folder)
    wrong = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if wrong:
        raise WeightsError(
            f"{folder} does not hold a model like {info.name}: {len(wrong)} of its weights are missing or have another "
            f"shape, such as {wrong[0]}."
        )
    return model


def _quietly(transformers: Any, name: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the model and which weights did not fit, without the package's own report and progress of it."""
    logging = transformers.utils.logging
    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded: tuple[Any, dict[str, Any]] = getattr(transformers, name).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, use_safetensors=True
        )
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()
    return loaded


def _load(info: ModelInfo, checkpoint: Path | None, threads: int, folders: WeightFolders) -> Segmenter:
    from sam_backend.segmenters.hub import obtain_repository

    assert info.repository is not None
    return load_from_folder(info, obtain_repository(info.repository, folders, checkpoint), threads, folders)


def _entry(
    name: str,
    what: str,
    repository: str,
    megabytes: int,
    licence: str = "Apache-2.0",
    page: str = "",
    *,
    beside: tuple[str, ...] = (),
    prompts: frozenset[PromptKind] = INTERACTIVE,
) -> ModelInfo:
    return ModelInfo(
        name,
        what,
        licence,
        _load,
        prompts=prompts,
        repository=Repository(name, repository, megabytes * 10**6, page, beside),
        packages=TRANSFORMERS,
        install=how_to_install("transformers"),
        is_heavy=True,
        has_features=True,
    )


HUB_MODELS = (
    _entry("slimsam", "SAM pruned to 9.7 M parameters (SlimSAM-77).", "nielsr/slimsam-77-uniform", 39),
    _entry("hq:vit_b", "SAM-HQ with a ViT-B encoder: SAM with finer borders.", "syscv-community/sam-hq-vit-base", 379),
    _entry("hq:vit_l", "SAM-HQ with a ViT-L encoder.", "syscv-community/sam-hq-vit-large", 1254),
    _entry("hq:vit_h", "SAM-HQ with a ViT-H encoder.", "syscv-community/sam-hq-vit-huge", 2570),
    _entry("sam2.1:tiny", "SAM 2.1 with a Hiera-T encoder, 39 M parameters.", "facebook/sam2.1-hiera-tiny", 156),
    _entry("sam2.1:small", "SAM 2.1 with a Hiera-S encoder, 46 M parameters.", "facebook/sam2.1-hiera-small", 184),
    _entry("sam2.1:base_plus", "SAM 2.1, Hiera-B+, 81 M parameters.", "facebook/sam2.1-hiera-base-plus", 324),
    _entry("sam2.1:large", "SAM 2.1 with a Hiera-L encoder, 224 M parameters.", "facebook/sam2.1-hiera-large", 898),
    _entry("edgetam", "EdgeTAM: SAM 2 for small devices, 14 M parameters.", "yonigozlan/EdgeTAM-hf", 56),
    _entry(
        "sam3",
        "SAM 3, 860 M parameters: clicks and boxes, and all that a text or exemplar boxes mean.",
        "facebook/sam3",
        3440,
        "SAM License",
        "https://huggingface.co/facebook/sam3",
        beside=TOKENIZER,
        prompts=INTERACTIVE | CONCEPTS,
    ),
)
"""The entries, the smallest family first."""
