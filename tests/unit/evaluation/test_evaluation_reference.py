"""The reference page has every name that a user can write or read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sam_evaluation import ci_gate, prediction_changes
from sam_evaluation.protocols.named_protocols import NAMES
from sam_evaluation.row_columns import METRICS

_PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "evaluation.md").read_text(encoding="utf-8")
_MARKED = set(re.findall(r"`([^`\n]+)`", _PAGE))


@pytest.mark.parametrize(
    "names",
    [METRICS, NAMES, ci_gate.KNOWN, prediction_changes._ROW, prediction_changes.SHARES, prediction_changes.GROUPS],
    ids=["metrics", "protocols", "gate", "columns of accepted", "outcomes", "groups of accepted"],
)
def test_every_name_is_on_the_page(names: tuple[str, ...]) -> None:
    assert set(names) - _MARKED == set()
