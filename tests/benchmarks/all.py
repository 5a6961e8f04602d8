"""All speeds at a bounded size, into the table of docs/performance.md: `make bench`, or with `--quick` in two minutes.

Ratios are of one run: both sides are asked in turn. Where a machine does other work as well, CPU seconds tell more than
waits. The benchmarks of quality (`focus.py`, `memory.py`, `proposer.py`, `warm.py`) need data and run by themselves.
"""

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

# ruff: noqa: E402, E501 - the path comes first; a row of a table is one line.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from label_studio_sdk.converter import brush
from rich.console import Console

from benchmarks import click, everything, many_images, masks_on_page, rle, startup
from sam_backend.labelstudio.rle import decode_rle, encode_rle

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few clicks and images, to see that all of it runs")
    parser.add_argument("--print", action="store_true", help="print the table and leave the page as it is")
    options = parser.parse_args()
    started = time.monotonic()
    lines = list(table(options.quick))
    minutes = (time.monotonic() - started) / 60
    cores = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    lines.append(f"\n{datetime.now(UTC):%Y-%m-%d}, {cores}, {load}; {minutes:.1f} minutes{', quick' * options.quick}.")
    text = "\n".join(lines) + "\n"
    Console(width=160).print(text, markup=False)
    if not options.print:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2], encoding="utf-8")


def table(quick):
    """Yield the lines of the tables, in Markdown."""
    yield "| click over HTTP, `nano`, 1024 x 1024 | p50 | p95 | CPU a click | pattern: p50 | p95 | CPU a click | times quicker (p50, p95) | times the clicks a second | pattern with our model: p50 | p95 | times quicker |"
    yield "|---" * 12 + "|"
    for name, ours, theirs, served in click.measure("nano", 8 if quick else 96):
        sides = " | ".join(f"{waits.p50:.0f} ms | {waits.p95:.0f} ms | {waits.cpu:.0f} ms" for waits in (ours, theirs))
        quicker = f"{theirs.p50 / ours.p50:.1f}, {theirs.p95 / ours.p95:.1f} | {ours.rate / theirs.rate:.1f}"
        yield f"| {name} | {sides} | {quicker} | {served.p50:.0f} ms | {served.p95:.0f} ms | {served.p50 / ours.p50:.1f} |"
    yield "\n| masks on the page, 1700 x 1200 | p50 | CPU a click | more CPU than without |"
    yield "|---|---|---|---|"
    rows = masks_on_page.measure(100, 4 if quick else 30)
    for name, waits in rows.items():
        yield f"| {name} | {waits.p50:.0f} ms | {waits.cpu:.0f} ms | {waits.cpu - rows['no mask'].cpu:.0f} ms |"
    yield "\n| one server, one click on each of many images of 512 x 512 | highest resident size | open files | threads |"
    yield "|---|---|---|---|"
    for count, resident, handles, threads in many_images.measure(40 if quick else 2000, 512):
        yield f"| {count} | {resident:.0f} MiB | {handles} | {threads} |"
    yield "\n| work, CPU | ours | theirs | times quicker |"
    yield "|---|---|---|---|"
    for name, mask in rle.masks(1024, 0).items():
        grey = mask.astype("uint8") * 255
        numbers = encode_rle(mask)
        pairs = {
            "pack": (lambda mask=mask: encode_rle(mask), lambda grey=grey: brush.mask2rle(grey)),
            "unpack": (
                lambda numbers=numbers, size=mask.shape: decode_rle(numbers, size),
                lambda numbers=numbers: brush.decode_rle(numbers),
            ),
        }
        for work, (own, sdk) in pairs.items():
            ours, theirs = rle.milliseconds(own, 3), rle.milliseconds(sdk, 2)
            yield f"| {work} a brush mask ({name}), 1024 x 1024, `label_studio_sdk` | {ours:.2f} ms | {theirs:.1f} ms | {theirs / ours:.0f} |"
    ours, theirs = everything.measure(4 if quick else 8)
    yield f"| automatic masks, `SamAutomaticMaskGenerator`, a small SAM | {ours:.1f} s | {theirs:.1f} s | {theirs / ours:.1f} |"
    seconds = min(startup.serve_seconds("nano") for _ in range(2 if quick else 5))
    yield f"| `sam-inspect serve` until `/health` answers | {seconds:.2f} s | - | - |"


if __name__ == "__main__":
    main()
