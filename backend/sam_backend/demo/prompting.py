"""Prompts that are sent through Label Studio as its labeling page sends them, and their measured answers."""

import time
from dataclasses import dataclass
from typing import Any

from sam_backend.arrays import BoolArray
from sam_backend.demo.api import DemoTask, LabelStudioApi
from sam_backend.demo.demo_error import DemoError
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import deepest_point

Region = dict[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class MeasuredAnswer:
    """The answer to one prompt.

    Attributes
    ----------
    mask : (H, W) bool.
    predicted_iou : float, the model's own estimate, 0 to 1.
    milliseconds : float, the time from the request to Label Studio until its answer.
    """

    mask: BoolArray
    predicted_iou: float
    milliseconds: float


@dataclass(frozen=True)
class Prompter:
    """Sends smart regions on the image of one task.

    Attributes
    ----------
    api : LabelStudioApi, sends the regions.
    backend : int, the id of the connected backend.
    task : DemoTask, the task.
    size : (height, width) of the image in pixels.
    label : str, the label of the regions.
    """

    api: LabelStudioApi
    backend: int
    task: DemoTask
    size: tuple[int, int]
    label: str

    def click(self, *points: tuple[Point, bool]) -> MeasuredAnswer:
        """Send key points, given as ((x, y) in pixels, whether it is positive), the oldest first."""
        return self._send([self._key_point(*point) for point in points])

    def box(self, left: float, top: float, right: float, bottom: float) -> MeasuredAnswer:
        """Send a rectangle, in pixels."""
        height, width = self.size
        value = {
            "x": 100 * left / width,
            "y": 100 * top / height,
            "width": 100 * (right - left) / width,
            "height": 100 * (bottom - top) / height,
            "rotation": 0,
            "rectanglelabels": [self.label],
        }
        return self._send([self._region("box", "rectanglelabels", value)])

    def _key_point(self, point: Point, positive: bool) -> Region:
        height, width = self.size
        value = {
            "x": 100 * point[0] / width,
            "y": 100 * point[1] / height,
            "width": 0.3,
            "labels": [self.label],
            "keypointlabels": [self.label],
        }
        return self._region("click", "keypointlabels", value) | {"is_positive": positive}

    def _region(self, control: str, kind: str, value: Region) -> Region:
        return {
            "id": f"{control}{time.monotonic_ns()}",
            "from_name": control,
            "to_name": "image",
            "type": kind,
            "origin": "manual",
            "original_width": self.size[1],
            "original_height": self.size[0],
            "image_rotation": 0,
            "value": value,
        }

    def _send(self, drawn: list[Region]) -> MeasuredAnswer:
        start = time.perf_counter()
        answer = self.api.prompt(self.backend, self.task.id, drawn)
        milliseconds = 1000 * (time.perf_counter() - start)
        if len(answer.regions) != 1:
            raise DemoError(f"One region was expected for a prompt on {self.task.name}; got {len(answer.regions)}.")
        (region,) = answer.regions
        value = region["value"]
        if region["from_name"] != "mask" or value.get("brushlabels") != [self.label]:
            raise DemoError(
                f"A region of the control mask with the label {self.label} was expected on {self.task.name}; "
                f"got {region['from_name']} with {value.get('brushlabels')}."
            )
        mask = decode_rle(value["rle"], self.size)
        if not mask.any():
            raise DemoError(f"The mask for a prompt on {self.task.name} is empty.")
        return MeasuredAnswer(mask, float(answer.score or 0), milliseconds)


def correction(mask: BoolArray, truth: BoolArray) -> tuple[Point, bool]:
    """Return the click that corrects the larger error: positive on missing pixels, negative on surplus pixels.

    On a perfect mask, the click is positive.
    """
    missing, surplus = truth & ~mask, mask & ~truth
    positive = bool(missing.sum() >= surplus.sum())
    wrong = missing if positive else surplus
    return deepest_point(wrong if wrong.any() else truth), positive
