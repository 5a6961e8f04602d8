"""The command `doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_backend.errors import SamInspectError
from sam_evaluation.report.numbers import count
from sam_inspect.options import LabelStudioOption, ModelOption, TokenOption, settings_of, with_label_studio
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.doctor.findings import Finding
    from sam_backend.settings import Settings

_MARKS = {
    "ok": ("✓", typer.colors.GREEN),
    "warning": ("!", typer.colors.YELLOW),
    "failed": ("✗", typer.colors.RED),
    "skipped": ("-", None),
}


def doctor(
    context: typer.Context,
    label_studio: LabelStudioOption = None,
    token: TokenOption = None,
    project: Annotated[
        str | None, typer.Option(help="Id of a project: its config, images, model, webhook and a click are tried too.")
    ] = None,
    model: ModelOption = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The weights of the model, as in serve.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find out why something does not work, and what to change where.

    It checks this machine and the model; with the address of a Label Studio
    also its token and clock; with a project the whole way to a click: labeling
    config, an image, the connected model, the webhook, and a click that Label
    Studio itself sends. Nothing is written into Label Studio.

    The exit code is 0 if nothing failed, else 1.

    Example: sam-inspect doctor
    Example: sam-inspect doctor --label-studio http://localhost:8080 --project 3
    Example: sam-inspect doctor --project 3 --json
    """
    findings: list[Finding] = []
    read_settings = lambda: with_label_studio(settings_of(context), label_studio, token)  # noqa: E731
    for finding in _all_findings(read_settings, project or "", model, checkpoint):
        findings.append(finding)
        if not as_json:
            _print(finding)
    failed = sum(one.outcome == "failed" for one in findings)
    warnings = sum(one.outcome == "warning" for one in findings)
    if as_json:
        print_lines(json.dumps({"failed": failed, "warnings": warnings, "findings": [asdict(one) for one in findings]}))
    else:
        print_lines("", f"{count(len(findings), 'finding')}: {failed} failed, {count(warnings, 'warning')}.")
    if failed:
        sys.exit(1)


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.outcome]
    typer.secho(f"{mark} ", nl=False, fg=colour, bold=True)
    print_lines(f"{finding.check}: {finding.found}")
    if finding.cure:
        print_lines(f"    → {finding.cure}")


def _all_findings(
    read_settings: Callable[[], Settings], project: str, model: str | None, checkpoint: Path | None
) -> Iterator[Finding]:
    """Yield the findings; one of them where the settings do not let a check begin."""
    from sam_backend.doctor.findings import Finding, Outcome
    from sam_backend.safe_text import safe_line

    try:
        settings = read_settings()
        yield from _findings(settings, project, model or settings.model, checkpoint)
    except SamInspectError as error:
        yield Finding("settings", Outcome.FAILED, safe_line(str(error)))


def _findings(settings: Settings, project: str, model: str, checkpoint: Path | None) -> Iterator[Finding]:
    from sam_backend.core.model_loading import load_model
    from sam_backend.doctor.findings import examine
    from sam_backend.doctor.label_studio_checks import LabelStudioWay
    from sam_backend.doctor.machine import machine_checks
    from sam_backend.doctor.model_checks import model_checks
    from sam_backend.labelstudio.images import TaskImages
    from sam_backend.labelstudio.projects import find_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_backend.segmenters.model_registry import model_info

    info, servers, images = model_info(model), ServerRegistry.of_settings(settings), TaskImages.of_settings(settings)
    for check in machine_checks(settings, info):
        yield from examine([check])
    yield from examine(model_checks(settings, info, lambda: load_model(settings, model, checkpoint), checkpoint))
    if not project and not settings.label_studio_url:
        return
    if project:
        server = find_project(servers, project).server
    else:
        key = settings.label_studio_api_key
        found = servers.find("")
        assert found is not None
        server = replace(found, token=key.get_secret_value() if key else found.token)
    yield from examine(LabelStudioWay(servers, server, images, project).checks())
