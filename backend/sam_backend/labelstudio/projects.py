"""A project of Label Studio over its API: its tasks with their annotations, and predictions written into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.servers import Server, ServerRegistry

UNCERTAINTY_SAMPLING = "Uncertainty sampling"
"""The order of a project's queue in which tasks whose predictions have the lowest scores come first."""

_PAGE = 100
_PATIENCE = 120.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ProjectTask:
    """A task as Label Studio holds it.

    Attributes
    ----------
    id : of the task.
    data : its data, the image's address among it.
    annotations : as the API has them.
    predictions : (id, model version) of each.
    """

    id: int
    data: Mapping[str, Any]
    annotations: Sequence[Mapping[str, Any]] = ()
    predictions: Sequence[tuple[int, str]] = ()

    @property
    def is_labelled(self) -> bool:
        """Whether somebody annotated it, or skipped it."""
        return bool(self.annotations)


@dataclass(frozen=True)
class Project:
    """A project and the way to it. Its methods raise ImageServerError where Label Studio refuses or does not answer.

    Attributes
    ----------
    id : in its Label Studio.
    uid : `<id>.<unix time it was created>`, as Label Studio names it to backends.
    label_config : the labeling config.
    """

    id: int
    uid: str
    label_config: str
    _server: Server
    _client: LabelStudio = field(repr=False)

    def tasks(self) -> Iterator[ProjectTask]:
        """Yield all tasks."""
        page = 1
        while True:
            query = {"project": self.id, "page": page, "page_size": _PAGE, "fields": "all"}
            found = self._ask(lambda query=query: _json(self._client, "api/tasks/", query))  # type: ignore[misc]
            for task in found["tasks"]:
                predictions = [(each["id"], each.get("model_version") or "") for each in task.get("predictions") or []]
                yield ProjectTask(task["id"], task["data"], task.get("annotations") or [], predictions)
            if page * _PAGE >= found["total"] or not found["tasks"]:
                return
            page += 1

    def predict(self, task: ProjectTask, prediction: Mapping[str, Any]) -> None:
        """Give a task a prediction, in place of those of the same model version."""
        made = prediction["model_version"]
        earlier = [number for number, version in task.predictions if version == made]
        self._ask(
            lambda: self._client.predictions.create(
                task=task.id,
                project=self.id,
                result=prediction["result"],
                score=prediction["score"],
                model_version=made,
            )
        )
        # Afterwards: there is never none.
        for number in earlier:
            self._ask(lambda number=number: self._client.predictions.delete(number))  # type: ignore[misc]

    def queue_by_score(self, model_version: str) -> None:
        """Let the queue of the project follow the scores of a model version's predictions, the lowest first."""
        self._ask(
            lambda: self._client.projects.update(self.id, sampling=UNCERTAINTY_SAMPLING, model_version=model_version)
        )

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        return _asked(question, self._server, self.id)


def open_project(servers: ServerRegistry, project: str) -> Project:
    """Open a project that is given by its id or its uid.

    Raises
    ------
    BadRequestError
        If no Label Studio with such a project is known.
    ImageServerError
        If it refuses or does not answer.
    """
    known = servers.uids(project)
    if len(known) > 1:
        raise BadRequestError(f"Several projects are called {project}; name one of {', '.join(known)}.")
    server = servers.find(known[0] if known else project)
    number = project.partition(".")[0]
    if server is None or not server.token or not number.isdigit():
        raise BadRequestError(
            f"No Label Studio with a project {project} is known here; connect it to this backend, or set "
            "SAM_INSPECT_LABEL_STUDIO_URL and SAM_INSPECT_LABEL_STUDIO_API_KEY."
        )
    client = LabelStudio(base_url=server.hostname, api_key=server.token, timeout=_PATIENCE)
    about = _asked(lambda: _json(client, f"api/projects/{number}/", {}), server, int(number))
    created = datetime.fromisoformat(about["created_at"]).astimezone(UTC)
    uid = f"{number}.{int(created.timestamp())}"
    return Project(int(number), uid, about["label_config"], server, client)


def _json(client: LabelStudio, path: str, query: Mapping[str, Any]) -> Any:
    """Get JSON as it is: the client's own types of tasks leave out or refuse what they do not know."""
    response = client._client_wrapper.httpx_client.request(path, method="GET", params=dict(query))
    if not response.is_success:
        raise ApiError(status_code=response.status_code, headers=dict(response.headers), body=response.text)
    return response.json()


def _asked(question: Callable[[], Answer], server: Server, project: int) -> Answer:
    try:
        return question()
    except ApiError as error:
        hint = {
            401: "it does not know the token; set SAM_INSPECT_LABEL_STUDIO_API_KEY to a personal access token",
            403: "the token may not do that",
            404: "there is no such project or task",
        }.get(error.status_code or 0, "see its log")
        raise ImageServerError(
            f"Label Studio at {server.shown} answered {error.status_code} about project {project}: {hint}."
        ) from None
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ImageServerError(
            f"Label Studio at {server.shown} did not answer about project {project} as it should: "
            f"{type(error).__name__}."
        ) from None
