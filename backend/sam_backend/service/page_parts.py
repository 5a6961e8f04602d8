"""The parts of the pages that operators read: HTML without scripts, in which every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from sam_backend.safe_text import escape_unprintable

POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""Header of an answer with a page, which needs nothing but its own style."""

NOTHING = "-"
"""What stands where there is no value."""

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --quiet: color-mix(in srgb, currentColor 65%, transparent);
  --iou: light-dark(#0060a0, #6cb8f0); --unchanged: light-dark(#a84300, #f0a35e); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h1 small { color: var(--quiet); font-weight: normal; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; min-width: 0; }
section.wide { grid-column: 1 / -1; }
h2 { font-size: 1rem; margin: 0 0 .4rem; }
p { margin: .2rem 0 .6rem; }
a { color: inherit; }
dl { display: grid; grid-template-columns: minmax(0, max-content) minmax(45%, 1fr); gap: .15rem 1rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
ul { margin: 0; padding: 0; list-style: none; }
li { border-top: 1px solid var(--line); padding: .25rem 0; overflow-wrap: anywhere; }
li:first-child { border-top: 0; }
.none { color: var(--quiet); }
meter { width: 100%; height: .6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
th { color: var(--quiet); font-weight: normal; border-top: 0; }
td { min-width: 4rem; overflow-wrap: break-word; }
td:first-child { min-width: 7rem; }
td a { display: block; min-width: 10rem; overflow-wrap: anywhere; }
.line { white-space: nowrap; }
.prose { display: block; min-width: 16rem; }
figure { margin: 0; }
svg { display: block; width: 100%; min-width: 34rem; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; }
svg .grid { stroke: var(--line); }
svg .iou { stroke: var(--iou); fill: none; stroke-width: 2; }
svg .unchanged { stroke: var(--unchanged); fill: none; stroke-width: 2; stroke-dasharray: 6 4; }
svg .iou-mark { fill: var(--iou); } svg .unchanged-mark { fill: var(--unchanged); }
"""


def page(title: str, quiet: str, sections: Iterable[str], *, seconds: int, back: str = "") -> str:
    """Return a page that loads itself again after some seconds; `quiet` stands behind its title, `back` is a link."""
    up = f'<p><a href="{back}">All of the service</a></p>' if back else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{seconds}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{up}<h1>{text(title)} <small>{text(quiet)}</small></h1>"
        f"<main>{''.join(sections)}</main></body></html>"
    )


def text(value: object) -> str:
    """Return a text from outside as HTML; what cannot be seen in it is escaped."""
    return escape(escape_unprintable(str(value)))


def section(title: str, content: str, *, wide: bool = False) -> str:
    """Return a section; its content is HTML."""
    return f"<section{' class=wide' if wide else ''}><h2>{text(title)}</h2>{content}</section>"


def none(sentence: str = "None.") -> str:
    """Return what stands where there is nothing."""
    return f'<p class="none">{text(sentence)}</p>'


def facts(values: Iterable[tuple[str, str]]) -> str:
    """Return names with their values."""
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in values)}</dl>"


def listing(lines: Sequence[str]) -> str:
    """Return lines as a list."""
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>" if lines else none()


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML."""
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def share(value: float | None) -> str:
    """Return a share in percent; a dash where there is none."""
    return NOTHING if value is None else f"{value:.0%}"
