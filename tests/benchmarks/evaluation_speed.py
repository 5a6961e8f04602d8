"""Print how fast the evaluation is, each figure as a ratio taken in this one run.

    SAM_INSPECT_DATA=folder python tests/benchmarks/evaluation_speed.py

- boundary F against the plain way: dilating both full-size outlines by a disk, with OpenCV and with scikit-image;
- the share of the metrics in `clicks:5` on Magnetic Tile with `nano`;
- two jobs against one, on the same;
- the memory that 10,000 objects take.

The last three need `SAM_INSPECT_DATA`; `--limit` takes fewer images of it.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The folder of this file would hide the package `click`.
sys.path.pop(0)

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.morphology import dilation, disk

from sam_evaluation import metrics
from sam_evaluation.metrics.boundary import DAVIS_TOLERANCE

SIZE = 1024
SPANS = {"a defect of 80 px": 80, "a quarter of the image": 250, "the full frame": 980}
REPEATS = 5


def blob(span: int, seed: int) -> np.ndarray:
    """Return a rough disk, bool (SIZE, SIZE), that spans about so many pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    angle = np.arctan2(y, x)
    waves = sum(rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * math.pi)) for k in range(2, 9))
    return np.hypot(x, y) < span / 2 * (1 + 0.05 * waves)


def plain_outline(mask: np.ndarray) -> np.ndarray:
    right, below, beyond = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], beyond[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edge = (mask ^ right) | (mask ^ below) | (mask ^ beyond)
    edge[-1] = mask[-1] ^ right[-1]
    edge[:, -1] = mask[:, -1] ^ below[:, -1]
    edge[-1, -1] = False
    return edge


def plain_boundary_f(pred: np.ndarray, gt: np.ndarray, dilate: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    footprint = disk(math.ceil(DAVIS_TOLERANCE * math.hypot(*pred.shape)))
    pair = [plain_outline(mask).astype(np.uint8) for mask in (pred, gt)]
    near = [dilate(edge, footprint) for edge in pair]
    precision, recall = ((edge & other).sum() / edge.sum() for edge, other in zip(pair, near[::-1], strict=True))
    return float(2 * precision * recall / (precision + recall))


def milliseconds(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000


def boundary(console: Console) -> None:
    table = Table(title=f"Boundary F at 0.008 of the diagonal, {SIZE} x {SIZE}, one thread, ms")
    for head in ("object spans", "ours", "OpenCV", "ratio", "scikit-image", "ratio"):
        table.add_column(head, justify="left" if head == "object spans" else "right")
    for name, span in SPANS.items():
        pred, gt = blob(span, 1), blob(span, 2)
        ours = metrics.boundary_f(pred, gt)
        row = [milliseconds(lambda pred=pred, gt=gt: metrics.boundary_f(pred, gt))]
        for dilate in (cv2.dilate, dilation):
            if abs(plain_boundary_f(pred, gt, dilate) - ours) > 1e-9:
                sys.exit(f"The plain way gives another value for {name}.")
            row.append(milliseconds(lambda pred=pred, gt=gt, dilate=dilate: plain_boundary_f(pred, gt, dilate)))
        mine, opencv, skimage = row
        table.add_row(
            name, f"{mine:.2f}", f"{opencv:.1f}", f"{opencv / mine:.1f}", f"{skimage:.0f}", f"{skimage / mine:.0f}"
        )
    console.print(table)


def shares(console: Console, data: str, limit: int | None) -> None:
    """Time every part of a run inside it."""
    from sam_backend.segmenters.wrapper import SegmenterWrapper
    from sam_evaluation import job_rows, measurement, runner
    from sam_evaluation.protocols import named_protocols

    spent: dict[str, float] = defaultdict(float)

    def timed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*given, **named)
            finally:
                spent[what] += time.perf_counter() - start

        return wrapped

    class Timed(SegmenterWrapper):
        def __init__(self, model: Any) -> None:
            super().__init__(model)
            self.encode, self.decode = timed("model", model.encode), timed("model", model.decode)

    load = job_rows.load_model
    job_rows.load_model = lambda *given, **named: Timed(load(*given, **named))  # type: ignore[assignment]
    measurement.measure = timed("metrics", measurement.measure)
    measurement.MeasuredObject.of = timed("metrics", measurement.MeasuredObject.of)  # type: ignore[method-assign]
    named_protocols.correction = timed("annotator", named_protocols.correction)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = runner.evaluate(["nano"], [data], out=Path(folder), settings=settings(limit), jobs=1)
        whole = time.perf_counter() - start
    table = Table(title=f"clicks:5 with nano, {made.objects['sample'].nunique()} images of Magnetic Tile, one job")
    for head in ("part", "s", "share"):
        table.add_column(head, justify="left" if head == "part" else "right")
    spent["all else: reading images, drawing up rows"] = whole - sum(spent.values())
    for part, seconds in spent.items():
        table.add_row(part, f"{seconds:.1f}", f"{100 * seconds / whole:.0f} %")
    console.print(table)


def settings(limit: int | None) -> Any:
    from sam_evaluation import RunSettings

    return RunSettings(protocols="clicks:5", limit=limit)


_ONE_RUN = """
import sys, time
from pathlib import Path
from sam_evaluation import RunSettings, evaluate
if __name__ == "__main__":
    data, out, limit, jobs = sys.argv[1:]
    start = time.perf_counter()
    evaluate(["nano"], [data], out=Path(out), jobs=int(jobs),
             settings=RunSettings(protocols="clicks:5", limit=int(limit) if limit else None))
    print(time.perf_counter() - start)
"""


def jobs(console: Console, data: str, limit: int | None) -> None:
    """Time whole runs in processes of their own, starting the workers included."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "one_run.py"
        script.write_text(_ONE_RUN)
        for count in (1, 2):
            command = [sys.executable, str(script), data, f"{folder}/{count}", str(limit or ""), str(count)]
            taken.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    one, two = taken
    console.print(f"Jobs: one {one:.1f} s, two {two:.1f} s: {one / two:.2f} times as fast")


_MANY = """
import resource, sys
import numpy as np
from pathlib import Path
from PIL import Image
from sam_evaluation import RunSettings, evaluate
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    evaluate(["boxfill"], [f"masks:{folder}"], out=folder / "run", settings=RunSettings(protocols="box"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory(console: Console) -> None:
    """Evaluate 10,000 objects in one image: the most that can lie in memory at once."""
    from PIL import Image

    size, step, side = 2048, 20, 12
    mask = np.zeros((size, size), np.uint8)
    for y in range(0, 100 * step, step):
        for x in range(0, 100 * step, step):
            mask[y : y + side, x : x + side] = 255
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        (folder / "masks").mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)).save(
            folder / "images" / "many.png"
        )
        Image.fromarray(mask).save(folder / "masks" / "many.png")
        script = folder / "many.py"
        script.write_text(_MANY)
        done = subprocess.run([sys.executable, str(script), name], check=True, capture_output=True, text=True)
    console.print(f"Memory: 10,000 objects in one image of {size} x {size}: {int(done.stdout) / 2**20:.2f} GiB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="about this many images of Magnetic Tile; all by default")
    limit = parser.parse_args().limit
    console = Console()
    cv2.setNumThreads(1)
    boundary(console)
    memory(console)
    data = os.environ.get("SAM_INSPECT_DATA")
    if not data:
        console.print("Set SAM_INSPECT_DATA to the folder of the real images to measure runs on Magnetic Tile as well.")
        return
    tiles = f"magnetic_tile:{data}/magnetic_tile"
    jobs(console, tiles, limit)
    shares(console, tiles, limit)


if __name__ == "__main__":
    main()
