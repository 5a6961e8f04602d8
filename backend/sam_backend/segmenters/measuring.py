"""What a model costs: memory at rest and at work, and the time of clicks, each model in a process of its own.

A model whose weights are not here is measured with random ones, which cost the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam_backend.progress import ProgressCallback, no_progress
from sam_backend.segmenters.model_info import ModelInfo, WeightFolders
from sam_backend.segmenters.protocol import Embedding, Prompt

if TYPE_CHECKING:
    from sam_backend.arrays import ImageArray
    from sam_backend.segmenters.protocol import Segmenter

_SIZE = (1000, 1500)
_NEXT = 3
"""Further clicks; the middle one in time counts."""

_ROOM = 3_500_000_000
"""Bytes that a model of PyTorch may take beside its weights, for the packages and an image in work: SAM-HQ's."""


@dataclass(frozen=True)
class Cost:
    """What a model costs here. Memory is in bytes of the process, None where the system does not tell it.

    Attributes
    ----------
    model : str.
    weights : str, "published", "random" or "shipped"; "" where the model could not be measured.
    start : int or None, memory before anything of the model is loaded.
    rest : int or None, memory when it is loaded.
    peak : int or None, the highest memory while it answers clicks.
    load_s : float, seconds until it is loaded.
    first_ms, first_cpu_s : float, milliseconds and seconds of all cores for a first click, with the image encoder.
    next_ms, next_cpu_s : float, the same for a further click on that image.
    problem : str, why it could not be measured; "" if it was.
    """

    model: str
    weights: str = ""
    start: int | None = None
    rest: int | None = None
    peak: int | None = None
    load_s: float = 0.0
    first_ms: float = 0.0
    first_cpu_s: float = 0.0
    next_ms: float = 0.0
    next_cpu_s: float = 0.0
    problem: str = ""


def measure(
    infos: Sequence[ModelInfo],
    folders: WeightFolders,
    progress: ProgressCallback = no_progress,
    images: Sequence[Path] = (),
) -> Iterator[Cost]:
    """Measure models one after the other, each in a fresh process; yield each when it is done.

    The times are those of a synthetic image of 1500 x 1000, or the medians over the files `images`.
    """
    for number, info in enumerate(infos):
        progress(number, len(infos), info.name)
        yield _obstacle(info) or _in_a_process(info, folders, images)
    progress(len(infos), len(infos))


def _obstacle(info: ModelInfo) -> Cost | None:
    """Return why a model cannot be measured here, if that is known beforehand."""
    if info.missing_packages:
        return Cost(info.name, problem=f"needs {', '.join(info.missing_packages)}: {info.install}")
    needed, free = sum(published.size for published in info.weights) + _ROOM, free_memory()
    if info.weights and free is not None and needed > free:
        return Cost(info.name, problem=f"may take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free")
    return None


def _in_a_process(info: ModelInfo, folders: WeightFolders, images: Sequence[Path]) -> Cost:
    given = [info.name, str(folders.cache), str(folders.given or ""), *map(str, images)]
    # With -P, a file of the folder that the user is in takes the place of no library.
    words = [sys.executable, "-P", "-m", __name__, *given]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return Cost(**json.loads(run.stdout.splitlines()[-1]))
    if run.returncode < 0:
        reason = f"was stopped by the system (signal {-run.returncode}), as when memory runs out"
    else:
        reason = (run.stderr.strip() or "it ended without a reason").splitlines()[-1]
    return Cost(info.name, problem=reason)


def free_memory() -> int | None:
    """Return the bytes that a new process can take, by the system and by the limit of a container; None if unknown."""
    try:
        found = [_kilobytes(Path("/proc/meminfo"), "MemAvailable:")]
    except (OSError, StopIteration):
        return None
    control = Path("/sys/fs/cgroup")
    # Without a container, or without a limit, there is no number.
    with suppress(OSError, ValueError):
        found.append(int((control / "memory.max").read_text()) - int((control / "memory.current").read_text()))
    return min(found)


def measure_here(info: ModelInfo, folders: WeightFolders, images: Sequence[Path] = ()) -> Cost:
    """Measure a model in this process, which should have done nothing else before; `images` as of `measure`."""
    start = _memory("VmRSS:")
    began = time.perf_counter()
    segmenter, weights = _loaded(info, folders)
    load_s = time.perf_counter() - began
    pictures = [_read(file) for file in images] or [_image()]
    rest = _memory("VmRSS:")
    _forget_the_peak()
    places = [(0.2 * step, 0.3) for step in range(1, _NEXT + 1)]
    first, more = [], []
    for image in pictures:
        timing, embedding = _timed(partial(_first_click, segmenter, image))
        first.append(timing)
        more += [_timed(partial(_click, segmenter, embedding, place))[0] for place in places]
    peak = _memory("VmHWM:")
    return Cost(info.name, weights, start, rest, peak, load_s, *_middle(first), *_middle(more))


def _middle(timings: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the middle one in time."""
    return sorted(timings)[len(timings) // 2]


def _loaded(info: ModelInfo, folders: WeightFolders) -> tuple[Segmenter, str]:
    from sam_backend.segmenters.correcting import Correcting
    from sam_backend.segmenters.hub import find_weights
    from sam_backend.segmenters.model_registry import load_segmenter
    from sam_backend.segmenters.random_weights import has_random_weights, with_random_weights

    if has_random_weights(info) and None in [find_weights(published, folders) for published in info.weights]:
        return Correcting(with_random_weights(info)), "random"
    return load_segmenter(info.name, folders=folders), "published" if info.weights else "shipped"


def _first_click(segmenter: Segmenter, image: ImageArray) -> Embedding:
    return _click(segmenter, segmenter.encode(image), (0.5, 0.5))


def _click(segmenter: Segmenter, embedding: Embedding, place: tuple[float, float]) -> Embedding:
    """Ask for the mask of a click at a place in 0..1 of the image, and draw it; return the embedding."""
    height, width = embedding.size
    (answer,) = segmenter.decode(embedding, [Prompt(np.array([[place[0] * width, place[1] * height]]), np.array([1]))])
    answer.crop(answer.best)
    return embedding


def _timed(work: Callable[[], Embedding]) -> tuple[tuple[float, float], Embedding]:
    """Return milliseconds, seconds of all cores, and what the work gives."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return (1000 * (time.perf_counter() - wall), time.process_time() - cpu), done


def _image() -> ImageArray:
    """Return smooth seeded noise, uint8 RGB."""
    import cv2

    coarse = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    image: ImageArray = np.asarray(cv2.resize(coarse, _SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    return image


def _read(file: Path) -> ImageArray:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _memory(key: str) -> int | None:
    try:
        return _kilobytes(Path("/proc/self/status"), key)
    except (OSError, StopIteration):
        return None


def _kilobytes(file: Path, key: str) -> int:
    """Return what a file of the system says in kilobytes, in bytes."""
    line = next(line for line in file.read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def _forget_the_peak() -> None:
    """Let the system count the highest memory anew."""
    # Where it does not, the peak is that since the start.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _main() -> None:
    """Measure the model of the command line and write its cost as JSON."""
    from sam_backend.segmenters.model_registry import model_info

    name, cache, given, *images = sys.argv[1:]
    folders = WeightFolders(Path(given) if given else None, Path(cache))
    sys.stdout.write(json.dumps(asdict(measure_here(model_info(name), folders, list(map(Path, images))))))


if __name__ == "__main__":
    _main()
