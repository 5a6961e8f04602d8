"""What trainings of a project's parts share: where the accepted masks come from, the bar, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sam_backend.errors import BadRequestError
from sam_inspect.bars import progress_bars
from sam_inspect.output import print_lines

if TYPE_CHECKING:
    from sam_backend.finetune.training_run import TrainingRun
    from sam_backend.labelstudio.projects import KnownProject
    from sam_backend.progress import ProgressCallback
    from sam_backend.settings import Settings
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.left_out import CountedDataset


@dataclass(frozen=True)
class PartRun:
    """The training of a part, in progress.

    Attributes
    ----------
    run : TrainingRun.
    source : CountedDataset, the accepted masks.
    model : str, the name of the part among the versions.
    data : str, what users call the data.
    """

    run: TrainingRun
    source: CountedDataset
    model: str
    data: str


def choose_source(settings: Settings, project: str | None, data: str | None) -> KnownProject | DatasetSpec:
    """Return the project or the data set to learn from.

    Raises
    ------
    BadRequestError
        If not exactly one of them is given.
    SamInspectError
        If there is no such project or data set.
    """
    from sam_backend.labelstudio.projects import find_project
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_evaluation.datasets.registry import DatasetSpec

    if (project is None) == (data is None):
        raise BadRequestError("Name what to learn from: either --project or --data.")
    if data is not None:
        return DatasetSpec.parse(data)
    return find_project(ServerRegistry.of_settings(settings), str(project))


@contextmanager
def open_part_run(settings: Settings, source: KnownProject | DatasetSpec, prefix: str, title: str) -> Iterator[PartRun]:
    """Open the training of a part with a progress bar; the masks of a project are fetched first.

    Parameters
    ----------
    settings : Settings.
    source : the project or the data set to learn from.
    prefix : str, with which the name of the part among the versions begins.
    title : str, of the bar.

    Raises
    ------
    SamInspectError
        If the masks cannot be read or fetched, or the training runs already.
    """
    import hashlib

    from sam_backend.core.project_versions import work_folder
    from sam_backend.finetune.training_run import open_run
    from sam_backend.finetune.training_status import TRAININGS, TrainingStatus
    from sam_backend.labelstudio.accepted import EXPORT
    from sam_backend.labelstudio.servers import ServerRegistry
    from sam_backend.memory.memories import Memories
    from sam_evaluation.datasets.registry import DatasetSpec
    from sam_evaluation.left_out import CountedDataset

    if isinstance(source, DatasetSpec):
        spec, known = source, None
        name = hashlib.sha256(f"{spec.format}:{spec.folder.resolve()}@{spec.split}".encode()).hexdigest()[:8]
        model = f"{prefix}data-{name}"
    else:
        known = source
        spec = DatasetSpec("label_studio", settings.home / TRAININGS / f"project-{known.uid}" / EXPORT)
        memory = Memories(settings.home, ServerRegistry.of_settings(settings)).of(known.uid)
        model = f"{prefix}{memory.store.folder.name}"
    described = f"{spec.format}:{spec.folder}" + (f"@{spec.split}" if spec.split else "")
    with progress_bars() as add_bar:
        progress = add_bar(title)

        def show(status: TrainingStatus) -> None:
            progress(status.step, status.steps, status.doing)

        with open_run(work_folder(settings.home, model), described, model, show) as run:
            if known:
                run.show(doing="Fetching the project")
                fetch_project(settings, known, spec, progress)
            counted = CountedDataset(spec.open(), described)
            try:
                yield PartRun(run, counted, model, described)
            finally:
                print_lines(*counted.sentences())


def fetch_project(settings: Settings, known: KnownProject, spec: DatasetSpec, progress: ProgressCallback) -> None:
    """Fetch the accepted masks of a Label Studio project into the folder of a data set."""
    from sam_backend.labelstudio.accepted import fetch_accepted
    from sam_backend.labelstudio.images import TaskImages

    fetch_accepted(
        known.server,
        known.id,
        spec.folder.parent,
        TaskImages.of_settings(settings),
        timeout=settings.image_timeout,
        progress=progress,
    )
