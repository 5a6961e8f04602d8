"""The messages that Label Studio sends to an ML backend, validated: only the fields that are read."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from sam_backend.errors import BadRequestError

_MAX_UID_BYTES = 255
_MAX_TITLE = 100
_MAX_CONFIG = 2**20
_LARGEST = 1e15
"""Largest coordinate or size; a larger one cannot be counted in pixels."""


def _identifier(value: str | int) -> str | int:
    if isinstance(value, int):
        return _whole_number(value)
    size = len(value.encode("utf-8", "replace"))
    if size > _MAX_UID_BYTES:
        raise ValueError(f"it may have at most {_MAX_UID_BYTES} bytes and has {size:,}")
    return value


def _whole_number(value: int) -> int:
    if not 0 <= value < 2**63:
        raise ValueError("it must be a number of at most 64 bits, and not negative")
    return value


def _finite(regions: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    inside: list[Any] = [regions]
    while inside:
        value = inside.pop()
        values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
        # A mask is a list of a million numbers, so the loops are short.
        kinds = set(map(type, values))
        numbers = values if kinds <= {int, float} else [item for item in values if isinstance(item, int | float)]
        if not all(-_LARGEST <= number <= _LARGEST for number in numbers):
            raise ValueError(f"a number must be between -{_LARGEST:g} and {_LARGEST:g}")
        if kinds & {dict, list}:
            inside += [item for item in values if isinstance(item, dict | list)]
    return regions


def _title(value: object) -> str:
    return value[:_MAX_TITLE] if isinstance(value, str) else ""


WholeNumber = Annotated[int, AfterValidator(_whole_number)]
Identifier = Annotated[int | str, AfterValidator(_identifier)]


class Dispensable:
    """Marks a field that is left out where a body holds too much of it."""


Dispensed = Annotated[Any, Dispensable()]


class Task(BaseModel):
    """A task.

    Attributes
    ----------
    annotations, drafts, predictions : what an interactive request says about the masks that are there; not validated,
        since a click is answered without them, too.
    """

    id: Identifier | None = None
    data: dict[str, Any] = {}
    drafts: Dispensed = None
    annotations: Dispensed = None
    predictions: Dispensed = None


class Annotation(BaseModel):
    """An annotation, as a webhook and the API send it; a deleted one has only its id."""

    id: WholeNumber
    task: WholeNumber | None = None
    updated_at: str | None = None
    was_cancelled: bool | None = None
    result: list[dict[str, Any]] | None = None
    parent_prediction: Any = None
    lead_time: Any = None

    @property
    def begun_with(self) -> int:
        """The id of the prediction that somebody opened and began the annotation with; 0 without one.

        An annotation that was made in bulk has no time on the page.
        """
        number = self.parent_prediction
        is_id = isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**63
        return number if is_id and self.lead_time is not None else 0


class AnnotatedTask(Task):
    """A task with its annotations."""

    annotations: list[Annotation] = []
    project: Identifier | None = None


class EventProject(BaseModel):
    """The project of an event."""

    id: WholeNumber
    created_at: AwareDatetime | None = None
    label_config: str | None = Field(None, max_length=_MAX_CONFIG)
    title: Annotated[str, BeforeValidator(_title)] = ""

    @property
    def uid(self) -> str:
        """`<project id>.<Unix time of its creation>`, as in `/setup` and `/predict`; the id if the time is missing."""
        return str(self.id) if self.created_at is None else f"{self.id}.{int(self.created_at.timestamp())}"


class SetupRequest(BaseModel):
    """`POST /setup`: a project, and how to reach its Label Studio."""

    project: Identifier | None = None
    hostname: str | None = Field(None, max_length=2048)
    access_token: str | None = Field(None, max_length=4096)


class PredictContext(BaseModel):
    """The regions that an annotator just drew with smart tools."""

    result: Annotated[list[dict[str, Any]] | None, AfterValidator(_finite)] = None


class PredictParams(BaseModel):
    """The parameters of `POST /predict`."""

    context: PredictContext | None = None


class PredictRequest(BaseModel):
    """`POST /predict`: interactive if the context holds drawn regions, otherwise a batch."""

    tasks: list[Task] = Field(min_length=1)
    label_config: str = Field(max_length=_MAX_CONFIG)
    project: Identifier | None = None
    params: PredictParams | None = None

    @property
    def drawn(self) -> list[dict[str, Any]] | None:
        """The regions that were just drawn; None in a batch."""
        return self.params.context.result if self.params and self.params.context else None


class ValidateRequest(BaseModel):
    """`POST /validate`: a labeling config."""

    config: str = Field(max_length=_MAX_CONFIG)


class Event(BaseModel):
    """`POST /webhook`: an event of a project; it is about one or several annotations or tasks.

    Attributes
    ----------
    refused : list of str, why items of a list were left out; the others are kept. A list without a good item is an
        error.
    """

    action: str
    project: EventProject | None = None
    annotation: Annotation | list[Annotation] | None = None
    annotations: list[Annotation] | None = None
    task: Task | list[Task] | None = None
    tasks: list[Task] | None = None
    refused: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _leave_out_bad_items(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kept, refused = dict(values), []
        for name, kind in (("annotation", Annotation), ("annotations", Annotation), ("task", Task), ("tasks", Task)):
            if isinstance(items := values.get(name), list):
                good, sentences = _good_items(items, kind, name)
                # Without a good item, the list stays, and is the error.
                if good:
                    kept[name] = good
                    refused += sentences
        return {**kept, "refused": refused}

    @model_validator(mode="after")
    def _require_numbers(self) -> Self:
        for task in self.all_tasks:
            _require_number(task)
        return self

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
    project: Identifier | None = None
    label_config: str | None = Field(None, max_length=_MAX_CONFIG)

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


def _good_items(items: list[Any], kind: type[Message], name: str) -> tuple[list[Message], list[str]]:
    """Return the items that are messages of the given class, and a sentence about each other one."""
    good: list[Message] = []
    sentences: list[str] = []
    for number, item in enumerate(items):
        try:
            message = parse_message(item, kind)
            if isinstance(message, Task):
                _require_number(message)
            good.append(message)
        except (BadRequestError, ValueError) as error:
            sentences.append(f"Item {number} of '{name}' is left out: {error}")
    return good, sentences


def _require_number(task: Task) -> None:
    if isinstance(task.id, str) and not (task.id.isascii() and task.id.isdecimal() and int(task.id) < 2**63):
        raise ValueError(f"the id of a task must be a number of at most 64 bits; got {task.id!r}")


def _as_list(value: Message | list[Message] | None) -> list[Message]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"The body needs '{place}', which is missing."
    subject = f"The body's '{place}'" if place else "The body"
    if first["type"] == "value_error":
        return f"{subject} is not as expected: {first['ctx']['error']}."
    problem = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    return f"{subject} is not as expected: {problem}; got {type(first['input']).__name__}."
