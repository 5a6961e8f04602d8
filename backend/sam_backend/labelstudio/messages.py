"""The messages that Label Studio sends to an ML backend, validated: only the fields that are read."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from sam_backend.errors import BadRequestError


class Task(BaseModel):
    """A task; its annotations, drafts and predictions are ignored."""

    id: int | str | None = None
    data: dict[str, Any] = {}


class Annotation(BaseModel):
    """An annotation, as a webhook and the API send it; a deleted one has only its id."""

    id: int
    task: int | None = None
    updated_at: str | None = None
    was_cancelled: bool | None = None
    result: list[dict[str, Any]] | None = None


class AnnotatedTask(Task):
    """A task with its annotations."""

    annotations: list[Annotation] = []
    project: str | int | None = None


class EventProject(BaseModel):
    """The project of an event."""

    id: int
    created_at: AwareDatetime | None = None
    label_config: str | None = None

    @property
    def uid(self) -> str:
        """`<project id>.<Unix time of its creation>`, as in `/setup` and `/predict`; the id if the time is missing."""
        return str(self.id) if self.created_at is None else f"{self.id}.{int(self.created_at.timestamp())}"


class SetupRequest(BaseModel):
    """`POST /setup`: a project, and how to reach its Label Studio."""

    project: str | int | None = None
    hostname: str | None = None
    access_token: str | None = None


class PredictContext(BaseModel):
    """The regions that an annotator just drew with smart tools."""

    result: list[dict[str, Any]] | None = None


class PredictParams(BaseModel):
    """The parameters of `POST /predict`."""

    context: PredictContext | None = None


class PredictRequest(BaseModel):
    """`POST /predict`: interactive if the context holds drawn regions, otherwise a batch."""

    tasks: list[Task] = Field(min_length=1)
    label_config: str
    project: str | int | None = None
    params: PredictParams | None = None

    @property
    def drawn(self) -> list[dict[str, Any]] | None:
        """The regions that were just drawn; None in a batch."""
        return self.params.context.result if self.params and self.params.context else None


class ValidateRequest(BaseModel):
    """`POST /validate`: a labeling config."""

    config: str


class Event(BaseModel):
    """`POST /webhook`: an event of a project; it is about one or several annotations or tasks."""

    action: str
    project: EventProject | None = None
    annotation: Annotation | list[Annotation] | None = None
    annotations: list[Annotation] | None = None
    task: Task | list[Task] | None = None
    tasks: list[Task] | None = None

    @property
    def all_annotations(self) -> list[Annotation]:
        """The annotations of the event, from both fields."""
        return _as_list(self.annotation) + (self.annotations or [])

    @property
    def all_tasks(self) -> list[Task]:
        """The tasks of the event, from both fields."""
        return _as_list(self.task) + (self.tasks or [])


class TrainRequest(BaseModel):
    """`POST /train` of label-studio-ml 1.x: annotated tasks, in a field called `annotations`."""

    annotations: list[AnnotatedTask] = Field(min_length=1)
    project: str | int | None = None
    label_config: str | None = None

    @property
    def event_project(self) -> EventProject:
        """The project of the request, or else the project of the first task.

        Raises
        ------
        BadRequestError
            If neither names a project.
        """
        uid = self.annotations[0].project if self.project is None else self.project
        project_id, _, created = str(uid).partition(".")
        values = {"id": project_id, "created_at": created or None, "label_config": self.label_config}
        return parse_message(values, EventProject)

    def event(self, task: AnnotatedTask) -> Event:
        """Return the event that would have announced the annotations of a task."""
        annotations = [annotation.model_copy(update={"task": task.id}) for annotation in task.annotations]
        return Event(action="ANNOTATIONS_CREATED", project=self.event_project, annotations=annotations, task=task)


Message = TypeVar("Message", bound=BaseModel)


def parse_message(values: object, kind: type[Message]) -> Message:
    """Return a message of the given class from parsed JSON.

    Raises
    ------
    BadRequestError
        If a field is missing or has the wrong type; the message names the field.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise BadRequestError(_sentence(error)) from None


def _as_list(value: Message | list[Message] | None) -> list[Message]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"The body needs '{place}', which is missing."
    subject = f"The body's '{place}'" if place else "The body"
    problem = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return f"{subject} is not as expected: {problem}; got {type(first['input']).__name__}."
