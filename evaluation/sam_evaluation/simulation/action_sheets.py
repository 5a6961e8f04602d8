"""The tables of actions in the report of a simulation, and their result in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from sam_evaluation.report.numbers import CLICKS, NOTHING, SHARE, estimate, number
from sam_evaluation.report.sheet import Sheet
from sam_evaluation.simulation.action_tables import (
    BY_HAND,
    ONE_BOX,
    ONE_CLICK,
    RIVALS,
    Way,
    stops_at,
    work_table,
)
from sam_evaluation.simulation.actions import BORDER_PIXELS, RIGHT_BORDER, Level, Page
from sam_evaluation.simulation.plans import PLAIN
from sam_evaluation.simulation.simulation_result import SimulationResult

_OFTEN = "z.2f"

PAGES = {
    Page.DEFAULT: "with its default settings",
    Page.QUICK: "with Keep label selected after creating a region and Auto-Accept Suggestions",
}
"""How Label Studio's page is set, by `Page`."""


def action_sheets(
    run: SimulationResult, actions: pd.DataFrame, ways: Sequence[Way], levels: Sequence[Level], note: str
) -> Iterator[Sheet]:
    """Yield the table of actions, and what they consist of.

    Parameters
    ----------
    run : SimulationResult.
    actions : table of `action_tables.actions_table`.
    ways, levels : its ways and levels.
    note : line below each table.
    """
    people = "" if run.people is None else f" Two people's outlines of an object have an IoU of {estimate(run.people)}."
    rows = tuple(
        (
            f"{row['page']}, IoU {row['level']}",
            str(row["way"]),
            estimate(row, CLICKS, prefix="actions_"),
            *(number(row[name], CLICKS) for name in ("keys", "clicks", "drags")),
            f"{row['stop']}",
            *(
                NOTHING if row["way"] == rival else estimate(row, SHARE, prefix=f"ratio_{suffix}_")
                for suffix, rival in RIVALS.items()
            ),
        )
        for row in actions.to_dict("records")
    )
    yield Sheet(
        "Actions in Label Studio",
        "Keys, clicks and drags an object, submitting included, by the IoU from which a mask is accepted; or border: "
        f"also where its boundary F at {BORDER_PIXELS} px is {RIGHT_BORDER:g}. Prompts: after how many the annotator "
        f"paints what is left, the number that takes the fewest actions. {_pages()}{people}",
        (
            "page, accepted",
            "way",
            "actions",
            "keys",
            "clicks",
            "drags",
            "prompts",
            *(f"times {name}" for name in RIVALS.values()),
        ),
        rows,
        2,
        note,
    )
    level = next(level for level in levels if level.iou == run.conditions.habits.accept and not level.border)
    pieces = work_table(run.tables, ways, level, stops_at(actions, level))
    yield Sheet(
        "What the actions are",
        f"Pieces of work with their cost, and how often an object takes each, at an IoU of {level.name}. The costs "
        f"were counted on Label Studio's page. {_pages()}",
        ("page", "work", "keys", "clicks", "drags", *(way.name for way in ways)),
        tuple(
            (
                str(row["page"]),
                str(row["work"]),
                *(str(row[name]) for name in ("keys", "clicks", "drags")),
                *(number(row[way.name], _OFTEN) for way in ways),
            )
            for row in pieces.to_dict("records")
        ),
        2,
        note,
        folded=True,
    )


def _pages() -> str:
    return f"Pages: {'; '.join(f'{page}, {settings}' for page, settings in PAGES.items())}."


def action_statement(run: SimulationResult, actions: pd.DataFrame) -> Iterator[str]:
    """Yield what the last arm takes, on each page, at the IoU that the runs reached, compared with what people do."""
    way = run.arms[-1]
    for page, settings in PAGES.items():
        rows = actions[(actions["level"] == Level(run.conditions.habits.accept).name) & (actions["page"] == page)]
        rows = rows.set_index("way")
        if way == PLAIN or way not in rows.index:
            return
        row = rows.loc[way].to_dict()
        compared = [
            f"{estimate(row, SHARE, prefix=f'ratio_{suffix}_')} times {name}"
            for suffix, name in (("plain", PLAIN), ("hand", BY_HAND), ("click", ONE_CLICK), ("box", ONE_BOX))
            if name in rows.index
        ]
        versus = f": {', '.join(compared)}" if compared else ""
        taken = estimate(row, CLICKS, prefix="actions_")
        yield f"In Label Studio {settings}, {way} takes {taken} actions an object{versus}."
