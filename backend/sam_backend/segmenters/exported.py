"""Models as ONNX, `onnx:<folder>`, without PyTorch: of `sam-inspect export-model`, or two files of other projects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sam_backend.errors import BadRequestError, WeightsError
from sam_backend.files import write_whole
from sam_backend.segmenters.model_info import ModelInfo, WeightFolders
from sam_backend.segmenters.protocol import Segmenter

PREFIX = "onnx:"
"""With what the names of exported models begin."""

MANIFEST = "manifest.json"
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


class Precision(StrEnum):
    """How the weights of an exported model are kept."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class Check:
    """How an exported model agreed with its source.

    Attributes
    ----------
    seed : int, of the images and prompts.
    images, prompts : int, how many.
    mean_iou, least_iou : float, of the masks of both.
    largest_score_difference : float, of the predicted IoU of both.
    """

    seed: int
    images: int
    prompts: int
    mean_iou: float
    least_iou: float
    largest_score_difference: float


@dataclass(frozen=True)
class Manifest:
    """What is in the folder of an exported model.

    Attributes
    ----------
    model, version : str, the source, for example "sam:vit_b" and "sam:vit_b-ec2df627".
    precision : Precision.
    opset : int, the version of ONNX's operators.
    side : int, side in pixels of the encoder's square.
    mean, std : of the colours (R, G, B) in 0..255, with which an image is normalised.
    files : name -> SHA-256, in hex.
    check : Check.
    """

    model: str
    version: str
    precision: Precision
    opset: int
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    files: dict[str, str]
    check: Check

    def write(self, folder: Path) -> None:
        """Write it into a folder; raise OSError if that fails."""
        write_whole(folder / MANIFEST, TypeAdapter(Manifest).dump_json(self, indent=1), private=False)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in the folder of an exported model.

    Raises
    ------
    WeightsError
        If the folder holds no such model.
    """
    expected = "expected a folder that `sam-inspect export-model` wrote, or one with an encoder and a decoder as ONNX"
    try:
        manifest = TypeAdapter(Manifest).validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise WeightsError(f"{folder} holds no exported model ({MANIFEST}: {error.strerror}); {expected}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise WeightsError(f"{folder / MANIFEST} is no manifest of a model ({first}); {expected}.") from error
    if not {ENCODER, DECODER} <= manifest.files.keys() or any(Path(name).name != name for name in manifest.files):
        raise WeightsError(f"{folder / MANIFEST} does not name {ENCODER} and {DECODER} beside it; {expected}.")
    return manifest


def require_empty(folder: Path) -> None:
    """Raise BadRequestError if a folder that a command is to make holds something or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequestError(f"{folder} exists and is not an empty folder; delete it, or name another one.")


def exported_info(name: str, sources: dict[str, ModelInfo]) -> ModelInfo:
    """Return the entry of a model as ONNX.

    Parameters
    ----------
    name : str, "onnx:" and the folder.
    sources : name -> entry of the models that can be exported.

    Raises
    ------
    WeightsError
        If the folder holds no exported model, and not two ONNX files either.
    """
    folder = Path(name.removeprefix(PREFIX))
    if not (folder / MANIFEST).exists() and (files := _onnx_files(folder)):
        if len(files) != 2:
            raise WeightsError(
                f"{folder} holds {len(files)} ONNX files ({', '.join(file.name for file in files)}); expected two, an "
                "encoder and its decoder. Put these alone, with their data, into a folder."
            )
        said = f"{files[0].name} and {files[1].name}, of another project."
        return ModelInfo(name, said, "that of its weights", _load_pair, is_heavy=True, has_features=True)
    manifest = read_manifest(folder)
    if manifest.model not in sources:
        raise WeightsError(f"{folder} was exported from {manifest.model}, which is not known here.")
    source = sources[manifest.model]
    return ModelInfo(
        name,
        f"{manifest.model} as ONNX, {manifest.precision}.",
        source.licence,
        _load,
        prompts=source.prompts,
        is_heavy=source.is_heavy,
        has_features=source.has_features,
        corrections=source.corrections,
    )


def _onnx_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.onnx")) if folder.is_dir() else []


def _load_pair(info: ModelInfo, checkpoint: Path | None, threads: int, folders: WeightFolders) -> Segmenter:
    _refuse_checkpoint(info, checkpoint)
    from sam_backend.segmenters.onnx_pairs import load_pair

    folder = Path(info.name.removeprefix(PREFIX))
    return load_pair(info, folder, _onnx_files(folder), threads, folders)


def _refuse_checkpoint(info: ModelInfo, checkpoint: Path | None) -> None:
    if checkpoint:
        raise WeightsError(f"{info.name} names its weights; got the checkpoint {checkpoint}. Leave it out.")


def _load(info: ModelInfo, checkpoint: Path | None, threads: int, folders: WeightFolders) -> Segmenter:
    _refuse_checkpoint(info, checkpoint)
    from sam_backend.segmenters.onnx_sam import OnnxSam
    from sam_backend.segmenters.weights import file_sha256

    folder = Path(info.name.removeprefix(PREFIX))
    manifest = read_manifest(folder)
    for name, sha256 in manifest.files.items():
        if not (folder / name).is_file() or file_sha256(folder / name, folders) != sha256:
            raise WeightsError(
                f"{folder / name} is missing or is not what was exported; export {manifest.model} again."
            )
    return OnnxSam(info, folder, manifest, threads)
