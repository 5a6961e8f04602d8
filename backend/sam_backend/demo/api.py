"""The calls of Label Studio's API that the demo makes.

`label_studio_sdk` has no file upload and drops the answer of an interactive request, which are the calls that matter
here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from sam_backend.demo.demo_error import DemoError


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


class LabelStudioApi:
    """A client of Label Studio at `url`, authenticated by a legacy `token`."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Token {token}"},
            timeout=120,  # Label Studio itself waits 100 s for a backend
            follow_redirects=True,
            trust_env=False,
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

    def connect_backend(self, project: int, url: str, title: str) -> int:
        """Make the backend at `url` the project's interactive model, instead of an earlier one; return its id."""
        body = {"project": project, "url": url, "title": title, "is_interactive": True}
        known = self._json("GET", "/api/ml/", params={"project": project})
        if not known:
            return int(self._json("POST", "/api/ml/", json=body)["id"])
        earlier = known[0]
        self._json("PATCH", f"/api/ml/{earlier['id']}", json=body)
        # Label Studio creates the webhook with the backend, but does not update its address.
        for webhook in self._json("GET", "/api/webhooks/", params={"project": project}):
            if webhook["url"] == f"{earlier['url'].rstrip('/')}/webhook":
                self._json("PATCH", f"/api/webhooks/{webhook['id']}/", json={"url": f"{url}/webhook"})
        return int(earlier["id"])

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

    def _json(self, method: str, path: str, **request: Any) -> Any:
        try:
            response = self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise DemoError(f"Label Studio did not answer {method} {path}: {error or type(error).__name__}") from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise DemoError(
                "Label Studio does not know the demo's token, because its database and credentials.json do not belong "
                "together; delete the demo's folder to start again."
            )
        if not response.is_success:
            raise DemoError(f"Label Studio answered {method} {path} with {response.status_code}: {_reason(response)}")
        return response.json()


def _reason(response: httpx.Response) -> str:
    """Return Label Studio's description of an error, or the beginning of its answer."""
    try:
        answer = response.json()
        return str(answer.get("validation_errors") or answer["detail"])
    except (ValueError, KeyError, AttributeError):
        return response.text[:300] or response.reason_phrase
