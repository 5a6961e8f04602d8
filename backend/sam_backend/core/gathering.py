"""Reads all annotations of a project from Label Studio into its memory."""

from __future__ import annotations

import logging

from sam_backend.core.accepted_records import records_or_reason
from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.messages import Annotation, Task, parse_message
from sam_backend.labelstudio.projects import Project
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.memory.records import Record
from sam_backend.progress import ProgressCallback, no_progress

logger = logging.getLogger(__name__)


def gather(project: Project, memory: ProjectMemory, progress: ProgressCallback = no_progress) -> None:
    """Replace the memory's records with the annotations that Label Studio holds.

    An annotation that cannot be read is set aside with its reason.

    Parameters
    ----------
    project : Project.
    memory : ProjectMemory of the project.
    progress : ProgressCallback, called with the tasks done and the number known so far.

    Raises
    ------
    ImageServerError
        If Label Studio refuses or does not answer.
    OSError
        If the memory cannot be written.
    """
    before = memory.store.annotations()
    records: list[Record] = []
    refused: list[str] = []
    done = 0
    for done, task in enumerate(project.tasks(), 1):
        progress(done - 1, done)
        task_message = Task(id=task.id, data=dict(task.data))
        for values in task.annotations:
            try:
                annotation = parse_message(dict(values), Annotation)
            except SamInspectError as error:
                refused.append(f"An annotation of task {task.id} is left out: {error}")
                logger.warning("%s", refused[-1])
                continue
            records.extend(records_or_reason(annotation, task_message, project.label_config))
    memory.store.replace(records, before)
    if refused:
        # A server may have something to add at this moment.
        with memory.store.writing():
            memory.store.gaps.set_aside(refused)
    progress(done, done)
