"""A project of Label Studio over its API: its tasks with their annotations, and predictions written into it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.client import LabelStudioClient, UploadedFile
from sam_backend.labelstudio.servers import Server, ServerRegistry

logger = logging.getLogger(__name__)

UNCERTAINTY_SAMPLING = "Uncertainty sampling"
"""The order of a project's queue in which tasks whose predictions have the lowest scores come first."""

_PAGE = 100
_TIMEOUT = 120.0

Answer = TypeVar("Answer")
Answered = TypeVar("Answered", bound=BaseModel)


class _PredictionAnswer(BaseModel):
    id: int
    model_version: str | None = None
    result: Any = None
    created_at: str | None = None


class _TaskAnswer(BaseModel):
    id: int
    data: dict[str, Any]
    annotations: list[dict[str, Any]] | None = None
    drafts: list[dict[str, Any]] | None = None
    predictions: list[_PredictionAnswer] | None = None


class _ListedAnswer(BaseModel):
    id: int
    data: dict[str, Any]
    is_labeled: bool = False
    cancelled_annotations: int = 0
    total_annotations: int = 0


class _TasksAnswer(BaseModel):
    tasks: list[Any]
    total: int


@dataclass(frozen=True)
class KnownProject:
    """A project and the server that holds it.

    Attributes
    ----------
    server : Server, with a token.
    id : int, in its Label Studio.
    uid : str, `<id>.<Unix time of its creation>` where the server registry knows it, otherwise the id.
    """

    server: Server
    id: int
    uid: str


@dataclass(frozen=True)
class TaskPrediction:
    """A prediction of a task: its id, the model version, and its `result` and time as the API sends them."""

    id: int
    model_version: str
    result: Any = None
    created_at: str = ""


@dataclass(frozen=True)
class ProjectTask:
    """A task as Label Studio holds it.

    Attributes
    ----------
    id : int.
    data : the task's data, with the image's address.
    annotations : as the API sends them.
    predictions : of any model.
    drafts : what the user of the token has drawn and not submitted, as the API sends it.
    """

    id: int
    data: Mapping[str, Any]
    annotations: Sequence[Mapping[str, Any]] = ()
    predictions: Sequence[TaskPrediction] = ()
    drafts: Sequence[Mapping[str, Any]] = ()

    @property
    def is_labelled(self) -> bool:
        """Whether somebody annotated it, or skipped it."""
        return bool(self.annotations)

    def has_prediction(self, model_version: str) -> bool:
        """Whether it has a prediction of a model version."""
        return any(prediction.model_version == model_version for prediction in self.predictions)


@dataclass(frozen=True)
class ListedTask:
    """A task in a list, without its annotations.

    Attributes
    ----------
    id : int.
    data : the task's data, as Label Studio sends it to a backend.
    is_done : bool, whether somebody annotated or skipped it.
    """

    id: int
    data: Mapping[str, Any]
    is_done: bool


@dataclass(frozen=True)
class Project:
    """A project and its client. Its methods raise ImageServerError where Label Studio refuses or does not answer.

    Attributes
    ----------
    id : int, in its Label Studio.
    uid : str, `<id>.<Unix time of its creation>`, the name that Label Studio gives it in messages to backends.
    label_config : str, the labeling config.
    sampling : str, the order of its queue, as Label Studio calls it.
    """

    id: int
    uid: str
    label_config: str
    sampling: str
    _client: LabelStudioClient = field(repr=False)

    def tasks(self) -> Iterator[ProjectTask]:
        """Yield all tasks; a task that is not as Label Studio writes them is left out with a line in the log."""
        for task in self._pages(_TaskAnswer, {"fields": "all"}, _PAGE):
            predictions = [_prediction(one) for one in task.predictions or []]
            yield ProjectTask(task.id, task.data, task.annotations or [], predictions, task.drafts or [])

    def list_tasks(self, view: Mapping[str, Any] | None = None, *, page: int = _PAGE) -> Iterator[ListedTask]:
        """Yield tasks, page by page; a consumer that stops early asks for no further page.

        Parameters
        ----------
        view : dict, order and filters as in a tab of the Data Manager, see `tabs`; None for all tasks, by their ids.
        page : int, tasks of a page.
        """
        # With `review`, Label Studio lists tasks without asking backends for predictions that are missing.
        query = {"review": "true"} | ({"query": json.dumps(view)} if view else {})
        for task in self._pages(_ListedAnswer, query, page):
            is_done = task.is_labeled or bool(task.cancelled_annotations or task.total_annotations)
            yield ListedTask(task.id, task.data, is_done)

    def predictions(self, task: int) -> list[TaskPrediction]:
        """Return the predictions of a task; none where there is no such task."""

        def read(answer: Any) -> list[TaskPrediction]:
            return [_prediction(_PredictionAnswer.model_validate(one)) for one in answer]

        return self._request("GET", "/api/predictions/", read, query={"task": task})

    def tabs(self) -> list[Mapping[str, Any]]:
        """Return the saved tabs of the Data Manager: for each its `ordering`, its `filters`, and how it shows them."""

        def read(answer: Any) -> list[Mapping[str, Any]]:
            return [dict(tab["data"] or {}) for tab in answer]

        return self._request("GET", "/api/dm/views/", read, query={"project": self.id})

    def check(self) -> None:
        """Raise ImageServerError if Label Studio does not answer about the project at the moment."""
        self._request("GET", f"/api/projects/{self.id}/", _ignore)

    def predict(self, task: ProjectTask, prediction: Mapping[str, Any]) -> None:
        """Give a task a prediction, in place of those of the same model version."""
        version = prediction["model_version"]
        fields = {name: prediction[name] for name in ("result", "score", "model_version")}
        self._request("POST", "/api/predictions/", _ignore, body={"task": task.id, "project": self.id, **fields})
        # Afterwards, so that the task never has none.
        for earlier in task.predictions:
            if earlier.model_version == version:
                self._request("DELETE", f"/api/predictions/{earlier.id}/", _ignore)

    def annotate(self, task: ProjectTask, result: Sequence[Mapping[str, Any]]) -> None:
        """Give a task one more annotation, of the user whose token is used."""
        self._request("POST", f"/api/tasks/{task.id}/annotations/", _ignore, body={"result": result})

    def add_image(self, name: str, content: bytes, field: str) -> None:
        """Upload an image, and make a task of it.

        Parameters
        ----------
        name : str, the file's name; Label Studio puts eight digits before it.
        content : bytes of the file.
        field : str, where the task's data hold the address.
        """
        path = f"/api/projects/{self.id}/import"
        stays_alone = {"commit_to_project": "false"}
        number = self._request(
            *("POST", path, lambda answer: int(answer["file_upload_ids"][0])),
            query=stays_alone,
            body=UploadedFile(name, content),
        )
        place = self._request("GET", f"/api/import/file-upload/{number}", lambda answer: str(answer["file"]))
        self._request("POST", path, _ignore, body=[{"data": {field: f"/data/{place}"}}])

    def score(self, task: ProjectTask, model_version: str, score: float) -> None:
        """Give the predictions of a task by a model version another score; their regions stay."""
        for prediction in task.predictions:
            if prediction.model_version == model_version:
                self._request("PATCH", f"/api/predictions/{prediction.id}/", _ignore, body={"score": score})

    def queue_by_score(self, model_version: str) -> None:
        """Let the queue of the project follow the scores of a model version's predictions, the lowest first."""
        body = {"sampling": UNCERTAINTY_SAMPLING, "model_version": model_version}
        self._request("PATCH", f"/api/projects/{self.id}/", _ignore, body=body)

    def _pages(self, kind: type[Answered], query: Mapping[str, Any], size: int) -> Iterator[Answered]:
        """Yield the tasks of a list, page by page."""
        page = 1
        while True:
            # The addresses of images are those that `/predict` carries, not those that a browser needs.
            whole = {"project": self.id, "page": page, "page_size": size, "resolve_uri": "false", **query}
            answer = self._request("GET", "/api/tasks/", _TasksAnswer.model_validate, query=whole)
            for fields in answer.tasks:
                try:
                    yield kind.model_validate(fields)
                except ValidationError as error:
                    logger.warning("A task of project %d is left out: %s.", self.id, _cause(fields, error))
            if page * size >= answer.total or not answer.tasks:
                return
            page += 1

    def _request(self, method: str, path: str, read: Callable[[Any], Answer], **parameters: Any) -> Answer:
        return self._client.request(method, path, read, about=f"project {self.id}", **parameters)


def _prediction(one: _PredictionAnswer) -> TaskPrediction:
    return TaskPrediction(one.id, one.model_version or "", one.result, one.created_at or "")


def _cause(fields: Any, error: ValidationError) -> str:
    """Say which task cannot be read, and which of its fields is wrong."""
    number = brief(fields.get("id")) if isinstance(fields, dict) else "without an id"
    wrong = error.errors(include_url=False, include_input=False)[0]
    return f"task {number}, '{'.'.join(map(str, wrong['loc']))}': {wrong['msg']}"


def find_project(servers: ServerRegistry, project: str) -> KnownProject:
    """Find the server of a project that is given by its id or its uid.

    Raises
    ------
    BadRequestError
        If no Label Studio with such a project is known, or several are.
    """
    known = servers.uids(project)
    if len(known) > 1:
        raise BadRequestError(f"Several projects are called {project}; name one of {', '.join(known)}.")
    uid = known[0] if known else project
    server = servers.find(uid)
    number = uid.partition(".")[0]
    if server is None or not server.token or not number.isdigit():
        raise BadRequestError(
            f"No Label Studio with a project {project} is known here; connect it to this backend, or set "
            "SAM_INSPECT_LABEL_STUDIO_URL and SAM_INSPECT_LABEL_STUDIO_API_KEY."
        )
    return KnownProject(server, int(number), uid)


def open_project(servers: ServerRegistry, project: str) -> Project:
    """Open a project that is given by its id or its uid.

    Raises
    ------
    BadRequestError
        If no Label Studio with such a project is known, or several are.
    ImageServerError
        If it refuses or does not answer.
    """
    known = find_project(servers, project)
    client = LabelStudioClient(known.server, _TIMEOUT, servers.transport)

    def read(answer: Any) -> Project:
        created = datetime.fromisoformat(answer["created_at"]).astimezone(UTC)
        uid, sampling = f"{known.id}.{int(created.timestamp())}", str(answer.get("sampling", ""))
        return Project(known.id, uid, str(answer["label_config"]), sampling, client)

    return client.request("GET", f"/api/projects/{known.id}/", read, about=f"project {known.id}")


def _ignore(answer: Any) -> None:
    """Read nothing of an answer."""
