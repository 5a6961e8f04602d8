"""The command `export-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_backend.errors import BadRequestError
from sam_backend.finetune.os_errors import os_errors_as_sentences
from sam_inspect.bars import progress_bars
from sam_inspect.options import settings_of
from sam_inspect.output import print_lines


def export_model(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist, or be empty.", metavar="FOLDER")],
    model: Annotated[
        str | None, typer.Option(help="An official SAM, such as sam:vit_b. Default: SAM_INSPECT_MODEL.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The weights: a file, or the folder of a tuned version. Default: those that serve."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Keep the encoder's weights in 8 bits: smaller, masks differ a little.")
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Keep weights in 16 bits, for a GPU.")] = False,
) -> None:
    """Write an official SAM as ONNX, which serves without PyTorch under the name onnx:FOLDER.

    The written model is asked the same as its source; a manifest beside it
    says how their masks and scores agree. A folder is written whole or not at
    all.

    Example: sam-inspect export-model --model sam:vit_b --out vit_b --int8
    Example: sam-inspect serve --model onnx:vit_b
    """
    if int8 and fp16:
        raise BadRequestError("Give either --int8 or --fp16.")
    from sam_backend.extras import TORCH, how_to_install, require
    from sam_backend.finetune.versions import VERSIONS, Versions
    from sam_backend.segmenters.entries import OWN, load_official
    from sam_backend.segmenters.exported import PREFIX, Precision, require_empty
    from sam_backend.segmenters.model_info import WeightFolders
    from sam_backend.segmenters.model_registry import model_info

    settings = settings_of(context)
    info = model_info(model or settings.model)
    if not info.name.startswith("sam:"):
        runs = "runs on onnxruntime already" if info.name == "nano" else "cannot be exported"
        official = ", ".join(name for name in OWN if name.startswith("sam:"))
        raise BadRequestError(f"{info.name} {runs}; choose one of {official}.")
    require((*TORCH, "onnx"), "export-model", how_to_install("torch"))
    with os_errors_as_sentences(), progress_bars() as add_bar:
        require_empty(out)
        show = add_bar(f"Exporting {info.name}")
        show(0, 0, "reading weights")
        served = checkpoint or Versions(settings.home / VERSIONS).serving(info.name).folder
        segmenter = load_official(info, served, WeightFolders.of_settings(settings), "cpu")
        from sam_backend.finetune.sam_export import export_sam

        precision = Precision.INT8 if int8 else Precision.FP16 if fp16 else Precision.FP32
        check = export_sam(segmenter, out, precision, show).check
    print_lines(
        f"{out} holds {segmenter.version} as {precision}; serve it with --model {PREFIX}{out}.",
        f"Against its source, on {check.prompts} prompts: mean IoU of the masks {check.mean_iou:.4f}, least "
        f"{check.least_iou:.4f}, scores differ by {check.largest_score_difference:.4f} at most.",
    )
