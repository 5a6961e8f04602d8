"""The figure of the page: models against data sets, one panel a protocol."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from sam_evaluation.gap_report.sheets import protocols_of
from sam_evaluation.report.charts import COLOURS, Chart, plain
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.phrases import opening

_COLUMNS = 3
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def models_on_datasets(findings: Findings) -> Chart:
    """Return the figure: the mean IoU of each model on each data set, with its 95 % interval."""
    names = protocols_of(findings)
    # Four panels are two rows of two.
    columns = 2 if len(names) == 4 else min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    width = max(2.6, 0.7 + 0.5 * len(findings.datasets) * max(1.0, len(findings.models) / 3))
    figure = Figure(figsize=(width * columns, 2.9 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    step = 0.7 / len(findings.models)
    for panel, protocol in zip(panels.flat, names, strict=False):
        for place, model in enumerate(findings.models):
            means = [findings.mean(dataset, model, protocol) for dataset in findings.datasets]
            known = [(index, row) for index, row in enumerate(means) if row is not None]
            at = np.array([index for index, _ in known]) + (place - (len(findings.models) - 1) / 2) * step
            values, low, high = (np.array([row[name] for _, row in known]) for name in ("value", "low", "high"))
            panel.errorbar(
                at,
                values,
                np.nan_to_num([values - low, high - values]).clip(0) if known else None,
                fmt=_MARKERS[place % len(_MARKERS)],
                color=COLOURS[place % len(COLOURS)],
                markersize=5,
                linewidth=1.3,
                label=plain(model),
            )
        panel.set_title(opening(protocol), fontsize=10)
        panel.set(ylim=(-0.02, 1.02), xlim=(-0.6, len(findings.datasets) - 0.4))
        panel.set_xticks(range(len(findings.datasets)), list(map(plain, findings.datasets)), rotation=20, ha="right")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", alpha=0.25, linewidth=0.7)
        panel.set_axisbelow(True)
    for row in panels:
        row[0].set_ylabel("IoU")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False, fontsize=10)
    return Chart(
        "models",
        "Models on data sets",
        "Mean IoU of all objects, by the prompt. Bars are 95 % intervals, bootstrap over images. Without a prompt, an "
        "object that was not found counts with 0. A model that does not take a prompt has no point there.",
        figure,
    )
