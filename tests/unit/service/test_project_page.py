"""What the pages of `/status` tell of projects, of gates, and of how proposals fared."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin
from xml.etree import ElementTree

import pytest

from colour_segmenter import ColourSegmenter
from sam_backend.core.proposers import proposer_of
from sam_backend.files import append_line, name_on_disk
from sam_backend.finetune.gate_decisions import keep_decision
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import VERSIONS, Versions
from sam_backend.memory.agreement import Compared
from sam_backend.memory.records import Record
from sam_backend.service.agreement_plot import plot

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"
HTML = {"Accept": "text/html"}


@pytest.fixture
def client(make_client):
    return make_client(ColourSegmenter())


@pytest.fixture
def backend(client):
    return client.app.state.backend


def accept(backend, project, number=1, title="", day=20, **outcomes):
    """Keep an accepted annotation of a project, and what became of its proposals."""
    time = f"2026-11-{day:02d}T08:30:00Z"
    store = backend.memories.of(project).store
    store.put(Record(number, time, number, "/data/1.png", prediction=17, masks={"Pit": 2, HOSTILE: 1}))
    counts = outcomes or {"unchanged": 3, "moved": 1}
    store.agreement.add(Compared(number, time, "threshold-1", counts, [1.0, 1.0, 1.0, 0.6]))
    backend.memories.keep_title(project, title)


def page(client, path="/status"):
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    return answer.text


def text(html):
    return re.sub(r"<[^>]+>", " ", html)


def test_without_a_project_the_page_says_so(client):
    shown = page(client)
    assert "No project has sent an annotation yet." in shown
    assert "No annotation was begun with a proposal yet." in shown
    assert "No training has ended yet." in shown
    assert "<svg" not in shown
    assert client.get("/status").json()["projects"] == {}


def test_a_project_is_told_with_what_it_accepted_and_its_thresholds(client, backend):
    accept(backend, "3.1795", title="Castings")
    assert client.get("/status").json()["projects"]["3.1795"]["accepted"]["annotations"] == 1
    accept(backend, "3.1795", 2, title="Castings", day=21)
    about = client.get("/status").json()["projects"]["3.1795"]
    assert about["title"] == "Castings"
    assert about["accepted"] == {"annotations": 2, "images": 2, "last": "2026-11-21T08:30:00Z"}
    assert about["masks"] == {"Pit": 4, HOSTILE: 2}
    assert about["memory"] == {"on": True, "why": "It has no examples yet."}
    assert about["thresholds"]["proposal_score"] == pytest.approx(1 / 3, abs=0.01)
    assert about["agreement"]["all"]["unchanged_share"] == 0.75
    assert about["agreement"]["all"]["iou"] == 0.9
    shown = text(page(client, "/status?project=3.1795"))
    for told in ("3 · Castings", "2026-11-21 08:30", "Of 8 proposals in 2 annotations, annotators left 75% unchanged"):
        assert told in shown


def test_fifty_projects_are_a_row_each_and_all_together_one_plot(client, backend):
    for number in range(1, 51):
        accept(backend, f"{number}.1795", day=1 + number % 25)
    shown = page(client)
    assert len(re.findall(r'<a href="status\?project=\d+\.1795">', shown)) == 50
    assert shown.count("<svg") == 1
    assert "Of 200 proposals in 50 annotations" in shown
    assert len(client.get("/status").json()["agreement"]["over_time"]) == 25


def test_hostile_titles_labels_and_reasons_are_text(client, backend):
    accept(backend, "3.1795", title=HOSTILE)
    accept(backend, '4"><img src=x>', title='"><img src=x>')
    versions = Versions(backend.settings.home / VERSIONS)
    keep_decision(versions, "nano", HOSTILE, None, Verdict(False, HOSTILE, {HOSTILE: [0.5, 0.6]}))
    for path in ("/status", "/status?project=3.1795", "/status?project=", "/status?project=4%22%3E%3Cimg%20src%3Dx%3E"):
        shown = page(client, path)
        assert "<img" not in shown
        assert not {"\u202e", "\x1b"} & set(shown)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[31m" in page(client)


def test_a_project_that_there_is_not_is_404_and_a_damaged_one_costs_itself(client, backend, monkeypatch):
    assert client.get("/status?project=9", headers=HTML).status_code == 404
    accept(backend, "3.1795")
    accept(backend, "4.1795")
    store = type(backend.memories.of("3.1795").store)
    accepted = store.accepted

    def damaged(self):
        if self.folder.name == "3.1795":
            raise OSError("the disk is gone")
        return accepted(self)

    monkeypatch.setattr(store, "accepted", damaged)
    values = client.get("/status").json()
    assert values["projects"]["3.1795"] == {"problem": "the disk is gone"}
    assert values["problems"] == ["Project 3.1795: the disk is gone"]
    assert "the disk is gone" in page(client)
    assert "the disk is gone" in page(client, "/status?project=3.1795")
    assert "in 2 annotations" in page(client)


def test_each_decision_of_a_gate_is_told_with_its_project_scores_and_reason(client, backend):
    accept(backend, "3.1795", title="Castings")
    accept(backend, "4.1795")
    versions = Versions(backend.settings.home / VERSIONS)
    proposer = proposer_of(backend.memories.of("3.1795"))
    keep_decision(versions, proposer, "x", None, Verdict(False, "It is no better.", {"proposals.recall": [0.61, 0.63]}))
    folder = "label_studio:/srv/project-a/home/finetune/project-4.1795/export.json"
    keep_decision(versions, "nano", folder, None, Verdict(True, "It is better.", {"box.iou": [0.735, 0.787]}))
    keep_decision(versions, "sam:vit_b", "masks:/srv/project-3.1795/parts", None, Verdict(False, "Of no project.", {}))
    told = {one["model"]: one for one in client.get("/status").json()["decisions"]}
    assert (told["sam:vit_b"]["part"], told["sam:vit_b"]["project"]) == ("model", "")
    told |= {one["part"]: one for one in told.values() if one["model"] != "sam:vit_b"}
    assert (told["proposer"]["project"], told["proposer"]["passed"]) == ("3.1795", False)
    assert (told["model"]["project"], told["model"]["metrics"]) == ("4.1795", {"box.iou": [0.735, 0.787]})
    castings = text(page(client, "/status?project=3.1795"))
    assert "proposals.recall 0.610 → 0.630" in castings
    assert "refused" in castings
    assert "It is better." not in castings
    assert "It is better." in text(page(client, "/status?project=4.1795"))
    assert "3 · Castings" in page(client)


def test_a_model_without_features_has_no_memory(make_client):
    client = make_client()
    client.app.state.backend.model.get(60)
    accept(client.app.state.backend, "3.1795")
    assert client.get("/status").json()["projects"]["3.1795"]["memory"]["on"] is False
    assert "threshold has no features" in page(client, "/status?project=3.1795")


def period(start, iou, share):
    return {"start": start, "days": 7, "iou": iou, "unchanged_share": share}


def test_the_plot_is_drawn_to_scale_with_a_title_and_a_description():
    drawn = plot([period("2026-11-02", 0.5, 0.25), period("2026-11-09", None, None), period("2026-11-16", 1.0, 0.75)])
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", drawn)[0])
    lines = {line.get("class"): line.get("points") for line in svg.iter("polyline")}
    # 0 % is at 212, 100 % at 12; the time runs from 44 to 670.
    assert lines == {"iou": "44.0,112.0 670.0,12.0", "unchanged": "44.0,162.0 670.0,62.0"}
    assert svg.get("role") == "img"
    title, description = (svg.find(name) for name in ("title", "desc"))
    assert svg.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert "From 2026-11-16: 75% unchanged, IoU 1.00." in description.text
    assert len(list(svg.iter("circle"))) == 2


def test_a_single_period_is_a_point_and_none_is_nothing():
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", plot([period("2026-11-02", 0.5, 0.25)]))[0])
    assert [(one.get("cx"), one.get("cy")) for one in svg.iter("circle")] == [("357.0", "112.0")]
    assert plot([]) == ""


def test_a_project_whose_folder_cannot_be_read_is_named_and_costs_nothing_else(client, backend, monkeypatch):
    accept(backend, "3.1")
    accept(backend, "3.2")
    forbidden, real = backend.memories.of("3.1").store.folder, Path.stat

    def stat(path, **options):
        if path.parent == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    page(client)
    projects = client.get("/status").json()["projects"]
    assert "Permission denied" in projects["3.1"]["problem"]
    assert "accepted" in projects["3.2"]


def test_damaged_files_of_the_home_are_named_and_cost_nothing_else(client, backend):
    accept(backend, "3.1")
    append_line(backend.memories.of("3.1").store.folder / "agreement.jsonl", "[]")
    decisions = Versions(backend.settings.home / VERSIONS).folder / "gate-decisions.jsonl"
    decisions.parent.mkdir(parents=True, exist_ok=True)
    whole = '"time": "", "model": "nano", "version": "", "data": "", "passed": true, "reason": "Because."'
    decisions.write_text(f'{{{whole}, "metrics": {{"box.iou": [], "box.f": [NaN, 1]}}}}\n{{"time": 1')
    shown = page(client)
    assert "agreement.jsonl has a damaged line" in shown
    assert "gate-decisions.jsonl has 1 damaged lines" in shown
    assert "Because." in shown

    def refuse(constant):
        raise ValueError(constant)

    values = json.loads(client.get("/status").text, parse_constant=refuse)
    assert len(values["problems"]) == 2
    assert values["decisions"][0]["metrics"] == {"box.iou": [], "box.f": [None, 1.0]}
    memory = backend.settings.home / "memory"
    memory.rename(memory.with_name("gone"))
    memory.write_text("no folder")
    assert "memory, which holds what projects have learnt, cannot be read: Not a directory." in page(client)


def test_what_could_not_be_read_once_is_read_the_next_time(client, backend, monkeypatch):
    accept(backend, "3.1")
    real = Path.open

    def refuse(path, *arguments, **options):
        if path.name == "agreement.jsonl":
            raise OSError(24, "Too many open files")
        return real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        accept(backend, "3.1", number=2)
        assert "Too many open files" in client.get("/status").json()["problems"][0]
    values = client.get("/status").json()
    assert (values["problems"], values["agreement"]["all"]["annotations"]) == ([], 2)
    assert values["projects"]["3.1"]["agreement"]["all"]["annotations"] == 2


@pytest.mark.parametrize("value", [None, "x", [1], {}, float("nan")])
def test_a_damaged_calibration_costs_itself(client, backend, value):
    accept(backend, "3.1")
    version, folder = backend.model.get(60).version, backend.memories.of("3.1").store.folder
    fields = dict.fromkeys(("key", "weights", "seen", "click_weight"), value)
    (folder / f"calibration-{name_on_disk(version)}.json").write_text(json.dumps(fields))
    assert client.get("/status").json()["projects"]["3.1"]["thresholds"]["fitted_to_outlines"] == 0


def test_the_links_hold_behind_a_proxy_that_takes_a_path_off(client, backend):
    accept(backend, "3.1")
    here = "https://example.com/sam-inspect/status"
    pages = page(client), page(client, "/status?project=3.1")
    links = {urljoin(here, link) for shown in pages for link in re.findall(r'href="([^"]*)"', shown)}
    assert links == {here, f"{here}?project=", f"{here}?project=3.1"}
