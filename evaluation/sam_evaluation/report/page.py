"""The report as one HTML page and as Markdown, from the same words, sheets, figures and cases."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import jinja2
from PIL import Image

from sam_evaluation.report.charts import Chart
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.gallery import Gallery, Pixels
from sam_evaluation.report.numbers import listed
from sam_evaluation.report.sheets import Sheet, note
from sam_evaluation.report.words import Words


@dataclass(frozen=True)
class Drawn:
    """A figure as a file.

    Attributes
    ----------
    dataset : that it is about.
    chart : with its words.
    file : its name in `figures/`.
    png : its content.
    """

    dataset: str
    chart: Chart
    file: str
    png: bytes


@dataclass(frozen=True)
class Content:
    """All that a report shows."""

    found: Findings
    words: Words
    sheets: Sequence[Sheet]
    figures: Sequence[Drawn]
    galleries: Sequence[Gallery]


def template(name: str, package: str = "", folder: str = "") -> jinja2.Template:
    """Return a template; what users named is escaped as its kind of file needs, by the suffix.

    Parameters
    ----------
    name : of its file.
    package, folder : where it is, if not in this folder; it may extend those that are here.
    """
    here = jinja2.PackageLoader("sam_evaluation", "report")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, folder), here]) if package else here,
        autoescape=jinja2.select_autoescape(["html.j2"]),
        finalize=None if name.endswith(".html.j2") else _plain,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(jpeg=jpeg, png=png_uri, listed=listed)
    return environment.get_template(name)


def render(content: Content, name: str) -> str:
    """Fill a template.

    Parameters
    ----------
    content : of the report.
    name : "report.html.j2" or "report.md.j2".
    """
    found = content.found
    broken = found.run.broken
    files = broken.drop_duplicates(["dataset", "sample", "reason"]).to_dict("records") if len(broken) else []
    return template(name).render(
        words=content.words,
        sheets=content.sheets,
        figures=content.figures,
        galleries=content.galleries,
        broken=files,
        found=found,
        about=found.about,
        note=note(found),
    )


def slug(text: str) -> str:
    """Return a name as files and anchors can have it; different names may become the same."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")


def jpeg(pixels: Pixels) -> str:
    """Return a picture RGB (H, W, 3) as a data URI."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def png_uri(content: bytes) -> str:
    """Return a PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _plain(value: object) -> object:
    """Keep a name from being read as Markdown or HTML."""
    if not isinstance(value, str):
        return value
    for letters, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("](", "]\\(")):
        value = value.replace(letters, written)
    return " ".join(value.split())
