"""A project in no Label Studio: an accepted task with coloured squares, and others that ask for masks."""

from annotation_events import CONFIG, TAUGHT, region
from colour_segmenter import surface
from label_studio_requests import data_url, png
from sam_backend.core.model_loading import WorkerModel, load_model
from sam_backend.core.project_work import ProjectWork
from sam_backend.core.proposers import Proposers
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.labelstudio.projects import ProjectTask
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.progress import no_progress


class StoredProject:
    """Keeps its predictions in a list; the image of task 5 may not be fetched."""

    id, uid, label_config = 7, "7.1", CONFIG

    def __init__(self):
        result = [region(label, mask) for label, mask in TAUGHT[1]]
        annotation = {
            "id": 1,
            "task": 1,
            "updated_at": "2026-11-23T05:32:00Z",
            "was_cancelled": False,
            "result": result,
        }
        self._tasks = [ProjectTask(1, {"image": data_url(png(TAUGHT[0]))}, [annotation])]
        for number in range(2, 13):
            asked, _ = surface(number, red=[(10 * number, 80)], green=[(140 - 10 * number, 20)])
            image = data_url(png(asked)) if number != 5 else "http://127.0.0.1:1/5.png"
            self._tasks.append(ProjectTask(number, {"image": image}))
        self.predictions = []

    def tasks(self):
        return iter(self._tasks)

    def predict(self, task, prediction):
        # Ids of regions are drawn at random.
        regions = [{key: value for key, value in one.items() if key != "id"} for one in prediction["result"]]
        self.predictions.append((task.id, {**prediction, "result": regions}))


def taught_project(settings, folder):
    """Return the work on such a project with nano, which has learnt what is accepted."""
    segmenter, embeddings = load_model(settings, "nano", None), TaskEmbeddings.in_memory(settings)
    model = WorkerModel.of(settings, "nano", None, segmenter)
    work = ProjectWork(
        StoredProject(), ProjectMemory(folder / "memory"), segmenter, embeddings, Proposers(folder), model=model
    )
    work.gather(no_progress)
    work.learn(no_progress)
    return work
