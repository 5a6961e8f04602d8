"""The dashboard and the alerts ask for metrics and labels that the service really gives."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from annotation_events import CONFIG, PROJECT_BODY, TAUGHT, event, region
from colour_segmenter import ColourSegmenter
from label_studio_requests import PROJECT, batch, click, interactive, task
from loopback import serving
from sam_backend.finetune.gate_decisions import keep_decision
from sam_backend.finetune.verdict import Verdict
from sam_backend.finetune.versions import VERSIONS, Versions
from services import make_client, make_settings, segmenter  # noqa: F401 - fixtures
from tokens import LEGACY

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
OF_PROMETHEUS = {"up": {"job": {"sam-inspect"}, "instance": {"sam-inspect.internal:9090"}}}
_LABEL = re.compile(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}")


def dashboard():
    return json.loads((MONITORING / "grafana" / "dashboards" / "sam-inspect.json").read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries():
    """Yield what asks, the query, and the labels that its texts name."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5m")
            yield panel["title"], expression, set(_LABEL.findall(target["legendFormat"]))
    for rule in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"], set(_LABEL.findall(" ".join(rule["annotations"].values())))


def parts(node):
    """Yield a node of a query and all nodes below it."""
    yield node
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param")]
    for child in [*children, *getattr(node, "args", [])]:
        if child is not None and not isinstance(child, str | int | float):
            yield from parts(child)


def fits(matcher, value):
    wanted, how = matcher.value, matcher.op
    equal = re.fullmatch(wanted, value) is not None if "Re" in str(how) else value == wanted
    return equal != ("Not" in str(how))


def selectors(node):
    return [one for one in parts(node) if isinstance(one, promql_parser.VectorSelector)]


@pytest.fixture
def given(make_client):  # noqa: F811 - a fixture
    """Metric name -> label -> values, after a click, a batch, an image that fails, webhooks and a gate's decision."""
    with serving() as studio:
        client = make_client(ColourSegmenter())
        studio.routes["/api/projects/1/"] = json.dumps(PROJECT_BODY).encode()
        predicted = [region(label, mask) for label, mask in TAUGHT[1]]
        studio.routes["/api/predictions/"] = json.dumps([{"id": 17, "result": predicted}]).encode()
        setup = {"project": PROJECT, "schema": CONFIG, "hostname": studio.url, "access_token": LEGACY}
        client.post("/setup", json=setup)
        assert client.post("/predict", json=interactive(click(25, 15))).status_code == 200
        assert client.post("/predict", json=batch(task())).status_code == 200
        gone = interactive(click(25, 15), image=f"{studio.url}/gone.png")
        assert client.post("/predict", json=gone).status_code == 502
        accepted = event("ANNOTATION_CREATED", parent_prediction=17, lead_time=3.5)
        assert client.post("/webhook", json=accepted).status_code == 200
        backend = client.app.state.backend
        assert backend.learner.wait(60)
        verdict = Verdict(False, "It is no better.", {"box.iou": [0.7, 0.69]})
        keep_decision(Versions(backend.settings.home / VERSIONS), "nano", "project 1", None, verdict)
        client.app.state.state_metrics.update()
        text = client.get("/metrics").text
    labels = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known = labels.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                known.setdefault(label, set()).add(value)
    return labels | OF_PROMETHEUS


def test_every_query_names_metrics_and_labels_that_there_are(given):
    for title, expression, shown in queries():
        query = promql_parser.parse(expression)
        found = selectors(query)
        assert found, title
        for one in found:
            assert one.name in given, f"{title}: there is no metric {one.name}"
            for matcher in one.matchers.matchers:
                values = given[one.name].get(matcher.name, set())
                assert any(fits(matcher, value) for value in values), f"{title}: {matcher.name} of {one.name}"
        for one in parts(query):
            if isinstance(one, promql_parser.AggregateExpr) and one.modifier:
                inside = set().union(*(given[each.name] for each in selectors(one)))
                assert set(one.modifier.labels) <= inside, f"{title}: {one.modifier.labels}"
        kept = [one.modifier for one in parts(query) if isinstance(one, promql_parser.AggregateExpr)]
        of_metrics = set().union(*(given[one.name] for one in found))
        known = set().union(*(one.labels if one else () for one in kept)) if kept else of_metrics
        assert shown <= known, f"{title}: {shown} of {known}"


def test_what_two_servers_read_from_one_home_is_not_counted_twice():
    of_home = {"sam_inspect_gate_decisions", "sam_inspect_accepted_masks", "sam_inspect_proposals_unchanged_ratio"}
    asked = [expression for _, expression, _ in queries() if any(name in expression for name in of_home)]
    assert len(asked) == 3
    assert all(expression.startswith("max by (") for expression in asked)


def test_every_metric_of_ours_is_named_in_the_documentation(given):
    told = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    own = [name for name in given if name.startswith("sam_inspect_") and not name.endswith("_created")]
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in own}
    assert {name for name in names if f"`{name}`" not in told} == set()


def test_panels_have_places_of_their_own_and_one_data_source():
    taken = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {"${datasource}"}
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_the_rules_sound():
    done = subprocess.run(["promtool", "check", "rules", MONITORING / "alerts.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
