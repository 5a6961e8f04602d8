"""The tables of a report as they are read."""

from __future__ import annotations

import pandas as pd

from evaluation_rows import clicked, images, ious, objects
from evaluation_run import run_of
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.numbers import DIFFERENCE, PERCENT, estimate, listed, number
from sam_evaluation.report.sheet import Sheet
from sam_evaluation.report.sheets import sheets
from sam_evaluation.requirements import parse_requirements

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def sheet(findings: Findings, start: str) -> Sheet:
    return next(table for table in sheets(findings) if table.title.startswith(start))


def column(table: Sheet, head: str) -> list[str]:
    place = table.columns.index(head)
    return [row[place] for row in table.rows]


def test_numbers_have_few_digits_and_their_interval() -> None:
    row = {"value": 0.71234, "low": 0.69, "high": 0.7333}
    assert estimate(row) == "0.712 [0.690, 0.733]"
    assert estimate(row, PERCENT) == f"71{NBSP}% [69, 73]"
    assert estimate({"value": -0.0001, "low": -0.05, "high": 0.02}, DIFFERENCE) == f"+0.000 [{MINUS}0.050, +0.020]"
    assert estimate({"value": 0.5, "low": float("nan"), "high": float("nan")}) == "0.500 [\N{EN DASH}]"
    assert number(float("nan")) == "\N{EN DASH}"
    assert [listed(["a"]), listed(["a", "b", "c"])] == ["a", "a, b and c"]


def test_every_table_says_what_it_was_made_with() -> None:
    rows = pd.concat([ious(0.2, 0.6), clicked([0.3, 0.6], count=2)])
    needs = parse_requirements('[object]\niou = ">= 0.5"')
    for table in sheets(Findings.of(run_of(rows, images({"objects": 1})), requirements=needs)):
        for said in (
            "a-1",
            "parts #00000001",
            "Protocols: box",
            "Seed: 3",
            "components of 8 neighbours, at least 20 px",
        ):
            assert said in table.note, table.title
        assert "95 % interval" in table.note
        assert "objects" in table.columns, table.title
        assert all(len(row) == len(table.columns) for row in table.rows), table.title


def test_what_is_found_without_a_prompt_is_told_by_size() -> None:
    found = {"protocol": "everything", "click": 0}
    rows = objects(
        {"iou": 0.6, "area": 50, **found},
        {"iou": 0.4, "area": 60, **found},
        {"iou": 0.9, "area": 20_000, **found},
    )
    table = sheet(Findings.of(run_of(rows, images({"objects": 3}))), "Without a prompt, by size")
    (small,) = column(table, "under 10² px")
    assert small.startswith(f"50{NBSP}% [")
    assert small.endswith("] of 2")
    assert column(table, "10² to 32² px") == [""]
    assert column(table, "96² px and over")[0].endswith("of 1")


def test_models_and_prompts_are_side_by_side_in_the_order_they_were_given() -> None:
    rows = pd.concat(
        [
            ious(0.2, 0.6, model="b", version="b-1"),
            ious(0.5, 0.5, protocol="click", click=1),
            ious(0.8, 0.8),
        ]
    )
    table = sheet(Findings.of(run_of(rows, models=("b", "a"))), "All objects")
    assert column(table, "model and prompt") == ["b, with a box", "a, with a box", "a, with one click"]
    assert column(table, "IoU") == ["0.400 [0.200, 0.600]", "0.800 [0.800, 0.800]", "0.500 [0.500, 0.500]"]


def test_classes_and_sizes_have_a_row_each() -> None:
    rows = objects({"label": "dent", "area": 50}, {"area": 5000}, {"area": 50})
    table = sheet(Findings.of(run_of(rows)), "parts: IoU by class and size")
    assert column(table, "class or size") == ["all", "dent", "scratch", "under 10² px", "32² to 96² px"]
    assert column(table, "objects") == ["3", "1", "2", "2", "1"]


def test_the_gap_is_industrial_minus_natural() -> None:
    rows = pd.concat([ious(0.5, 0.5), ious(0.8, 0.8, dataset="photos")])
    findings = Findings.of(run_of(rows, datasets={"parts": "industrial", "photos": "natural"}))
    table = sheet(findings, "Industrial against natural images (photos)")
    assert column(table, "IoU, difference") == [f"{MINUS}0.300 [{MINUS}0.300, {MINUS}0.300]"] * 2
    assert column(table, "data set") == ["all industrial", "parts"]


def test_requirements_show_who_fails_and_which_class_most() -> None:
    rows = objects({"iou": 0.9}, {"iou": 0.9}, {"iou": 0.1, "label": "dent"}, {"iou": 0.2})
    findings = Findings.of(run_of(rows), requirements=parse_requirements('[object]\niou = ">= 0.5"'))
    assert column(sheet(findings, "Against the requirements"), "iou >= 0.5")[0].endswith("2 of 4 fail")
    assert column(sheet(findings, "What fails"), "class") == ["dent", "scratch"]


def test_a_run_without_objects_has_no_tables() -> None:
    assert list(sheets(Findings.of(run_of(pd.DataFrame())))) == []
