"""The entries of the models that come with this project. Loading one imports its code; reading its entry does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sam_backend.errors import WeightsError
from sam_backend.extras import TORCH, how_to_install
from sam_backend.segmenters.hub_entries import CONFIG, HUB_MODELS, load_from_folder
from sam_backend.segmenters.model_info import ModelInfo, WeightFolders, WeightsFile

if TYPE_CHECKING:
    from sam_backend.segmenters.protocol import Segmenter
    from sam_backend.segmenters.sam import SamSegmenter

TUNED = "weights.safetensors"
"""The weights in the folder of a tuned version: all of `nano`, or what a fine-tuning of `sam:*` changed."""

_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything/"


def tuned_weights(folder: Path) -> Path:
    """Return the file of weights in the folder of a tuned version; versions before safetensors wrote `weights.pt`."""
    before = folder / "weights.pt"
    return before if before.exists() else folder / TUNED


def _load_nano(_info: ModelInfo, checkpoint: Path | None, threads: int, _folders: WeightFolders) -> Segmenter:
    from sam_backend.segmenters.nano.segmenter import NanoSegmenter

    return NanoSegmenter(checkpoint, threads)


def _load_grabcut(info: ModelInfo, checkpoint: Path | None, _threads: int, _folders: WeightFolders) -> Segmenter:
    if checkpoint:
        raise WeightsError(f"{info.name} has no weights; got the checkpoint {checkpoint}. Leave it out.")
    from sam_backend.segmenters.grabcut import GrabCutSegmenter

    return GrabCutSegmenter()


def _load_sam(info: ModelInfo, checkpoint: Path | None, threads: int, folders: WeightFolders) -> Segmenter:
    if checkpoint and (checkpoint / CONFIG).is_file():
        return load_from_folder(info, checkpoint, threads, folders)
    segmenter = load_official(info, checkpoint, folders)
    if threads:
        import torch

        torch.set_num_threads(threads)
    return segmenter


def load_official(
    info: ModelInfo, checkpoint: Path | None, folders: WeightFolders, device: str | None = None
) -> SamSegmenter:
    """Load one of `sam:*` or `mobilesam`; parameters and errors as in `load_segmenter` and `SamSegmenter`."""
    from sam_backend.segmenters.weights import obtain_checkpoint

    tuned = tuned_weights(checkpoint) if checkpoint and checkpoint.is_dir() else None
    path = obtain_checkpoint(info.files[0], folders, None if tuned else checkpoint)
    # torch takes seconds to import, so missing weights are reported before.
    return segmenter_class(info).from_checkpoint(info, path, device, tuned)


def segmenter_class(info: ModelInfo) -> type[SamSegmenter]:
    """Return the class that loads an official checkpoint."""
    if info.name == MOBILE_SAM.name:
        from sam_backend.segmenters.mobile_sam import MobileSamSegmenter

        return MobileSamSegmenter
    from sam_backend.segmenters.sam import SamSegmenter

    return SamSegmenter


def _sam(size: str, parameters: str, filename: str, file_size: int, sha256: str) -> ModelInfo:
    name = f"sam:vit_{size.lower()}"
    return ModelInfo(
        name,
        f"The official SAM with a ViT-{size} encoder, {parameters} parameters.",
        "Apache-2.0",
        _load_sam,
        files=(WeightsFile(name, _SAM_URL + filename, file_size, sha256),),
        packages=TORCH,
        install=how_to_install("torch"),
        is_trainable=True,
        is_heavy=True,
        has_features=True,
    )


NANO = ModelInfo(
    "nano",
    "The embedded model: SAM's architecture made small; ships with the package.",
    "Apache-2.0",
    _load_nano,
    is_trainable=True,
    focus_pays=True,
    has_features=True,
    corrections="refiner",
)

# The authors state no digest. Many who fetched the file of this commit wrote this one down.
MOBILE_SAM = ModelInfo(
    "mobilesam",
    "MobileSAM: SAM with a TinyViT encoder, 10 M parameters.",
    "Apache-2.0",
    _load_sam,
    files=(
        WeightsFile(
            "mobilesam",
            "https://github.com/ChaoningZhang/MobileSAM/raw/f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
            40_728_226,
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
    ),
    packages=(*TORCH, "timm"),
    install=how_to_install("torch"),
    is_heavy=True,
    has_features=True,
)

GRABCUT = ModelInfo(
    "grabcut",
    "OpenCV's GrabCut, the classical baseline; no weights.",
    "Apache-2.0",
    _load_grabcut,
    drawn_masks="points",
)

# The six hex digits in an official file name begin the file's MD5, not its SHA-256.
OWN = {
    info.name: info
    for info in (
        NANO,
        _sam(
            "B",
            "91 M",
            "sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        _sam(
            "L",
            "308 M",
            "sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        _sam(
            "H",
            "636 M",
            "sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
        MOBILE_SAM,
        *HUB_MODELS,
        GRABCUT,
    )
}
"""Name -> entry, the embedded model first."""
