"""From a request to predictions: image, embedding, prompt, mask, regions - each by the module that knows it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from sam_backend.core.embeddings import TaskEmbeddings
from sam_backend.core.learner import Learner
from sam_backend.core.model import BackgroundModel
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.config import LabelingConfig, Target
from sam_backend.labelstudio.messages import PredictRequest, Task
from sam_backend.labelstudio.prompts import Drawn, read_drawn
from sam_backend.labelstudio.regions import make_regions, prediction
from sam_backend.memory.memory import Find, Memories
from sam_backend.segmenters import Candidates, Embedding, Prompt, Segmenter
from sam_backend.segmenters.automatic import Proposal, propose_masks
from sam_backend.segmenters.refinement import LogitsMemo, refine
from sam_backend.segmenters.wrapper import SegmenterWrapper
from sam_backend.service.tracing import Trace

logger = logging.getLogger(__name__)

BUDGET = 80.0
"""Seconds within which a request is answered; Label Studio gives up after 100."""

MAX_PROPOSALS = 20
"""Regions in a pre-annotation: an annotator has to look at each."""

_PROMPTS_AT_ONCE = 16
"""Prompts of a batch that are decoded before a click of an annotator has its turn."""

Results = list[Any]


class Predictor:
    """Answers `/predict`. Its methods block; safe to call from many threads."""

    def __init__(
        self, model: BackgroundModel, embeddings: TaskEmbeddings, memories: Memories, learner: Learner
    ) -> None:
        self._model = model
        self._embeddings = embeddings
        self._memories = memories
        self._learner = learner
        self._memo = LogitsMemo()
        self._stopping = threading.Event()

    def predict(self, body: PredictRequest, trace: Trace) -> Results:
        """Return `results`: one prediction for what was drawn, or one entry a task in a batch.

        Raises
        ------
        SamInspectError
            If what was drawn cannot be answered. A task of a batch that cannot is logged, and its prediction empty.
        """
        config = LabelingConfig.parse(body.label_config)
        if body.drawn is not None:
            return [self._answer_drawn(body, config, trace)]
        return self._pre_annotate(body, config, trace)

    def stop(self) -> None:
        """Let batches under way end early, so that the process can."""
        self._stopping.set()

    def _answer_drawn(self, body: PredictRequest, config: LabelingConfig, trace: Trace) -> dict[str, Any]:
        drawn = read_drawn(body.drawn, config)
        task = body.tasks[0]
        trace.task, trace.prompt = str(task.id), _kind(drawn)
        # Negative clicks alone take away from nothing.
        if drawn is None or not (drawn.box or any(click.positive for click in drawn.clicks)):
            return prediction([], 0.0, self._model.version)
        segmenter = self._segmenter()
        url = drawn.target.image.source(task.data, drawn.item_index or 0)
        key, embedding = self._embeddings.fetch(segmenter, url, body.project, task.id, trace)
        answer = refine(segmenter, embedding, drawn.to_prompt(embedding.size), self._memo, key)
        if body.project is not None:
            # Another process may have heard of annotations, and nobody asks about whole tasks while people draw.
            self._learner.look_at(str(body.project), segmenter.version)
        score = _score(answer.predicted_iou[0])
        regions = make_regions(
            answer.masks[0], drawn.target, label=drawn.label, score=score, item_index=drawn.item_index
        )
        return prediction(regions, score, segmenter.version)

    def _pre_annotate(self, body: PredictRequest, config: LabelingConfig, trace: Trace) -> Results:
        # No prediction, unlike an empty one, lets Label Studio ask for a task again.
        deadline = time.monotonic() + BUDGET
        trace.task, trace.prompt = _numbered(body.tasks), "everything"
        segmenter = _InTime(self._segmenter(), deadline, self._stopping)
        results: Results = []
        for task in body.tasks:
            try:
                # Images that do not come take time as well.
                segmenter.check()
                results.append(self._propose(segmenter, body, task, config))
            except TimeoutError:
                break
            except BadRequestError as error:
                logger.warning("Task %s gets an empty prediction: %s", task.id, error)
                results.append(prediction([], 0.0, segmenter.version))
            except SamInspectError as error:
                logger.warning("Task %s gets no prediction: %s", task.id, error)
                results.append([])
            except Exception:
                logger.exception("Task %s gets no prediction", task.id)
                results.append([])
        if late := body.tasks[len(results) :]:
            logger.warning(
                "%d of %d tasks were not reached in time (%g s) and get no prediction: %s. Retrieve predictions again.",
                len(late),
                len(body.tasks),
                BUDGET,
                _numbered(late),
            )
            results.extend([] for _ in late)
        return results

    def _propose(
        self, segmenter: Segmenter, body: PredictRequest, task: Task, config: LabelingConfig
    ) -> dict[str, Any]:
        target = config.target()
        url = target.image.source(task.data)
        _, embedding = self._embeddings.fetch(segmenter, url, body.project, task.id, Trace())
        finds = self._remember(segmenter, embedding, target, body.project)
        if finds is not None:
            return found_prediction(finds, target, segmenter.version)
        # A mask that is right more often than not is worth a look; of two that overlap much an annotator wants one.
        proposals = propose_masks(
            segmenter,
            embedding,
            points_per_side=12,
            pred_iou_threshold=0.5,
            stability_threshold=0.4,
            nms_iou=0.3,
            limit=MAX_PROPOSALS,
        )
        regions = [region for p in proposals for region in make_regions(p.mask, target, score=_score(p.predicted_iou))]
        return prediction(regions, _mean_score(proposals), segmenter.version)

    def _remember(
        self, segmenter: Segmenter, embedding: Embedding, target: Target, project: str | int | None
    ) -> list[Find] | None:
        """Return what the project's examples find, best first; None where there are none to go by."""
        if project is None:
            return None
        memory = self._memories.of(str(project))
        self._learner.look_at(str(project), segmenter.version)
        classes = memory.classes(segmenter.version, target.knows)
        return None if classes is None else memory.find(segmenter, embedding, classes, limit=MAX_PROPOSALS)

    def _segmenter(self) -> Segmenter:
        return self._embeddings.measured(self._model.get(BUDGET))


class _InTime(SegmenterWrapper):
    """A segmenter that raises TimeoutError rather than begin anything after a deadline or while the process ends."""

    def __init__(self, segmenter: Segmenter, deadline: float, stopping: threading.Event) -> None:
        super().__init__(segmenter)
        self._deadline = deadline
        self._stopping = stopping

    # `encode` has no check: a click may wait for this very image.

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], *, multimask: bool | None = None
    ) -> list[Candidates]:
        answers: list[Candidates] = []
        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            self.check()
            answers += self._segmenter.decode(embedding, prompts[start : start + _PROMPTS_AT_ONCE], multimask=multimask)
        return answers

    def check(self) -> None:
        if time.monotonic() > self._deadline or self._stopping.is_set():
            raise TimeoutError


def found_prediction(finds: Sequence[Find], target: Target, model_version: str) -> dict[str, Any]:
    """Return the prediction of what a memory found, with the mean of the scores as its own."""
    regions = []
    for find in finds:
        label = None if target.outputs[0].labeler is None else find.label
        regions += make_regions(find.mask, target, label=label, score=_score(find.score))
    return prediction(regions, _score(sum(find.score for find in finds) / max(len(finds), 1)), model_version)


def _score(predicted_iou: float) -> float:
    return round(min(max(float(predicted_iou), 0.0), 1.0), 4)


def _mean_score(proposals: Sequence[Proposal]) -> float:
    return _score(sum(p.predicted_iou for p in proposals) / max(len(proposals), 1))


def _kind(drawn: Drawn | None) -> str:
    if drawn is None:
        return "nothing"
    positive = sum(click.positive for click in drawn.clicks)
    clicks = f"{positive}+{len(drawn.clicks) - positive}-" if drawn.clicks else ""
    return "box" * bool(drawn.box) + clicks


def _numbered(tasks: Sequence[Task]) -> str:
    ids = [str(task.id) for task in tasks]
    return ",".join(ids) if len(ids) <= 10 else f"{ids[0]}…{ids[-1]}({len(ids)})"
