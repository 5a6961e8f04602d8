"""What Label Studio sends, checked: the fields that are read, and no others."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from sam_backend.errors import BadRequestError

MAX_BODY_BYTES = 256 * 2**20
"""An interactive request carries every mask of its task: tens of megabytes do happen."""


class BodyTooLargeError(BadRequestError):
    """A body is larger than any that makes sense (HTTP 413)."""

    status = 413


class SetupBody(BaseModel):
    """`POST /setup`: a project, and how to reach the Label Studio that holds it."""

    project: str | int | None = None
    hostname: str | None = None
    access_token: str | None = None


class TaskBody(BaseModel):
    """A task; its annotations, drafts and predictions are left aside."""

    id: int | str | None = None
    data: dict[str, Any] = {}


class ContextBody(BaseModel):
    """What was just drawn with smart tools."""

    result: list[dict[str, Any]] | None = None


class ParamsBody(BaseModel):
    """Parameters of `POST /predict`."""

    context: ContextBody | None = None


class PredictBody(BaseModel):
    """`POST /predict`: interactive when the context holds what was drawn, else a batch."""

    tasks: list[TaskBody] = Field(min_length=1)
    label_config: str
    project: str | int | None = None
    params: ParamsBody | None = None

    @property
    def drawn(self) -> list[dict[str, Any]] | None:
        """The regions just drawn; None in a batch."""
        return self.params.context.result if self.params and self.params.context else None


class ValidateBody(BaseModel):
    """`POST /validate`: a labeling config."""

    config: str


class ProjectBody(BaseModel):
    """A project, as a webhook has it."""

    id: int
    created_at: AwareDatetime | None = None
    label_config: str | None = None

    @property
    def uid(self) -> str:
        """`<project id>.<unix time it was created>`, as `/setup` and `/predict` name it, or else its id."""
        return str(self.id) if self.created_at is None else f"{self.id}.{int(self.created_at.timestamp())}"


class AnnotationBody(BaseModel):
    """An annotation, as a webhook and the API have it; of a deleted one no more than its id."""

    id: int
    task: int | None = None
    updated_at: str | None = None
    was_cancelled: bool | None = None
    result: list[dict[str, Any]] | None = None


class WebhookBody(BaseModel):
    """`POST /webhook`: something happened in a project, to one annotation or task, or to several."""

    action: str
    project: ProjectBody | None = None
    annotation: AnnotationBody | list[AnnotationBody] | None = None
    annotations: list[AnnotationBody] | None = None
    task: TaskBody | list[TaskBody] | None = None
    tasks: list[TaskBody] | None = None

    @property
    def about(self) -> list[AnnotationBody]:
        """The annotations that it is about."""
        return _several(self.annotation) + (self.annotations or [])

    @property
    def tasks_about(self) -> list[TaskBody]:
        """The tasks that it is about."""
        return _several(self.task) + (self.tasks or [])


class AnnotatedTaskBody(TaskBody):
    """A task with its annotations."""

    annotations: list[AnnotationBody] = []
    project: str | int | None = None


class TrainBody(BaseModel):
    """`POST /train` of label-studio-ml 1.x: annotated tasks, named `annotations`."""

    annotations: list[AnnotatedTaskBody] = Field(min_length=1)
    project: str | int | None = None
    label_config: str | None = None

    @property
    def about(self) -> ProjectBody:
        """The project, or else the one that the first task names."""
        named = self.annotations[0].project if self.project is None else self.project
        number, _, created = str(named).partition(".")
        return check_body({"id": number, "created_at": created or None, "label_config": self.label_config}, ProjectBody)

    def event(self, task: AnnotatedTaskBody) -> WebhookBody:
        """Return the webhook that tells of a task's annotations."""
        annotations = [each.model_copy(update={"task": task.id}) for each in task.annotations]
        return WebhookBody(action="ANNOTATIONS_CREATED", project=self.about, annotations=annotations, task=task)


Body = TypeVar("Body", bound=BaseModel)


def _several(what: Body | list[Body] | None) -> list[Body]:
    return what if isinstance(what, list) else [] if what is None else [what]


async def read_body(request: Request) -> bytes:
    """Read a request's body to its end.

    Raises
    ------
    BodyTooLargeError
        If it has more than `MAX_BODY_BYTES`. The rest is read and dropped, since a client that cannot send all it has
        does not look at the answer.
    """
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        else:
            body.clear()
    if size > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"The body has {size >> 20} MiB; at most {MAX_BODY_BYTES >> 20} MiB are taken.")
    return bytes(body)


def parse_body(body: bytes, model: type[Body]) -> Body:
    """Parse JSON into a model.

    Raises
    ------
    BadRequestError
        If it is not JSON, or a field is missing or of another kind.
    """
    try:
        # Faster than parsing into the model directly: integers of the masks that are not read stay cheap.
        values = from_json(body)
    except ValueError as error:
        raise BadRequestError(f"The body must be JSON; it is not: {error}.") from None
    return check_body(values, model)


def check_body(values: object, model: type[Body]) -> Body:
    """Check what was parsed.

    Raises
    ------
    BadRequestError
        If a field is missing or of another kind.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadRequestError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"The body needs '{place}', which is missing."
    what = f"The body's '{place}'" if place else "The body"
    return (
        f"{what} is not as expected: {first['msg'][:1].lower()}{first['msg'][1:]}; got {type(first['input']).__name__}."
    )
