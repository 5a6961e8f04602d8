"""How fast an official SAM is here: `python tests/benchmarks/official_sam.py [--models vit_b vit_h] [--device cuda]`.

Weights are random, which does not change the time. For each model: images a second that are encoded alone and in
batches, the same with the code of `segment-anything`, and the milliseconds of a click on an encoded image. On a CPU the
times are CPU seconds of one thread, so that other processes do not count.
"""

import argparse
import sys
import time
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from segment_anything import SamPredictor, sam_model_registry

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.sam import SamSegmenter
from small_sam import small_sam

SMALL = "small"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vit_b", "vit_h"], choices=[*sam_model_registry, SMALL])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=4, help="images encoded at once (default: 4)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the fastest counts (default: 5)")
    options = parser.parse_args(arguments)
    if options.device == "cpu":
        torch.set_num_threads(1)
    rows = [measure(name, options) for name in options.models]
    clock = "CPU seconds of one thread" if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    table = Table("", *rows[0][1], title=f"torch {torch.__version__}, {options.device}, {clock}")
    for name, values in rows:
        table.add_row(name, *(f"{value:.3g}" for value in values.values()))
    Console(width=140).print(table)
    return dict(rows)


def measure(name, options):
    """Return the model's name, and its values by what they are."""
    torch.manual_seed(0)
    model = small_sam(side=128) if name == SMALL else sam_model_registry[name]()
    segmenter = SamSegmenter(model, OWN["sam:vit_b"], version=name, device=options.device)
    side = model.image_encoder.img_size
    images = torch.randn(options.batch, 3, side, side, device=options.device)
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    encode = segmenter._compiled or segmenter.plain_encode

    def batch():
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=options.device != "cpu"):
            encode(model.image_encoder, images)

    predictor = SamPredictor(model)
    embedding, click = segmenter.encode(image), Prompt(np.array([[side / 3, side / 2]]), np.array([1]))
    clicked = [np.array([[side / 3, side / 2]]), np.array([1])]
    values = {
        "images/s": 1 / fastest(lambda: segmenter.encode(image), options),
        f"images/s in batches of {options.batch}": options.batch / fastest(batch, options),
        "click [ms]": 1000 * fastest(lambda: segmenter.decode(embedding, [click])[0].masks[0], options),
        "images/s, segment-anything": 1 / fastest(lambda: predictor.set_image(image), options),
        "click [ms], segment-anything": 1000 * fastest(lambda: predictor.predict(*clicked), options),
    }
    return name, values


def fastest(action, options):
    """Return the seconds of the fastest round after the first one."""
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    seconds = []
    for _ in range(options.rounds + 1):
        started = clock()
        action()
        if options.device != "cpu":
            torch.cuda.synchronize(options.device)
        seconds.append(clock() - started)
    return min(seconds[1:])


if __name__ == "__main__":
    main()
