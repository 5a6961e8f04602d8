"""From a request to predictions: image, embedding, prompt, mask and regions, each made by its own module."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from sam_backend import deadlines
from sam_backend.core.answered import Start
from sam_backend.core.answered_regions import AnsweredRegions
from sam_backend.core.background_model import BackgroundModel
from sam_backend.core.clicks import Clicks
from sam_backend.core.correction import correct
from sam_backend.core.deadline_segmenter import DeadlineSegmenter
from sam_backend.core.device_queue import Rank
from sam_backend.core.found_regions import found_regions, masks_there
from sam_backend.core.in_place import InPlace
from sam_backend.core.large_images import Answer, LargeAnswers
from sam_backend.core.learner import Learner
from sam_backend.core.observer import RequestNotes, Stage, current_notes
from sam_backend.core.prefetcher import Prefetcher
from sam_backend.core.proposed_masks import proposed_masks
from sam_backend.core.proposers import Proposers
from sam_backend.core.refiners import Refiners
from sam_backend.core.task_embeddings import TaskEmbedding, TaskEmbeddings
from sam_backend.core.task_proposals import TaskProposals, rounded_score
from sam_backend.errors import BadRequestError, SamInspectError
from sam_backend.labelstudio.addresses import literal_origin
from sam_backend.labelstudio.concept_prompts import DrawnConcept, read_concept
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.messages import PredictRequest, Task
from sam_backend.labelstudio.prompts import DrawnPrompt, read_drawn
from sam_backend.labelstudio.region_json import note_mapping, prediction
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.proposals import Proposer
from sam_backend.pipeline.sources import Propose
from sam_backend.segmenters import Prompt, Segmenter
from sam_backend.segmenters.answers_memo import AnswersMemo
from sam_backend.segmenters.model_registry import require_prompts
from sam_backend.segmenters.pixels import mapping_of
from sam_backend.segmenters.protocol import POSITIVE
from sam_backend.segmenters.refinement import refine

logger = logging.getLogger(__name__)

BUDGET = 80.0
"""Seconds within which a request is answered; Label Studio stops waiting after 100."""

Results = list[Any]


class Predictor:
    """Answers prediction requests. Its methods block; they are safe to call from many threads.

    Parameters
    ----------
    model, embeddings, memories, proposers, refiners, learner, prefetcher, memo, answered : the parts that it uses.
    propose : function that proposes masks in an image, a pipeline; None for the project's own way.
    max_pixels : int, the largest image whose strokes are read as prompts.
    in_place : bool, whether prompts about an existing mask correct it.
    tolerance : float, of polygons in pixels.
    """

    def __init__(
        self,
        model: BackgroundModel,
        embeddings: TaskEmbeddings,
        memories: Memories,
        proposers: Proposers,
        refiners: Refiners,
        learner: Learner,
        prefetcher: Prefetcher,
        memo: AnswersMemo,
        answered: AnsweredRegions,
        *,
        propose: Propose | None,
        max_pixels: int,
        in_place: bool,
        tolerance: float,
    ) -> None:
        self._model = model
        self._embeddings = embeddings
        self._memories = memories
        self._proposers = proposers
        self._refiners = refiners
        self._learner = learner
        self._prefetcher = prefetcher
        self._propose_masks = propose
        self._max_pixels = max_pixels
        self._memo = memo
        self._large = LargeAnswers(memo)
        self._in_place = InPlace(in_place, tolerance, answered)
        self._tolerance = tolerance
        self._stopping = threading.Event()

    def predict(self, request: PredictRequest, notes: RequestNotes) -> Results:
        """Return `results`: one prediction for the drawn prompt, or one entry per task of a batch.

        Parameters
        ----------
        request : PredictRequest, interactive or a batch.
        notes : RequestNotes, receives the task, the kind of prompt, which image of the task, and the source of the
            embedding.

        Raises
        ------
        SamInspectError
            If a drawn prompt cannot be answered. A failing task of a batch is logged, and its prediction is empty.
        """
        config, queue = LabelingConfig.parse(request.label_config), self._embeddings.queue
        if request.drawn is not None:
            with queue.job(Rank.CLICK, f"click on task {request.tasks[0].id}"):
                results = [self._answer_prompt(request, config, notes)]
        else:
            with queue.job(Rank.BATCH, f"predictions for tasks {_task_ids(request.tasks)}"):
                results = self._pre_annotate(request, config, notes)
        if request.project is not None:
            self._prefetcher.ask(str(request.project), request.tasks[-1].id)
        return results

    def stop(self) -> None:
        """Let running batches end early, so that the process can end."""
        self._stopping.set()
        self._memo.close()

    def _answer_prompt(self, request: PredictRequest, config: LabelingConfig, notes: RequestNotes) -> dict[str, Any]:
        task = request.tasks[0]
        notes.task = str(task.id)
        on_page = config.of_task(task.data)
        if (concept := read_concept(request.drawn, on_page)) is not None:
            return self._find(request, concept, on_page, notes)
        drawn = read_drawn(request.drawn, on_page, max_pixels=self._max_pixels)
        notes.prompt = _prompt_kind(drawn)
        if drawn is None:
            return prediction([], 0.0, self._model.version)
        notes.page = config.page(drawn.target, drawn.item_index)
        memory = None if request.project is None else self._memories.of(str(request.project))
        segmenter = self._segmenter(memory)
        fetched = self._fetch(segmenter, request, drawn, notes)
        size = fetched.embedding.size
        prompt = drawn.to_prompt(size)
        place = (str(request.project), str(task.id), drawn.target.image.name, drawn.item_index or 0, fetched.key)
        subject = self._in_place.subject(place, task, drawn, prompt, size, notes.left_out)
        clicks = Clicks(prompt.points, prompt.labels)
        said = clicks.last_word()
        # An answer of another refiner is not continued.
        answered = self._refiners.version(memory)
        if subject.start is not None:
            answer = self._correct(segmenter, fetched, subject.start, clicks, answered)
        elif prompt.box is not None or (said.labels == POSITIVE).any():
            prompt = replace(prompt, points=said.points, labels=said.labels)

            def helped(key: str) -> Segmenter:
                return memory.helping(segmenter, drawn.label, key) if memory else segmenter

            # What the memory of one project chose is not continued in another one with the same image.
            answer = self._refine(helped, fetched, prompt, f"{answered} {request.project} {drawn.label}")
        else:
            # Negative clicks beside every mask have nothing to subtract from.
            return prediction([], 0.0, segmenter.version)
        if request.project is not None:
            # Another process may have stored annotations, and while people draw, no batch request comes.
            self._learner.check(str(request.project), segmenter.version)
        score = rounded_score(answer.predicted_iou)
        with self._encoding_regions():
            regions = self._in_place.answer(place, subject, drawn, clicks, answer.mask, score)
            note_mapping(regions, mapping_of(fetched.embedding))
        return prediction(regions, score, segmenter.version)

    def _find(
        self, request: PredictRequest, drawn: DrawnConcept, config: LabelingConfig, notes: RequestNotes
    ) -> dict[str, Any]:
        """Return all instances of a concept, each as a region of its own."""
        notes.prompt = " and ".join(sorted(drawn.needs)) or "nothing"
        notes.page = config.page(drawn.target, drawn.item_index)
        segmenter = self._segmenter(None)
        # Said before the image is encoded, which may take long.
        require_prompts(segmenter.info, drawn.needs)
        fetched = self._fetch(segmenter, request, drawn, notes)
        there = masks_there(request.tasks[0], drawn, config, fetched.embedding.size, self._in_place.runs)
        with self._encoding_regions():
            return found_regions(segmenter, fetched, drawn, there, self._tolerance)

    def _fetch(
        self, segmenter: Segmenter, request: PredictRequest, drawn: DrawnPrompt | DrawnConcept, notes: RequestNotes
    ) -> TaskEmbedding:
        """Return the embedding of the image that was drawn on."""
        task, image = request.tasks[0], drawn.target.image
        url, configured = image.source(task.data, drawn.item_index or 0), literal_origin(image.value)
        fetched = self._embeddings.fetch(segmenter, url, request.project, task.id, configured=configured)
        notes.image = fetched.source
        return fetched

    def _refine(
        self, segmenter_of: Callable[[str], Segmenter], fetched: TaskEmbedding, prompt: Prompt, variant: str
    ) -> Answer:
        """Answer a prompt; `segmenter_of` gives the segmenter for the image, or the part of it, with a key."""
        if fetched.large is not None:
            return self._large.refine(fetched.large, segmenter_of, prompt, variant)
        key = f"{fetched.key} {variant}"
        return Answer.of(refine(segmenter_of(fetched.key), fetched.embedding, prompt, self._memo, key))

    def _correct(
        self, segmenter: Segmenter, fetched: TaskEmbedding, start: Start, clicks: Clicks, variant: str
    ) -> Answer:
        """Correct a mask that is there."""
        if fetched.large is not None:
            return self._large.correct(fetched.large, segmenter, start, clicks, variant)
        return Answer.of(correct(segmenter, fetched.embedding, start, clicks, self._memo, f"{fetched.key} {variant}"))

    def _pre_annotate(self, request: PredictRequest, config: LabelingConfig, notes: RequestNotes) -> Results:
        # Label Studio asks again for a task without a prediction, but not for a task with an empty one.
        deadline = time.monotonic() + BUDGET
        notes.task, notes.prompt = _task_ids(request.tasks), notes.EVERYTHING
        memory = None if request.project is None else self._memories.of(str(request.project))
        segmenter = DeadlineSegmenter(self._segmenter(memory), deadline, self._stopping)
        results: Results = []
        for task in request.tasks:
            try:
                results.append(self._propose(segmenter, request, task, config))
            except TimeoutError:
                break
            except deadlines.AbandonedError:
                raise
            except BadRequestError as error:
                logger.warning("Task %s gets an empty prediction: %s", task.id, error)
                results.append(prediction([], 0.0, segmenter.version))
            except (SamInspectError, OSError) as error:
                logger.warning("Task %s gets no prediction: %s", task.id, error)
                results.append([])
            except Exception:
                logger.exception("Task %s gets no prediction", task.id)
                results.append([])
        if late := request.tasks[len(results) :]:
            logger.warning(
                "%d of %d tasks were not reached in time (%g s) and get no prediction: %s. Retrieve predictions again.",
                len(late),
                len(request.tasks),
                BUDGET,
                _task_ids(late),
            )
            results.extend([] for _ in late)
        return results

    def _propose(
        self, segmenter: DeadlineSegmenter, request: PredictRequest, task: Task, config: LabelingConfig
    ) -> dict[str, Any]:
        """Return the prediction for all images of a task.

        Raises
        ------
        SamInspectError
            If no image can be used. One of several that cannot be used is logged.
        TimeoutError
            If the time is over; not if this is the first task of the request and one of its images is done, because the
            others would be late again.
        """
        proposer = self._proposer(request.project, segmenter, config)
        proposals, failed, done = TaskProposals(self._tolerance), list[SamInspectError](), 0
        for image in config.images(task.data):
            try:
                # Images that cannot be fetched take time as well.
                segmenter.check()
                url, configured = image.address(task.data), literal_origin(image.target.image.value)
                fetched = self._embeddings.fetch(segmenter, url, request.project, task.id, configured=configured)
                masks = proposed_masks(segmenter, fetched, proposer, self._propose_masks)
                with self._encoding_regions():
                    proposals.add(image, masks, mapping_of(fetched.embedding))
            except TimeoutError:
                if not done or task is not request.tasks[0] or self._stopping.is_set():
                    raise
                logger.warning(
                    "Task %s: only its first %d images were reached in time (%g s); the others have no regions.",
                    task.id,
                    image.index,
                    BUDGET,
                )
                break
            except SamInspectError as error:
                failed.append(error)
                page = config.page(image.target, image.item_index)
                if page:
                    logger.warning("Task %s: its image %s gets no regions: %s", task.id, page, error)
            else:
                done += 1
        if not done:
            raise failed[0] if failed else BadRequestError("The task has no image: its list of images is empty.")
        if unknown := proposals.unknown(config):
            logger.warning(
                "Task %s: %d masks are left out, because the labeling config does not have their labels %s.",
                task.id,
                unknown.total(),
                ", ".join(sorted(unknown)),
            )
        return proposals.prediction(segmenter.version)

    def _proposer(self, project: str | int | None, segmenter: Segmenter, config: LabelingConfig) -> Proposer | None:
        """Return what proposes masks for the project; None if nothing can."""
        memory = None if project is None else self._memories.of(str(project))
        if project is not None:
            self._learner.check(str(project), segmenter.version)
        texts = config.texts if "text" in segmenter.info.prompts else {}
        return self._proposers.of(memory, segmenter.version, config.knows, texts)

    def _segmenter(self, memory: ProjectMemory | None) -> Segmenter:
        """Return the segmenter for the project that a memory belongs to, with the project's own refiner."""
        segmenter = self._model.get(deadlines.remaining(BUDGET))
        if (notes := current_notes()) is not None:
            notes.model = segmenter.version
        return self._embeddings.measured(self._refiners.segmenter(segmenter, memory))

    def _encoding_regions(self) -> AbstractContextManager[None]:
        return self._embeddings.observer.stage(Stage.ENCODE_REGIONS)


def _prompt_kind(drawn: DrawnPrompt | None) -> str:
    if drawn is None:
        return "nothing"
    positive = sum(click.positive for click in drawn.clicks)
    clicks = f"{positive}+{len(drawn.clicks) - positive}-" if drawn.clicks else ""
    return "box" * bool(drawn.box) + clicks


def _task_ids(tasks: Sequence[Task]) -> str:
    ids = [str(task.id) for task in tasks]
    return ",".join(ids) if len(ids) <= 10 else f"{ids[0]}…{ids[-1]}({len(ids)})"
