"""The report as one HTML page and as Markdown, from the same words, tables, figures and cases."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import jinja2
from PIL import Image

from sam_evaluation.left_out import reasons
from sam_evaluation.report.charts import Chart
from sam_evaluation.report.findings import Findings
from sam_evaluation.report.gallery import Gallery, Pixels
from sam_evaluation.report.numbers import listed
from sam_evaluation.report.sheet import Sheet, note
from sam_evaluation.report.words import Words


@dataclass(frozen=True)
class Drawn:
    """A figure as a file.

    Attributes
    ----------
    dataset : str, the data set that it is about.
    chart : Chart.
    file : str, the name of the file in `figures/`.
    png : bytes, the content of the file.
    """

    dataset: str
    chart: Chart
    file: str
    png: bytes


@dataclass(frozen=True)
class Content:
    """The content of a report."""

    findings: Findings
    words: Words
    sheets: Sequence[Sheet]
    figures: Sequence[Drawn]
    galleries: Sequence[Gallery]


def template(name: str, package: str = "", folder: str = "") -> jinja2.Template:
    """Return a template that escapes names given by users for its format, HTML or Markdown.

    Parameters
    ----------
    name : str, the name of its file.
    package, folder : str, where the file is, if not in this folder. It may extend the templates of this folder.
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
    content : Content.
    name : str, "report.html.j2" or "report.md.j2".
    """
    findings = content.findings
    broken = findings.run.broken
    files = broken.drop_duplicates(["dataset", "sample", "reason"]).to_dict("records") if len(broken) else []
    return template(name).render(
        words=content.words,
        sheets=content.sheets,
        figures=content.figures,
        galleries=content.galleries,
        broken=files,
        left_out=reasons(findings.run.left_out, with_rule=True),
        findings=findings,
        about=findings.about,
        note=note(findings),
    )


def slug(text: str) -> str:
    """Return a name that is valid for files and anchors; different texts may give the same name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()).strip("-")


def jpeg(pixels: Pixels) -> str:
    """Return a picture uint8 RGB (H, W, 3) as a data URI of a JPEG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def png_uri(content: bytes) -> str:
    """Return a PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _plain(value: object) -> object:
    """Escape a text so that it is not read as Markdown or HTML."""
    if not isinstance(value, str):
        return value
    for letters, written in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("](", "]\\(")):
        value = value.replace(letters, written)
    return " ".join(value.split())
