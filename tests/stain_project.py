"""Projects of stains on brushed metal in a real Label Studio: what is accepted there, and what is then proposed."""

import numpy as np
from PIL import Image

from annotation_events import region
from project_steps import ask
from sam_backend.demo import drawn_defects, surfaces
from sam_backend.demo.project import BACKEND_TITLE, Source, import_images, open_project
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import mask_iou

SIZE = (480, 640)
TAUGHT, ASKED = 4, 3


def draw_stains(folder):
    """Draw stains on brushed metal; return the folder of the files, and their masks by name."""
    masks = {}
    for seed in range(TAUGHT + ASKED):
        random = np.random.default_rng(seed)
        drawn, mask = drawn_defects.stain(surfaces.brushed_metal(SIZE, random), random)
        Image.fromarray(drawn.clip(0, 255).astype(np.uint8)).save(folder / f"stain-{seed}.png")
        masks[f"stain-{seed}.png"] = mask
    return folder, masks


def open_stains(stack, stains, title, backend_url):
    """Return project, backend and tasks of a project of its own, connected to a backend."""
    folder, _ = stains
    source = Source(title, f"{title} of {folder}", ("Stain", "Scratch"), tuple(sorted(folder.iterdir())))
    number = open_project(stack.api, source)
    tasks = import_images(stack.api, number, source, lambda *_: None)
    return number, stack.api.connect_backend(number, backend_url, BACKEND_TITLE), tasks


def predictions(stack, task):
    return ask(stack, "GET", f"/api/tasks/{task.id}/")["predictions"]


def accept(stack, tasks, masks):
    """Submit the true masks of tasks; return the annotations."""
    return [
        ask(stack, "POST", f"/api/tasks/{task.id}/annotations/", json={"result": [region("Stain", masks[task.name])]})
        for task in tasks
    ]


def check_predictions(stack, number, tasks, masks):
    """Have Label Studio ask about tasks, and check that it then shows their stains with their label."""
    stack.api.retrieve_predictions(number, [task.id for task in tasks])
    for task in tasks:
        (prediction,) = predictions(stack, task)
        predicted = [decode_rle(region["value"]["rle"], SIZE) for region in prediction["result"]]
        assert {label for region in prediction["result"] for label in region["value"]["brushlabels"]} == {"Stain"}
        assert max(mask_iou(mask, masks[task.name]) for mask in predicted) >= 0.5
