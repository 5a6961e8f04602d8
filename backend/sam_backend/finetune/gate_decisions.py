"""The decisions of all gates, in a file: a training that was refused may leave no version. Needs no PyTorch."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
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
    kept = _read(versions.folder / _NAME)
    known = {decision.version for decision in kept}
    records = [
        GateDecision(one.created, one.model, one.name, one.data, one.passed, one.reason, one.metrics)
        for one in versions.all()
        if one.name not in known
    ]
    return sorted([*kept, *records], key=lambda decision: decision.time, reverse=True)


def _read(path: Path) -> list[GateDecision]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("%s cannot be read: %s", path, error)
        return []
    decisions = []
    for line in filter(None, lines):
        try:
            decisions.append(_reader().validate_json(line))
        except ValidationError:
            logger.warning("%s has a damaged line, which is left out.", path)
    return decisions


@cache
def _reader() -> TypeAdapter[GateDecision]:
    return TypeAdapter(GateDecision)
