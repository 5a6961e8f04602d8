"""The decisions of all gates, in a file: a training that was refused may leave no version. Needs no PyTorch."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sam_backend.files import append_line
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.version_record import Version
from sam_backend.finetune.versions import Versions

logger = logging.getLogger(__name__)

_NAME = "gate-decisions.jsonl"


@dataclass(frozen=True)
class GateDecision:
    """A decision of a gate.

    Attributes
    ----------
    time : str, in UTC, ISO 8601.
    model : str, what was trained, for example "nano" or "proposer:3.1795411201".
    version : str, the version that was made; "" where none was kept.
    data : str, what it learned from, as users call it.
    passed : bool, whether the gate passed it.
    reason : str, the gate's reason.
    metrics : dict, `protocol.metric` -> [before, after] on held-out images.
    """

    time: str
    model: str
    version: str
    data: str
    passed: bool
    reason: str
    metrics: dict[str, list[float]] = field(default_factory=dict)


def keep_decision(versions: Versions, model: str, data: str, version: Version | None, verdict: Verdict) -> None:
    """Keep a decision; a file that cannot be written is logged, since the training has ended well."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    name = version.name if version else ""
    decision = GateDecision(now, model, name, data, verdict.passed, verdict.reason, verdict.metrics)
    try:
        append_line(versions.folder / _NAME, json.dumps(asdict(decision)))
    except OSError as error:
        logger.warning("The decision about %s is not kept: %s", model, error)


def gate_decisions(versions: Versions) -> list[GateDecision]:
    """Return all decisions, the latest first; of versions from before there was the file, those in their records."""
    kept, _ = _read(versions.folder / _NAME)
    known = {decision.version for decision in kept}
    records = [
        GateDecision(one.created, one.model, one.name, one.data, one.passed, one.reason, one.metrics)
        for one in versions.all()
        if one.name not in known
    ]
    return sorted([*kept, *records], key=lambda decision: decision.time, reverse=True)


def decisions_problem(versions: Versions) -> str:
    """Return what is damaged in the file of the decisions, in one sentence; "" where nothing is."""
    return _read(versions.folder / _NAME)[1]


def _read(path: Path) -> tuple[tuple[GateDecision, ...], str]:
    """Return the decisions of a file, and what is damaged in it."""
    try:
        status = path.stat()
        return _read_state(path, (status.st_mtime_ns, status.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return (), ""
    except OSError as error:
        return (), f"{path} cannot be read: {error.strerror or error}."


@lru_cache(maxsize=8)
def _read_state(path: Path, _state: tuple[int, int]) -> tuple[tuple[GateDecision, ...], str]:
    decisions, damaged = [], 0
    for line in filter(None, path.read_bytes().splitlines()):
        try:
            decisions.append(_reader().validate_json(line))
        except ValidationError:
            damaged += 1
    problem = f"{path} has {damaged} damaged lines, which are left out; remove them." if damaged else ""
    if problem:
        logger.warning("%s", problem)
    return tuple(decisions), problem


@cache
def _reader() -> TypeAdapter[GateDecision]:
    return TypeAdapter(GateDecision)
