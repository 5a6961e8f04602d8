"""The tables of a report as text: rounded values with their intervals, each with a note of how it was made."""

from __future__ import annotations

from collections.abc import Iterator

from sam_evaluation.click_tables import HARM, NOC
from sam_evaluation.report import numbers
from sam_evaluation.report.findings import Findings, records
from sam_evaluation.report.numbers import CLICKS, DIFFERENCE, PERCENT, PIXELS, estimate, number
from sam_evaluation.report.phrases import phrase
from sam_evaluation.report.reference_sheets import agreement_sheet, gap_sheet, requirement_sheets
from sam_evaluation.report.sheet import LEAD, Sheet, cells_of, counts, make_sheet, named, ordered
from sam_evaluation.row_columns import METRICS, RUN
from sam_evaluation.summary_tables import SIZES

_AFTER = 5
"""After so many clicks the mean IoU stands beside NoC, as in RITM, SimpleClick and SegNext."""

_CLICKED = (*RUN, "dataset", "protocol")


def sheets(findings: Findings) -> Iterator[Sheet]:
    """Yield all tables with at least one row, the most important first."""
    for sheet in (
        _overview(findings),
        *requirement_sheets(findings),
        gap_sheet(findings),
        agreement_sheet(findings),
        _detection(findings),
        _found_by_size(findings),
        _boxes(findings),
        clicks_sheet(findings),
        *(_groups(findings, dataset, metric) for dataset in findings.datasets for metric in ("iou", "boundary_f")),
        _outlines(findings),
        _calibration(findings),
    ):
        if sheet.rows:
            yield sheet


def _overview(findings: Findings) -> Sheet:
    overall = ordered(findings, findings.summary[findings.summary["by"] == "all"])
    rows = []
    for cell, frame in cells_of(overall):
        of = {row["metric"]: row for row in records(frame)}
        rows.append(
            (
                *named(cell),
                *(estimate(of[name]) for name in ("iou", "boundary_f", "boundary_iou")),
                *(estimate(of[f"iou_at_least_{share}"], PERCENT) for share in ("0.5", "0.75", "0.9")),
                number(of["iou_oracle"]["value"]) if cell["model"] in findings.estimating else numbers.NOTHING,
                *counts(of["iou"]),
            )
        )
    return make_sheet(
        findings,
        "All objects",
        "How well each object was outlined, by the prompt. The IoU of the best candidate is the IoU with the best of "
        "the model's candidates each time.",
        LEAD,
        (
            *("IoU", "boundary F", "boundary IoU", "IoU ≥ 0.5", "IoU ≥ 0.75", "IoU ≥ 0.9"),
            *("IoU of the best candidate", "objects", "images"),
        ),
        rows,
    )


def _groups(findings: Findings, dataset: str, metric: str) -> Sheet:
    table = findings.summary
    table = table[(table["dataset"] == dataset) & (table["metric"] == metric) & (table["by"] != "size quartile")]
    protocols = findings.protocols(dataset)
    rows = []
    for (_, group), frame in table.groupby(["by", "group"], sort=False):
        for model in findings.models:
            of = {row["protocol"]: row for row in records(frame[frame["model"] == model])}
            if of:
                most = max(of.values(), key=lambda row: int(row["objects"]))
                means = (estimate(of[name]) if name in of else numbers.NOTHING for name in protocols)
                rows.append((str(group), model, *means, *counts(most)))
    return make_sheet(
        findings,
        f"{dataset}: {METRICS[metric].title} by class and size",
        "Means over the objects of a class or a size, by the prompt.",
        ("class or size", "model"),
        (*(phrase(name) for name in protocols), "objects", "images"),
        rows,
        datasets=[dataset],
        models=table["model"],
        folded=metric != "iou",
    )


def _outlines(findings: Findings) -> Sheet:
    names = ("dice", *(name for name in METRICS if name.startswith("boundary_f_")), "hd95", "assd")
    rows = []
    for cell, frame in cells_of(ordered(findings, findings.summary[findings.summary["by"] == "all"])):
        of = {row["metric"]: row for row in records(frame)}
        values = (estimate(of[name], PIXELS if METRICS[name].unit else numbers.SHARE) for name in names)
        rows.append((*named(cell), *values, *counts(of["dice"])))
    return make_sheet(
        findings,
        "Further measures of the outline",
        "Boundary F counts a point of an outline as correct if the other outline is within that many pixels. Distances "
        "are in pixels; an object without a mask counts with the diagonal of its image.",
        LEAD,
        (*(METRICS[name].title + _unit(name) for name in names), "objects", "images"),
        rows,
        folded=True,
    )


def _unit(metric: str) -> str:
    return ", px" if METRICS[metric].unit else ""


def _detection(findings: Findings) -> Sheet:
    heads = {
        "recall_0.1": ("found at IoU 0.1", PERCENT),
        "recall_0.5": ("at IoU 0.5", PERCENT),
        "recall_0.75": ("at IoU 0.75", PERCENT),
        "precision_0.5": ("precision", PERCENT),
        "f1_0.5": ("F1", numbers.SHARE),
        "false_positives_0.5": ("false positives per image", CLICKS),
        "false_positives_without_objects": ("… on images without objects", CLICKS),
        "average_recall_100": ("average recall of 100", numbers.SHARE),
        "region_overlap": ("overlap of all regions", numbers.SHARE),
        "pixel_iou": ("IoU of all pixels", numbers.SHARE),
    }
    rows = []
    table = findings.detection[findings.detection["by"] == "all"]
    for cell, frame in cells_of(ordered(findings, table), (*RUN, "dataset", "protocol")):
        of = {row["metric"]: row for row in records(frame)}
        values = (estimate(of[name], style) if name in of else numbers.NOTHING for name, (_, style) in heads.items())
        numbers_of_objects = (f"{max(row[name] for row in of.values()):,}" for name in ("objects", "images"))
        rows.append((*named(cell), *values, *numbers_of_objects))
    return make_sheet(
        findings,
        "Without a prompt",
        "What the model finds without a prompt, by the name of a class, or by one example of it. A proposal is a "
        "false positive if its IoU with every object, or every one of its class, is below 0.5. This includes proposals "
        "of real defects that nobody annotated.",
        LEAD,
        (*(head for head, _ in heads.values()), "objects", "images"),
        rows,
    )


def _found_by_size(findings: Findings) -> Sheet:
    table = findings.detection
    table = table[(table["by"] == "size") & (table["metric"] == "recall_0.5")]
    rows = []
    for cell, frame in cells_of(ordered(findings, table), (*RUN, "dataset", "protocol")):
        of = {row["group"]: row for row in records(frame)}
        found = (f"{estimate(of[size], PERCENT)} of {of[size]['objects']:,}" if size in of else "" for size in SIZES)
        rows.append((*named(cell), *found, f"{frame['objects'].sum():,}"))
    return make_sheet(
        findings,
        "Without a prompt, by size",
        "Share of the objects found at IoU 0.5, of the number of objects, by the size of the object.",
        LEAD,
        (*SIZES, "objects"),
        rows,
    )


def _boxes(findings: Findings) -> Sheet:
    heads = {
        "box_ap": "AP",
        "box_ap50": "AP50",
        "box_ap75": "AP75",
        "box_ap_small": "AP small",
        "box_ap_medium": "AP medium",
        "box_ap_large": "AP large",
        "box_ar1": "AR 1",
        "box_ar10": "AR 10",
        "box_ar100": "AR 100",
    }
    rows = []
    for cell, frame in cells_of(ordered(findings, findings.boxes), (*RUN, "dataset", "protocol")):
        of = {row["metric"]: row for row in records(frame)}
        # Average precision has no interval.
        values = (number(of[name]["value"]) if name.startswith("box_ap") else estimate(of[name]) for name in heads)
        rows.append((*named(cell), *values, *counts(of["box_ap"])))
    return make_sheet(
        findings,
        "Boxes",
        "COCO's average precision (AP) and average recall (AR) of the boxes around what is found without a prompt, the "
        "mean over IoU 0.5 to 0.95. AP50 and AP75 are at one IoU. Small objects have an area below 32² px, large ones "
        "of 96² px and over. AR counts the surest 1, 10 or 100 boxes of an image. Where proposals have no class, "
        "classes do not count.",
        LEAD,
        (*heads.values(), "objects", "images"),
        rows,
    )


def clicks_sheet(findings: Findings) -> Sheet:
    """Return the table of corrected clicks: what five of them give, and how many reach an IoU."""
    rows = []
    harm = {tuple(row[name] for name in _CLICKED): row for row in records(findings.worsened)}
    after = findings.curve[findings.curve["click"] == _AFTER]
    fifth = {tuple(row[name] for name in _CLICKED): row for row in records(after)}
    for cell, frame in cells_of(ordered(findings, findings.noc), _CLICKED):
        of = {row["iou"]: row for row in records(frame)}
        values = [(estimate(of[iou], CLICKS), estimate(of[iou], PERCENT, prefix="never_")) for iou in NOC]
        key = tuple(cell.values())
        texts = (text for pair in values for text in pair)
        harmful = estimate(harm[key], PERCENT) if key in harm else numbers.NOTHING
        reached = estimate(fifth[key]) if key in fifth else numbers.NOTHING
        rows.append((*named(cell), reached, *texts, harmful, *counts(of[NOC[0]])))
    return make_sheet(
        findings,
        "Clicks needed",
        f"Mean IoU after {_AFTER} clicks; mean number of clicks to reach an IoU (NoC). A box is no click. An object "
        "that never reaches it counts as the maximum number of clicks, so the true number is higher if many never "
        f"reach it. Worse: share of the corrections after which the IoU is lower by more than {HARM:g}.",
        LEAD,
        (
            f"IoU after {_AFTER} clicks",
            *(head for iou in NOC for head in (f"to IoU {iou:.2f}", "never")),
            *("worse", "objects", "images"),
        ),
        rows,
    )


def _calibration(findings: Findings) -> Sheet:
    rows = [
        (*named(row), number(row["ece"]), estimate(row, DIFFERENCE), *counts(row))
        for row in records(ordered(findings, findings.calibration.errors))
    ]
    return make_sheet(
        findings,
        "Can the model's own estimate be trusted?",
        "The model predicts an IoU for each of its masks. If predicted minus true IoU is above 0, it overrates its "
        "masks.",
        LEAD,
        ("expected calibration error", "predicted minus true IoU", "objects", "images"),
        rows,
        models=findings.estimating,
    )
