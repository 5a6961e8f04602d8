"""The values of `/status` as a page that loads itself again every few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

_SECONDS = 5
_MEBIBYTE = 2**20

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --quiet: color-mix(in srgb, currentColor 65%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h1 small { color: var(--quiet); font-weight: normal; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; min-width: 0; }
section.wide { grid-column: 1 / -1; }
h2 { font-size: 1rem; margin: 0 0 .4rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
ul { margin: 0; padding: 0; list-style: none; }
li { border-top: 1px solid var(--line); padding: .25rem 0; overflow-wrap: anywhere; }
li:first-child { border-top: 0; }
.none { color: var(--quiet); }
meter { width: 100%; height: .6rem; }
"""


def status_page(values: dict[str, Any]) -> str:
    """Return the page, HTML, for the values that `status_values` returns."""
    sections = (
        _section("Clicks", _clicks(values["clicks"])),
        _section("Queue of the device", _queue(values["queue"])),
        _section("Embeddings", _cache(values["cache"], values["clicks"]["hit_rate"])),
        _section("Model", _model(values)),
        _section("Training", _training(values["training"])),
        _section("Problems", _list([*values["problems"], *_gaps(values["memory"])])),
        _section("Last errors", _list(_errors(values["errors"])), wide=True),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_SECONDS}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>SAM Inspect</title>'
        f"<style>{_STYLE}</style></head><body><h1>SAM Inspect <small>{escape(values['model_version'])}</small></h1>"
        f"<main>{''.join(sections)}</main></body></html>"
    )


def _section(title: str, content: str, *, wide: bool = False) -> str:
    return f"<section{' class=wide' if wide else ''}><h2>{title}</h2>{content}</section>"


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in pairs)}</dl>"


def _list(lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if lines else '<p class="none">None.</p>'


def _clicks(clicks: dict[str, Any]) -> str:
    if not clicks["count"]:
        return '<p class="none">None yet.</p>'
    return _rows(
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
    return _rows(pairs) + (_list([*now, *waiting]) if now or waiting else '<p class="none">The device is idle.</p>')


def _cache(cache: dict[str, Any], hit_rate: float | None) -> str:
    meters = (_meter(place, cache[f"{place}_bytes"], cache[f"{place}_limit"]) for place in ("memory", "disk"))
    hits = "no clicks yet" if hit_rate is None else f"{hit_rate:.0%} of the clicks"
    return "".join(meters) + _rows([("hit rate", hits)])


def _meter(place: str, used: int, limit: int) -> str:
    text = f"{used / _MEBIBYTE:,.0f} of {limit / _MEBIBYTE:,.0f} MB"
    bar = f'<meter min="0" max="{max(limit, 1)}" value="{used}" aria-label="{place}"></meter>'
    return _rows([(place, text)]) + bar


def _model(values: dict[str, Any]) -> str:
    model = values["model"]
    state = "ready" if model["is_ready"] else "not loaded"
    return _rows([("name", model["name"]), ("state", state), ("device", model["device"])])


def _training(training: dict[str, Any] | None) -> str:
    if training is None:
        return '<p class="none">None yet.</p>'
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
    return _rows((name, value) for name, value in pairs if value)


def _gaps(memory: dict[str, Any]) -> list[str]:
    return [f"Project {project}: {gaps['left_out']} left out of its examples." for project, gaps in memory.items()]


def _errors(errors: list[dict[str, str]]) -> list[str]:
    return [f"{error['time'].replace('T', ' ').removesuffix('+00:00')} UTC: {error['text']}" for error in errors]
