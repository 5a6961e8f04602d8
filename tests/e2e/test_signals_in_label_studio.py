"""Signals in a real Label Studio: tasks imported, a fault boxed on the page, the next ones proposed, intervals out."""

import json

import numpy as np
import pandas as pd

from annotation_events import region
from project_steps import ask, sam_inspect, wait_for_examples
from sam_backend.demo.project import BACKEND_TITLE
from sam_backend.polygons import rectangle_mask
from sam_backend.signals.calibration import Calibration

RECORDINGS, TAUGHT = 5, 3


def box_of(fault, c):
    """Return the box xyxy of a fault in pixels of its picture."""
    (left, right), (top, bottom) = c.columns([fault.t_start, fault.t_end]), c.rows([fault.f_high, fault.f_low])
    return float(left), float(top), float(right), float(bottom)


def iou(one, other):
    """Return the IoU of two rows with t_start, t_end, f_low, f_high."""
    pairs = (("t_start", "t_end"), ("f_low", "f_high"))
    shared = np.prod([max(0, min(one[b], other[b]) - max(one[a], other[a])) for a, b in pairs])
    areas = [np.prod([row[b] - row[a] for a, b in pairs]) for row in (one, other)]
    return shared / (sum(areas) - shared)


def test_faults_that_are_accepted_are_found_in_the_next_recordings_and_come_back_as_intervals(
    stack, home, labeling, tmp_path
):
    sam_inspect(home, stack, "signal", "example", "--out", str(tmp_path / "bearing"), "--count", str(RECORDINGS))
    truth = pd.read_csv(tmp_path / "bearing/faults.csv")
    files = [str(tmp_path / "bearing" / name) for name in truth["file"].unique()]
    sam_inspect(home, stack, "signal", "render", *files, "--out", str(tmp_path / "out"), "--label", "Fault")
    made = [task["data"] for task in json.loads((tmp_path / "out/tasks.json").read_text())]
    calibrations = [Calibration.of_data(data["signal"], "it") for data in made]
    number = stack.api.create_project("Signals", str(tmp_path), (tmp_path / "out/labeling-config.xml").read_text())
    uploads = [stack.api.upload(number, tmp_path / "out" / c.picture) for c in calibrations]
    # The last picture comes without the fields of its task, as when somebody drags it into Label Studio.
    bare = [{"image": uploads[-1]}]
    stack.api.create_tasks(
        number, [{**data, "image": url} for data, url in zip(made, uploads, strict=True)][:-1] + bare
    )
    stack.api.connect_backend(number, stack.backend_url, BACKEND_TITLE)
    tasks = [task.id for task in stack.api.tasks(number)]
    faults = [list(truth[truth["file"] == c.file].itertuples()) for c in calibrations]

    # Without examples, predictions are masks of whatever there is; nobody wants to begin with them.
    ask(stack, "PATCH", f"/api/projects/{number}/", json={"show_collab_predictions": False})
    # The first recording by hand, with the smart rectangle; the others with the true boxes, filled.
    c = calibrations[0]
    labeling.open_task(number, tasks[0], (c.height, c.width))
    labeling.choose_smart_tool("rectangle-tool")
    for fault in faults[0]:
        labeling.drag(box_of(fault, c), label="Fault")
        labeling.accept()
    labeling.screenshot("signal-boxed")
    labeling.submit()
    for task, c, own in list(zip(tasks, calibrations, faults, strict=True))[1:TAUGHT]:
        result = []
        for fault in own:
            left, top, right, bottom = box_of(fault, c)
            mask = rectangle_mask((left, top, right - left, bottom - top), (c.height, c.width))
            result.append(region("Fault", mask) | {"id": f"r{fault.Index}"})
        ask(stack, "POST", f"/api/tasks/{task}/annotations/", json={"result": result})
    wait_for_examples(home / "backend", number, TAUGHT)
    stack.api.retrieve_predictions(number, tasks[TAUGHT:])
    for task in tasks[TAUGHT:]:
        (prediction,) = ask(stack, "GET", f"/api/tasks/{task}/")["predictions"]
        assert prediction["result"]
        ask(stack, "POST", f"/api/tasks/{task}/annotations/", json={"result": prediction["result"]})
    ask(stack, "PATCH", f"/api/projects/{number}/", json={"show_collab_predictions": True})
    labeling.open_task(number, tasks[-1], (calibrations[-1].height, calibrations[-1].width))
    labeling.screenshot("signal-proposed")

    out = tmp_path / "intervals.csv"
    printed = sam_inspect(home, stack, "signal", "intervals", "--project", str(number), "--out", str(out))
    assert f"intervals of {RECORDINGS} tasks." in printed
    table = pd.read_csv(out)
    assert set(table["label"]) == {"Fault"}
    assert table["peak_frequency"].between(2800, 3600).mean() > 0.8
    best = {
        c.file: [
            max(iou(fault._asdict(), row._asdict()) for row in table[table["file"] == c.file].itertuples())
            for fault in own
        ]
        for c, own in zip(calibrations, faults, strict=True)
    }
    by_hand, *filled = list(best.values())[:TAUGHT]
    assert min(by_hand) >= 0.5, best
    assert min(min(ious) for ious in filled) >= 0.95, best
    assert min(max(ious) for ious in list(best.values())[TAUGHT:]) >= 0.5, best
