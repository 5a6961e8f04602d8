"""The CPU time of an event and of a state check in a memory with many records, `python tests/benchmarks/store.py`.

Records and examples are synthetic, with a brush mask of `--mask` numbers each. Measured is the time of the process on
all cores, median of `--rounds`:

event   one new annotation is kept, and what has to be learnt is looked up, as a webhook does;
check   whether the classes must be fitted anew, as before each image that is pre-annotated;
fit     the choice of the examples and the fit of the classes, after an event.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sam_backend.memory.features import FeatureVectors
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Example, Record

VERSION = "nano-benchmark"
VECTORS = FeatureVectors(np.ones((300, 64), np.float32), np.array(["", *["defect"] * 299]), np.ones(300, np.float32))


def record(number: int, mask: int) -> Record:
    time_of_change = f"2026-11-23T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    region = {"id": "a", "type": "brushlabels", "value": {"rle": [number % 256] * mask, "brushlabels": ["defect"]}}
    return Record(number, time_of_change, number, f"/data/upload/1/{number}.png", [region])


def measure(rounds: int, work: Callable[[int], None]) -> float:
    times = []
    for number in range(rounds):
        started = time.process_time()
        work(number)
        times.append(1000 * (time.process_time() - started))
    return statistics.median(times)


def fill(memory: ProjectMemory, count: int, mask: int) -> None:
    for number in range(count):
        made = record(number, mask)
        memory.store.put(made)
        memory.store.add_example(Example(made.key, made.updated, VECTORS), VERSION)


def report(memory: ProjectMemory, count: int, mask: int, rounds: int) -> str:
    fill(memory, count, mask)

    def event(number: int) -> None:
        memory.store.put(record(count + number, mask))
        memory.store.missing(VERSION)

    def check(_number: int) -> None:
        memory.store.changed()
        memory.classes(VERSION, lambda _: True)

    memory.classes(VERSION, lambda _: True)
    events, fit, checks = measure(rounds, event), measure(1, check), measure(rounds, check)
    return f"{count:6d} records: event {events:.2f} ms, check {checks:.2f} ms, the fit after an event {fit:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--mask", type=int, default=2000, help="numbers of a mask")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for count in options.records:
        with tempfile.TemporaryDirectory() as folder:
            print(report(ProjectMemory(Path(folder) / "project"), count, options.mask, options.rounds))


if __name__ == "__main__":
    main()
