"""Checks of Label Studio and of a project: the whole way to a click, each step after the one before."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from sam_backend.doctor.findings import BrokenOffError, Check, Outcome
from sam_backend.doctor.machine import Found
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.addresses import Origin, literal_origin
from sam_backend.labelstudio.client import AccessTokens, LabelStudioClient, token_kind
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.config_tags import Control
from sam_backend.labelstudio.connections import FetchDeadline, TransportError
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.projects import ListedTask, Project, open_project
from sam_backend.labelstudio.servers import Server, ServerRegistry
from sam_backend.labelstudio.transport import HttpRequest

_TIMEOUT, _CLICK_TIMEOUT, _MAX_BYTES = 10.0, 100.0, 2**26
_DRIFT = 60.0
"""Seconds that two clocks may differ; short-lived tokens end after some minutes."""
_TESTED = ("1.20", "1.21", "1.22", "1.23")
"""Releases of Label Studio that this was tried with."""

_PROMPTS = ("keypoint", "rectangle")
_PRIVATE = "reserved network address"
_ALLOW_PRIVATE = "Start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false"
_CONNECT = (
    "In the project: Settings, Model, Connect Model, URL http://<this machine>:9090, interactive preannotations on"
)


@dataclass
class LabelStudioWay:
    """The way from an address to an answered click; what a check finds, the next ones use.

    Attributes
    ----------
    servers : ServerRegistry, with the settings.
    server : Server, with its token; a project that connected before has its own.
    images : TaskImages, fetches as the service does.
    project : str, its id or uid; "" for no project.
    """

    servers: ServerRegistry
    server: Server
    images: TaskImages
    project: str = ""
    _opened: Project | None = None
    _config: LabelingConfig | None = None
    _task: ListedTask | None = None
    _size: tuple[int, int] = (100, 100)
    _model: Mapping[str, Any] = field(default_factory=dict)

    def checks(self) -> list[Check]:
        """Return the checks, each of which needs the one before."""
        about_server = [Check("Label Studio", self._reach), Check("token", self._token)]
        if not self.project:
            return about_server
        return [
            *about_server,
            Check("project", self._open),
            Check("labeling config", self._read_config),
            Check("image of a task", self._fetch_image),
            Check("connected model", self._find_model),
            Check("webhook", self._webhook),
            Check("click in Label Studio", self._click),
        ]

    @property
    def _client(self) -> LabelStudioClient:
        return LabelStudioClient(self.server, _TIMEOUT, self.servers.transport)

    def _reach(self) -> Found:
        address = f"{self.server.hostname}/api/version/"
        try:
            request = HttpRequest(address, Origin.of(self.server.hostname))
            answer = self.servers.transport.send(request, FetchDeadline(_TIMEOUT), _MAX_BYTES)
        except TransportError as error:
            raise BrokenOffError(
                f"Label Studio at {self.server.shown} cannot be reached: its answer {error}.",
                "Check the address, whether it is http or https, that Label Studio runs, and the firewall between; for "
                "a certificate of your own set SAM_INSPECT_CA_BUNDLE.",
            ) from None
        try:
            release = str(json.loads(answer.body)["release"])
        except (ValueError, KeyError, TypeError):
            raise BrokenOffError(
                f"{self.server.shown} answers, with status {answer.status}, but not as Label Studio does.",
                "Give the address of Label Studio, with its path if a proxy serves it under one.",
            ) from None
        if release.startswith(_TESTED):
            yield Outcome.OK, f"Label Studio {release} answers at {self.server.shown}.", ""
        else:
            tested = f"{_TESTED[0]} to {_TESTED[-1]}"
            yield (
                Outcome.WARNING,
                f"Label Studio {release} answers; tried are {tested}.",
                "Use one of these if it fails.",
            )
        yield from _clock(answer.headers.get("date", ""))

    def _token(self) -> Found:
        kind = token_kind(self.server.token)
        if not self.server.token:
            raise BrokenOffError("No token is known.", "Give --token, or set SAM_INSPECT_LABEL_STUDIO_API_KEY.")
        if kind == "short-lived":
            raise BrokenOffError(
                "This is a short-lived access token, which ends after some minutes.",
                "Give a personal access token, of Account & Settings, Personal Access Token.",
            )
        try:
            AccessTokens(_TIMEOUT, self.servers.transport).of(self.server)
            name = self._client.request("GET", "/api/current-user/whoami", _user, about="its user")
        except SamInspectError as error:
            legacy = (
                "Switch legacy tokens on (Organization, API Tokens Settings), or set "
                "SAM_INSPECT_LABEL_STUDIO_API_KEY to a personal access token."
            )
            personal = "Make a new personal access token, and check that both clocks agree."
            raise BrokenOffError(str(error), legacy if kind == "legacy" else personal) from None
        yield Outcome.OK, f"The {kind} token is that of {name}.", ""

    def _open(self) -> Found:
        try:
            self._opened = open_project(self.servers, self.project)
        except SamInspectError as error:
            raise BrokenOffError(
                str(error), "Check the number of the project, and that the user of the token is a member."
            ) from None
        self._task = next(iter(self._opened.list_tasks(page=1)), None)
        if self._task is None:
            yield Outcome.WARNING, f"Project {self._opened.id} has no task.", "Import images."
        else:
            yield Outcome.OK, f"Project {self._opened.id} opens, task {self._task.id} is its first.", ""

    def _read_config(self) -> Found:
        assert self._opened is not None
        try:
            self._config = config = LabelingConfig.parse(self._opened.label_config)
        except BadRequestError as error:
            raise BrokenOffError(
                str(error), "sam-inspect config --labels A,B prints one that works; Settings, Labeling Interface, Code."
            ) from None
        lacking = list(lacks(config))
        for found, cure in lacking:
            yield Outcome.FAILED, found, cure
        if not lacking:
            shapes = ", ".join(dict.fromkeys(one.control.tag for target in config.targets for one in target.outputs))
            yield Outcome.OK, f"It takes masks as {shapes}, with {len(config.labels)} labels and smart tools.", ""

    def _fetch_image(self) -> Found:
        assert self._config is not None
        if self._task is None:
            yield Outcome.SKIPPED, "The project has no task.", ""
            return
        start = time.monotonic()
        try:
            image = next(self._config.images(self._task.data), None)
            if image is None:
                raise BadRequestError(f"Task {self._task.id} has no image: its list of images is empty.")
            url, configured = image.address(self._task.data), literal_origin(image.target.image.value)
            file = self.images.fetch(url, self.server, self._task.id, configured=configured)
            opened = self.images.open(file, url)
        except SamInspectError as error:
            raise BrokenOffError(
                str(error),
                "docs/label-studio.md, Images elsewhere: a private server needs SAM_INSPECT_ALLOW_HOST, Label Studio "
                "its own address in LABEL_STUDIO_HOST.",
            ) from None
        height, width = self._size = opened.size
        seconds = time.monotonic() - start
        yield Outcome.OK, f"{width} x {height} pixels, {len(file) / 1e6:.1f} MB, fetched in {seconds:.2f} s.", ""

    def _find_model(self) -> Found:
        assert self._opened is not None
        # Label Studio asks each backend for its health and sets it up before it answers.
        models: list[Mapping[str, Any]] = self._client.request(
            "GET", "/api/ml/", list, about="connected models", query={"project": self._opened.id}
        )
        if not models:
            raise BrokenOffError(
                f"No model is connected to project {self._opened.id}.",
                f"{_CONNECT}. If Label Studio refuses it ({_PRIVATE}, or 403): {_ALLOW_PRIVATE}.",
            )
        if len(models) > 1:
            yield Outcome.WARNING, f"{len(models)} models are connected; Label Studio asks the first.", "Remove others."
        self._model = model = models[0]
        if model["state"] != "CO":
            said = str(model.get("error_message") or model.get("readable_state") or model["state"])
            cure = (
                f"{_ALLOW_PRIVATE}."
                if _PRIVATE in said
                else f"Start sam-inspect serve, where Label Studio reaches {model['url']}, with the same password."
            )
            raise BrokenOffError(f"Label Studio does not reach {model['url']}: {said}.", cure)
        if not model.get("is_interactive"):
            raise BrokenOffError(
                f"{model['url']} is connected, but not for clicks.",
                "Settings, Model, the three dots, Edit: switch interactive preannotations on.",
            )
        yield Outcome.OK, f"Label Studio reaches {model['url']}, model version {model.get('model_version')}.", ""

    def _webhook(self) -> Found:
        assert self._opened is not None
        target = f"{str(self._model['url']).rstrip('/')}/webhook"
        hooks: Sequence[Mapping[str, Any]] = self._client.request(
            "GET", "/api/webhooks/", list, about="webhooks", query={"project": self._opened.id}
        )
        own = [hook for hook in hooks if str(hook.get("url", "")).rstrip("/") == target]
        cure = (
            f"{_ALLOW_PRIVATE}, and give the backend's machine a name with a dot, to which alone Label Studio makes "
            "webhooks, or its IP address; then connect the model again. sam-inspect memory rebuild learns the rest."
        )
        if not own:
            yield Outcome.WARNING, f"No webhook leads to {target}, so accepted masks are not learnt at once.", cure
        elif not any(hook.get("is_active") and hook.get("send_payload") for hook in own):
            yield (
                Outcome.WARNING,
                f"The webhook to {target} is off or sends no payload.",
                "Settings, Webhooks: switch it on.",
            )
        elif self._model.get("auth_method") == "BASIC_AUTH" and not any(
            "Authorization" in hook["headers"] for hook in own
        ):
            yield (
                Outcome.WARNING,
                f"The webhook to {target} gives no password, so accepted masks are not learnt at once.",
                f"sam-inspect connect --backend {self._model['url']} --project {self._opened.id}, with the password.",
            )
        else:
            yield Outcome.OK, f"Accepted masks are sent to {target}.", ""

    def _click(self) -> Found:
        assert self._config is not None
        if self._task is None or (drawn := _drawn(self._config, self._size)) is None:
            yield Outcome.SKIPPED, "It needs a task and a smart tool.", ""
            return
        start = time.monotonic()
        body = {"task": self._task.id, "context": {"result": [drawn]}}
        path = f"/api/ml/{self._model['id']}/interactive-annotating"
        answer: Mapping[str, Any] = self._client.request(
            "POST", path, dict, about="a click", body=body, timeout=_CLICK_TIMEOUT
        )
        seconds = time.monotonic() - start
        if errors := answer.get("errors"):
            raise BrokenOffError(
                f"Label Studio would show: {' '.join(map(str, errors))}", "The log of sam-inspect serve says more."
            )
        regions = (answer.get("data") or {}).get("result") or []
        what = f"with {len(regions)} regions" if regions else "with nothing"
        found = f"A click in the middle of task {self._task.id} was answered in {seconds:.2f} s {what}."
        if regions:
            yield Outcome.OK, found, ""
        else:
            yield Outcome.WARNING, found, "Click on an object; in the middle of this image there may be none."


def lacks(config: LabelingConfig) -> Sequence[tuple[str, str]]:
    """Return what keeps annotators from clicking with a labeling config, each with its cure."""
    found = []
    tools = [one for one in config.controls if one.smart and one.shape in _PROMPTS]
    if not tools:
        found.append(
            (
                "No tool is smart, so no click is sent.",
                'Add smart="true" to a KeyPointLabels or RectangleLabels; sam-inspect config prints an example.',
            )
        )
    for tool in tools:
        others = [label for label in tool.labels if not label.startswith("$") and not config.knows(label)]
        if others:
            found.append(
                (
                    f"The smart tool {tool.name} has the labels {', '.join(others)}, which no control for masks has.",
                    "Give both the same labels.",
                )
            )
    return found


def _drawn(config: LabelingConfig, size: tuple[int, int]) -> Mapping[str, Any] | None:
    """Return what an annotator draws in the middle of an image with a smart tool, as Label Studio sends it."""
    tool = next((one for shape in _PROMPTS for one in config.controls if one.smart and one.shape == shape), None)
    if tool is None:
        return None
    target = next((name for name in tool.to_names if any(one.image.name == name for one in config.targets)), None)
    if target is None:
        return None
    place = {"x": 50.0, "y": 50.0, "width": 0.3} if tool.shape == "keypoint" else _box()
    labels = _labels(tool, config)
    return {
        "id": "sam-inspect",
        "type": tool.tag,
        "from_name": tool.name,
        "to_name": target,
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "is_positive": True,
        "value": place | ({tool.tag: labels} if labels else {}),
    }


def _box() -> dict[str, float]:
    return {"x": 40.0, "y": 40.0, "width": 20.0, "height": 20.0, "rotation": 0.0}


def _labels(tool: Control, config: LabelingConfig) -> list[str]:
    known = [label for label in (*tool.labels, *config.labels) if not label.startswith("$") and config.knows(label)]
    return known[:1]


def _user(answer: Any) -> str:
    fields = dict(answer)
    return str(fields.get("username") or fields.get("email") or f"user {fields['id']}")


def _clock(date: str) -> Found:
    try:
        drift = abs((parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return
    if drift > _DRIFT:
        yield (
            Outcome.FAILED,
            f"This machine's clock and that of Label Studio differ by {drift:,.0f} s.",
            "Set both clocks, for example by NTP: tokens end after some minutes.",
        )
    else:
        yield Outcome.OK, "The clocks agree.", ""
