"""The calls of Label Studio's API that the demo and `sam-inspect connect` make.

`label_studio_sdk` has no file upload and drops the answer of an interactive request, which are the calls that matter
here.
"""

import base64
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from sam_backend.demo.demo_error import DemoError
from sam_backend.labelstudio.client import authorization
from sam_backend.safe_text import safe_line

_TAG = re.compile(r"<[^<>]*>")
_MAX_REASON = 300

_UNREACHABLE = "Can't connect to ML backend"
"""How Label Studio's sentence begins where it does not reach a backend; a Python exception with addresses follows."""


@dataclass(frozen=True)
class DemoTask:
    """A task as the demo needs it: the identity of its image, and the number of its predictions."""

    id: int
    image: str
    name: str
    sha256: str
    predictions: int


@dataclass(frozen=True)
class Answer:
    """The answer to a prompt: regions in Label Studio's JSON, and the model's estimate of the IoU, 0 to 1."""

    regions: list[dict[str, Any]]
    score: float | None


@dataclass(frozen=True)
class Login:
    """The user and the password that a backend asks for."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The header Authorization of HTTP basic authentication."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


class LabelStudioApi:
    """A client of Label Studio.

    Parameters
    ----------
    url : str, the address of Label Studio.
    token : str, a legacy token or a short-lived one.
    refused : str, the sentence of the error if Label Studio does not know the token.
    certificates : ssl.SSLContext, which servers are trusted; None for the default.
    """

    def __init__(
        self,
        url: str,
        token: str,
        refused: str = "Label Studio does not know the token.",
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._refused = refused
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": authorization(token)},
            timeout=120,  # Label Studio itself waits 100 s for a backend
            follow_redirects=True,
            trust_env=False,
            verify=certificates or True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def projects(self) -> dict[str, int]:
        """Return the ids of the projects by their descriptions, in which the demo stores the purpose of a project."""
        projects = self._json("GET", "/api/projects/", params={"page_size": 1000})["results"]
        return {project["description"] or "": project["id"] for project in projects}

    def create_project(self, title: str, description: str, labeling_config: str) -> int:
        """Create a project and return its id."""
        body = {"title": title[:50], "description": description, "label_config": labeling_config}
        return int(self._json("POST", "/api/projects/", json=body)["id"])

    def tasks(self, project: int) -> list[DemoTask]:
        """Return all tasks of a project, in the order of their creation."""
        tasks: list[DemoTask] = []
        while True:
            params = {"project": project, "page": len(tasks) // 100 + 1, "page_size": 100}
            page = self._json("GET", "/api/tasks/", params=params)
            tasks += [
                DemoTask(
                    id=task["id"],
                    image=task["data"]["image"],
                    name=task["data"].get("name", ""),
                    sha256=task["data"].get("sha256", ""),
                    predictions=task["total_predictions"],
                )
                for task in page["tasks"]
            ]
            if len(tasks) >= page["total"] or not page["tasks"]:
                return sorted(tasks, key=lambda task: task.id)

    def upload(self, project: int, file: Path) -> str:
        """Upload an image without creating a task, and return its URL for a task's data."""
        with file.open("rb") as stream:
            answer = self._json(
                "POST",
                f"/api/projects/{project}/import",
                params={"commit_to_project": "false"},
                files={"file": (file.name, stream)},
            )
        uploaded = self._json("GET", f"/api/import/file-upload/{answer['file_upload_ids'][0]}")
        return f"/data/{uploaded['file']}"

    def create_tasks(self, project: int, data: Sequence[dict[str, str]]) -> None:
        """Create one task per element of `data`."""
        self._json("POST", f"/api/projects/{project}/import", json=[{"data": task_data} for task_data in data])

    def connect_backend(self, project: int, url: str, title: str, login: Login | None = None) -> int:
        """Make the backend at `url` the project's interactive model, instead of an earlier one; return its id.

        Its webhook, from which it learns, gets the password too: Label Studio does not give it one.

        Raises
        ------
        DemoError
            If Label Studio does not reach the backend.
        """
        body: dict[str, Any] = {"project": project, "url": url, "title": title, "is_interactive": True}
        if login:
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": login.user, "basic_auth_pass": login.password}
        else:
            body["auth_method"] = "NONE"
        known = self._json("GET", "/api/ml/", expected=list, params={"project": project})
        try:
            if known:
                connection = known[0]["id"]
                self._json("PATCH", f"/api/ml/{connection}", json=body)
            else:
                connection = self._json("POST", "/api/ml/", json=body)["id"]
        except DemoError as error:
            if _UNREACHABLE not in str(error):
                raise
            raise DemoError(
                f"Label Studio could not reach the backend at {safe_line(url)}; start the backend, and give the "
                "address under which Label Studio's machine reaches it."
            ) from None
        # Label Studio creates the webhook with the backend, but does not update its address.
        targets = [f"{address.rstrip('/')}/webhook" for address in (url, *(one["url"] for one in known[:1]))]
        webhook = {"url": targets[0], "headers": {"Authorization": login.header} if login else {}, "is_active": True}
        webhooks = self._json("GET", "/api/webhooks/", expected=list, params={"project": project})
        own = [one["id"] for target in targets for one in webhooks if one["url"] == target]
        if own:
            self._json("PATCH", f"/api/webhooks/{own[0]}/", json=webhook)
        else:
            everything = {"send_payload": True, "send_for_all_actions": True}
            self._json("POST", "/api/webhooks/", json={"project": project, **everything, **webhook})
        return int(connection)

    def retrieve_predictions(self, project: int, tasks: Sequence[int]) -> None:
        """Let Label Studio request predictions of these tasks from the connected backend and store them."""
        self._json(
            "POST",
            "/api/dm/actions/",
            params={"id": "retrieve_tasks_predictions", "project": project},
            json={"selectedItems": {"all": False, "included": list(tasks)}},
        )

    def prompt(self, backend: int, task: int, drawn: Sequence[dict[str, Any]]) -> Answer:
        """Send regions that were drawn with smart tools, as the labeling page does.

        Raises
        ------
        DemoError
            If Label Studio would show an error to the annotator; the message contains it.
        """
        body = {"task": task, "context": {"result": list(drawn)}}
        answer = self._json("POST", f"/api/ml/{backend}/interactive-annotating", json=body)
        if errors := answer.get("errors"):
            raise DemoError(f"Label Studio would show the annotator: {' '.join(map(str, errors))}")
        return Answer(answer["data"]["result"], answer["data"].get("score"))

    def _json(self, method: str, path: str, expected: type = dict, **request: Any) -> Any:
        try:
            response = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise DemoError(
                f"Label Studio at {self._http.base_url} did not answer {method} {path}: {error or type(error).__name__}"
            ) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise DemoError(self._refused)
        if not response.is_success:
            raise DemoError(f"Label Studio answered {method} {path} with {response.status_code}: {_reason(response)}")
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, expected):
            raise DemoError(f"What answers {method} {path} at {self._http.base_url} is no Label Studio.")
        return answer


def _reason(response: httpx.Response) -> str:
    """Return Label Studio's description of an error, or the beginning of its answer, as one line without HTML."""
    try:
        answer = response.json()
        text = " ".join(_sentences(answer.get("validation_errors"))) or str(answer["detail"])
    except (ValueError, KeyError, AttributeError, RecursionError):
        text = response.text or response.reason_phrase
    return safe_line(" ".join(_TAG.sub("", text).split()))[:_MAX_REASON]


def _sentences(errors: Any) -> Iterator[str]:
    """Yield what Label Studio says of each field, behind the field's name where there is one."""
    for name, texts in (errors or {}).items():
        field_name = "" if name == "non_field_errors" else f"{name}: "
        yield from (f"{field_name}{text}" for text in (texts if isinstance(texts, list) else [texts]))
