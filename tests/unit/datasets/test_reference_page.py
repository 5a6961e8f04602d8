"""The page about data sets agrees with the cards of the formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam_evaluation.datasets.dataset import DatasetCard
from sam_evaluation.datasets.registry import known_datasets

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "datasets.md"


def _plain(text: str) -> str:
    """Return a text in one line, without the marks of code."""
    return " ".join(text.replace("`", "").split())


@pytest.mark.parametrize("card", known_datasets(), ids=lambda card: card.name)
def test_every_format_has_its_row_and_its_section(card: DatasetCard) -> None:
    overview, *sections = _PAGE.read_text(encoding="utf-8").split("\n## ")
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in overview.splitlines()]
    (row,) = [cells for cells in rows if cells[0] == f"[`{card.name}`](#{card.name})"]
    assert [row[1], row[2], row[4]] == [card.title, card.domain, card.licence]
    (section,) = [text for text in sections if text.startswith(f"`{card.name}`\n")]
    for text in (card.layout, card.source, card.citation):
        assert _plain(text) in _plain(section)


def test_the_page_lists_the_known_formats_only() -> None:
    listed = [line.split("`")[1] for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| [`")]
    assert listed == [card.name for card in known_datasets()]
