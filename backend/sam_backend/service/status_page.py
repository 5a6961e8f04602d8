"""The values of `/status` as a page that loads itself again every few seconds."""

from __future__ import annotations

from typing import Any

from sam_backend.finetune.versions import SHIPPED
from sam_backend.service.agreement_plot import plot, summary
from sam_backend.service.page_parts import NOTHING, facts, listing, none, page, section
from sam_backend.service.project_page import decisions_table, link, projects_table, when

_SECONDS = 5
_DECISIONS = 5
_MEBIBYTE = 2**20

_WEIGHTS = {SHIPPED: "as they ship", "": "given at the start"}


def status_page(values: dict[str, Any]) -> str:
    """Return the page, HTML, for the values that `status_values` returns."""
    together = values["agreement"]
    agreement = summary(together) + plot(together["over_time"]) + f"<p>{link('', 'As a table')}</p>"
    sections = (
        section("Clicks", _clicks(values["clicks"])),
        section("Queue of the device", _queue(values["queue"])),
        section("Embeddings", _cache(values["cache"], values["clicks"]["hit_rate"])),
        section("Model", _model(values)),
        section("Training", _training(values["training"])),
        section("Problems", listing([*values["problems"], *_gaps(values["memory"])])),
        section("Projects", projects_table(values["projects"]), wide=True),
        section("Proposals and annotators", agreement, wide=True),
        section("Latest decisions of the gates", _decisions(values), wide=True),
        section("Last errors", listing(_errors(values["errors"])), wide=True),
    )
    return page("SAM Inspect", values["model_version"], sections, seconds=_SECONDS)


def _decisions(values: dict[str, Any]) -> str:
    return decisions_table(values["decisions"][:_DECISIONS], values["projects"])


def _clicks(clicks: dict[str, Any]) -> str:
    if not clicks["count"]:
        return none("None yet.")
    return facts(
        [
            ("half within", f"{clicks['p50_ms']:,.0f} ms"),
            ("95 of 100 within", f"{clicks['p95_ms']:,.0f} ms"),
            ("image was ready", f"{clicks['hit_rate']:.0%}"),
            ("of the last", f"{clicks['count']:,} clicks"),
        ]
    )


def _queue(queue: dict[str, Any]) -> str:
    now = [f"{one['doing']}, {one['seconds']:.1f} s" for one in queue["running"]]
    waiting = [f"{doing} waits" for doing in queue["waiting"]]
    pairs = [
        ("requests under way", ", ".join(f"{name} {number}" for name, number in queue["requests"].items())),
        ("images to prefetch", f"{queue['prefetching']:,}"),
        ("expected wait", f"{queue['expected_wait_seconds']} s"),
    ]
    return facts(pairs) + (listing([*now, *waiting]) if now or waiting else none("The device is idle."))


def _cache(cache: dict[str, Any], hit_rate: float | None) -> str:
    meters = (_meter(place, cache[f"{place}_bytes"], cache[f"{place}_limit"]) for place in ("memory", "disk"))
    hits = "no clicks yet" if hit_rate is None else f"{hit_rate:.0%} of the clicks"
    return "".join(meters) + facts([("hit rate", hits)])


def _meter(place: str, used: int, limit: int) -> str:
    text = f"{used / _MEBIBYTE:,.0f} of {limit / _MEBIBYTE:,.0f} MB"
    bar = f'<meter min="0" max="{max(limit, 1)}" value="{used}" aria-label="{place}"></meter>'
    return facts([(place, text)]) + bar


def _model(values: dict[str, Any]) -> str:
    model = values["model"]
    state = "ready" if model["is_ready"] else "not loaded"
    return facts(
        [
            ("name", model["name"]),
            ("version", values["model_version"]),
            ("weights", _WEIGHTS.get(model["weights"], model["weights"])),
            ("state", state),
            ("serves since", f"{when(model['since'])} UTC" if model["since"] else NOTHING),
            ("device", model["device"]),
        ]
    )


def _training(training: dict[str, Any] | None) -> str:
    if training is None:
        return none("None yet.")
    steps = f"{training['step']:,} of {training['steps']:,}" if training["steps"] else ""
    left = f"{training['seconds_left']:,.0f} s" if training["seconds_left"] is not None else ""
    pairs = [
        ("model", training["model"]),
        ("state", training["state"]),
        ("doing", training["doing"]),
        ("steps", steps),
        ("time left", left),
        ("result", training["result"]),
    ]
    return facts((name, value) for name, value in pairs if value)


def _gaps(memory: dict[str, Any]) -> list[str]:
    return [f"Project {project}: {gaps['left_out']} left out of its examples." for project, gaps in memory.items()]


def _errors(errors: list[dict[str, str]]) -> list[str]:
    return [f"{error['time'].replace('T', ' ').removesuffix('+00:00')} UTC: {error['text']}" for error in errors]
