"""Hostile requests against a real server, and a table of how it held: `make attack`, or `python -m attack --help`."""

import argparse
import base64
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from attack.bombs import MIB, bombs
from attack.clients import DEADLINE, dripping, half_sent, hang_up, strangers
from attack.kills import PROJECT, kill_while_learning, remembered
from attack.mutations import mutated
from attack.target import Watch, running
from loopback import serving

MOST_MEMORY = 1024
"""MiB that a request may take at most, beyond what the server held before."""

SLOWEST_HEALTH = 0.5
"""Seconds within which `/health` answers, whatever else is answered; on a machine with other work it takes longer."""

SENDERS = 8


@dataclass
class Wave:
    """What came of one kind of attack.

    Attributes
    ----------
    statuses : Counter of the answers' statuses; 0 for a connection that was closed without one.
    wrong : list of str, what should not have happened.
    """

    name: str
    statuses: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0
    wrong: list = field(default_factory=list)

    def cells(self):
        tried = sum(self.statuses.values())
        refused = sum(count for status, count in self.statuses.items() if 400 <= status < 500 or status == 503)
        dropped = self.statuses[0]
        return (
            self.name,
            f"{tried:,}",
            f"{refused:,}",
            f"{dropped:,}",
            f"{self.slowest:.2f} s",
            f"{self.memory // MIB:,} MiB",
            "; ".join(self.wrong[:3]) + (f" and {len(self.wrong) - 3} more" if len(self.wrong) > 3 else ""),
        )


def main():
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="mutated requests (default: 10000)")
    parser.add_argument("--kills", type=int, default=20, help="kills while annotations come in (default: 20)")
    parser.add_argument("--connections", type=int, default=1100, help="requests that stop half way (default: 1100)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed sends the same requests (default: 0)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sam-inspect-attack-"))
    waves = []
    for wave in _attack(folder, options):
        waves.append(wave)
        Console(stderr=True).print("  ".join(wave.cells()), highlight=False, markup=False, soft_wrap=True)
    _show(waves)
    if any(wave.wrong for wave in waves):
        Console().print(f"The logs are in {folder}", highlight=False)
        sys.exit(1)
    shutil.rmtree(folder, ignore_errors=True)


def _attack(folder, options):
    """Yield each wave when it is over."""
    rng = np.random.default_rng(options.seed)
    with serving() as stub:
        with running(folder / "open", allow_host="127.0.0.1") as target:
            yield _mutations(target, rng, options.requests)
            yield from _bombs(target, stub)
            yield _slow(target, options.connections)
        with running(folder / "closed", basic_auth_user="user", basic_auth_pass="secret") as target:
            yield _strangers(target, stub)
        with running(folder / "killed") as target:
            yield _kills(target, rng, options.kills)


def _mutations(target, rng, count):
    wave = Wave("mutated requests")
    requests = [mutated(rng) for _ in range(count)]
    with Watch(target) as watch, ThreadPoolExecutor(SENDERS) as pool:
        answers = pool.map(lambda request: _send(target, *request), requests)
        for request, (status, answer) in zip(
            requests, track(answers, "Mutated requests", total=count, transient=True), strict=True
        ):
            wave.statuses[status] += 1
            if status == 500 or (status == 0 and target.process.poll() is not None):
                wave.wrong.append(f"{status} to {request[0]} {request[1][:40]} {request[2][:80]!r}: {answer[:80]!r}")
    return _observed(wave, watch)


def _bombs(target, stub):
    for name, path, body in bombs(stub):
        wave = Wave(name)
        with Watch(target) as watch:
            status, answer = _send(target, "POST", path, body, {})
        wave.statuses[status] += 1
        if status == 500 or target.process.poll() is not None:
            wave.wrong.append(f"{status}: {answer[:80]!r}")
        yield _observed(wave, watch, limited=True)


def _slow(target, connections):
    wave = Wave("half-sent, dripping, hung up")
    with Watch(target) as watch:
        closed = half_sent(target, connections)
        wave.statuses[0] += connections
        if closed < connections:
            wave.wrong.append(f"{connections - closed} half-sent requests were still open after {DEADLINE} s")
        if not dripping(target, 60):
            wave.wrong.append("a body of one byte a second was waited for")
        hang_up(target, 200)
        wave.statuses[0] += 201
    size = target.log.stat().st_size
    if size > 5 * MIB:
        wave.wrong.append(f"the log grew to {size // MIB} MiB")
    return _observed(wave, watch, limited=True)


def _strangers(target, stub):
    wave = Wave("strangers")
    header = "Basic " + base64.b64encode(b"user:secret").decode()
    with Watch(target) as watch:
        for name, held in strangers(target, stub, header):
            wave.statuses[401] += 1
            if not held:
                wave.wrong.append(name)
    return _observed(wave, watch, limited=True)


def _kills(target, rng, kills):
    wave = Wave("kills")
    acknowledged = kill_while_learning(target, rng, kills)
    wave.statuses[0] += kills
    missing = sorted(set(acknowledged) - remembered(target.home, PROJECT))
    if missing:
        wave.wrong.append(f"{len(missing)} of {len(acknowledged)} acknowledged annotations are lost: {missing[:5]}")
    if not acknowledged:
        wave.wrong.append("no annotation was acknowledged, so no kill showed anything")
    wave.name = f"kills, {len(acknowledged)} annotations acknowledged"
    return wave


def _send(target, method, path, body, headers):
    try:
        return target.ask(method, path, body, headers)
    except (OSError, ValueError, UnicodeError) as error:
        return 0, str(error).encode()


def _observed(wave, watch, *, limited=False):
    wave.slowest, wave.memory = watch.slowest, watch.highest - watch.before
    if limited and wave.memory > MOST_MEMORY * MIB:
        wave.wrong.append(f"more than {MOST_MEMORY} MiB")
    return wave


def _show(waves):
    table = Table("attack", "tried", "refused", "dropped", "slowest /health", "memory taken", "wrong", box=None)
    for wave in waves:
        table.add_row(*wave.cells())
    Console(width=200 if not sys.stdout.isatty() else None).print(table)
    Console().print(
        f"Aims: no 500, at most {MOST_MEMORY} MiB a request, /health within {SLOWEST_HEALTH} s, nothing lost.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
