"""What one project has learnt, or all together, as a page: its plot with a table, and every decision of its gates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from sam_backend.service.agreement_plot import periods_table, plot, summary
from sam_backend.service.answers import RefusedError
from sam_backend.service.page_parts import NOTHING, facts, none, page, section, share, table, text

_STATUS = "status"
"""The page of all, as a link from itself and from the page of a project: a proxy may have put a path in front."""
_SECONDS = 60


def project_page(values: dict[str, Any], project: str) -> str:
    """Return the page of a project, HTML; "" for all projects together.

    Parameters
    ----------
    values : of `status_values`.
    project : str, the project's uid.

    Raises
    ------
    RefusedError
        If there is no such project (HTTP 404).
    """
    if not project:
        sections = _agreement(values["agreement"], values["decisions"], values["projects"])
        return page("All projects", values["model_version"], sections, seconds=_SECONDS, back=_STATUS)
    about = values["projects"].get(project)
    if about is None:
        raise RefusedError(404, "There is no project of this uid in the memory.")
    name = title_of(project, about)
    if "accepted" not in about:
        return page(
            name, project, [section("Memory", none(about["problem"]), wide=True)], seconds=_SECONDS, back=_STATUS
        )
    decisions = [one for one in values["decisions"] if one["project"] == project]
    learnt = (
        section("Learnt", _learnt(about)),
        section("Masks by label", _masks(about)),
        *_agreement(about["agreement"], decisions, values["projects"]),
    )
    return page(name, project, learnt, seconds=_SECONDS, back=_STATUS)


def title_of(project: str, about: dict[str, Any]) -> str:
    """Return what people call a project."""
    number = project.partition(".")[0]
    return f"{number} · {about['title']}" if about.get("title") else f"Project {number}"


def link(project: str, content: str) -> str:
    """Return a link to the page of a project, HTML."""
    return f'<a href="{_STATUS}?project={quote(project, safe="", errors="replace")}">{text(content)}</a>'


def projects_table(projects: dict[str, dict[str, Any]]) -> str:
    """Return all projects, one a row, HTML."""
    if not projects:
        return none("No project has sent an annotation yet.")
    titles = ("project", "accepted masks", "last accepted", "proposes", "unchanged", "IoU")
    return table(titles, (_row(project, about) for project, about in projects.items()))


def decisions_table(decisions: Sequence[dict[str, Any]], projects: dict[str, dict[str, Any]]) -> str:
    """Return the decisions of gates, HTML."""
    if not decisions:
        return none("No training has ended yet.")

    def source(one: dict[str, Any]) -> str:
        project = one["project"]
        return link(project, title_of(project, projects[project])) if project in projects else text(one["data"])

    rows = (
        (
            text(when(one["time"])),
            text(one["model"] if one["part"] == "model" else one["part"]),
            source(one),
            text(_decided(one)),
            "<br>".join(f'<span class="line">{change}</span>' for change in _changes(one["metrics"])),
            f'<span class="prose">{text(one["reason"])}</span>',
        )
        for one in decisions
    )
    return table(("ended", "trained", "on", "decision", "held-out images", "why"), rows)


def when(time: str) -> str:
    """Return an ISO 8601 time for people, in UTC, to the minute."""
    return time[:16].replace("T", " ")


def _agreement(
    agreement: dict[str, Any], decisions: Sequence[dict[str, Any]], projects: dict[str, dict[str, Any]]
) -> Iterable[str]:
    periods = agreement["over_time"]
    content = summary(agreement) + plot(periods) + periods_table(periods)
    yield section("Proposals and annotators", content, wide=True)
    yield section("Decisions of the gates", decisions_table(decisions, projects), wide=True)


def _row(project: str, about: dict[str, Any]) -> Sequence[str]:
    if "accepted" not in about:
        return link(project, title_of(project, about)), text(about["problem"]), "", "", "", ""
    whole = about["agreement"]["all"]
    iou = NOTHING if whole["iou"] is None else f"{whole['iou']:.2f}"
    return (
        link(project, title_of(project, about)),
        f"{sum(about['masks'].values()):,}",
        text(when(about["accepted"]["last"]) or NOTHING),
        text(_proposes(about)),
        share(whole["unchanged_share"]),
        iou,
    )


def _learnt(about: dict[str, Any]) -> str:
    accepted, thresholds = about["accepted"], about["thresholds"]
    memory = "on" if about["memory"]["on"] else "off"
    return facts(
        [
            ("accepted annotations", f"{accepted['annotations']:,}"),
            ("on images", f"{accepted['images']:,}"),
            ("last accepted", when(accepted["last"]) or NOTHING),
            ("memory", f"{memory}. {about['memory']['why']}".strip(". ")),
            ("proposes", _proposes(about)),
            ("corrects", about["refiner"] or "the refiner that ships"),
            ("proposals are shown from a score of", f"{thresholds['proposal_score']:.2f}"),
            ("scores are fitted to", f"{thresholds['fitted_to_outlines']:,} outlines"),
            ("weight of examples in a lone click", f"{thresholds['click_weight']:g}"),
        ]
    )


def _masks(about: dict[str, Any]) -> str:
    if not about["masks"]:
        return none("None yet; sam-inspect memory rebuild counts those of earlier versions.")
    rows = (
        (text(label), f"{number:,}", f"{about['examples'].get(label, 0):,}") for label, number in about["masks"].items()
    )
    return table(("label", "accepted masks", "images in the memory"), rows)


def _proposes(about: dict[str, Any]) -> str:
    if about["proposer"]:
        return str(about["proposer"])
    if not about["memory"]["on"]:
        return "nothing of its own"
    return "the memory" if about["examples"] else "nothing of its own yet"


def _decided(decision: dict[str, Any]) -> str:
    decided = "passed" if decision["passed"] else "refused"
    version = f", {decision['version']}" if decision["version"] else ""
    return f"{decided}{version}{', serves now' if decision['serves'] else ''}"


def _changes(metrics: dict[str, list[float]]) -> Iterable[str]:
    for name, values in metrics.items():
        if not values:
            continue
        before, after = (f"{value:.3f}" for value in (values[0], values[-1]))
        yield text(f"{name} {before} → {after}")
