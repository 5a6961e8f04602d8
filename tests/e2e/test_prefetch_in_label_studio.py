"""Images that are imported into a real Label Studio are encoded before the first click on them."""

import httpx
import numpy as np
import pytest
from PIL import Image

from sam_backend.demo import surfaces
from sam_backend.demo.project import BACKEND_TITLE, Source, import_images, open_project
from sam_backend.settings import Settings
from waiting import wait_for

SIZE = (300, 400)
IMAGES = 3


def status(stack):
    return httpx.get(f"{stack.backend_url}/status", timeout=60, trust_env=False).json()


def click_on(stack, connection, task):
    """Click as the page does, and return what `/status` says of all clicks."""
    value = {"x": 50, "y": 50, "width": 0.4, "keypointlabels": ["Stain"]}
    frame = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "to_name": "image"}
    drawn = {"id": f"click-{task}", "type": "keypointlabels", "from_name": "click", "value": value, "is_positive": True}
    stack.api.prompt(connection, task, [frame | drawn])
    return status(stack)["clicks"]


def next_task(stack, project):
    """Ask Label Studio for the task that `Label All Tasks` opens."""
    headers = {"Authorization": f"Token {stack.credentials.token}"}
    address = f"{stack.url}/api/dm/actions/?id=next_task&project={project}"
    return httpx.post(address, json={}, headers=headers, timeout=60, trust_env=False).json()["id"]


def wait_until_prefetched(stack, encoded):
    """Wait until so many images more were encoded, and none is left to encode."""
    wait_for(lambda: encodings(stack) >= encoded and not status(stack)["queue"]["prefetching"])


def encodings(stack):
    return stages(stack, 'stage="embedding"')


def stages(stack, labels):
    """Return how often a stage was done, by its labels."""
    text = httpx.get(f"{stack.backend_url}/metrics", timeout=60, trust_env=False).text
    counted = (line for line in text.splitlines() if f"stage_seconds_count{{{labels}" in line)
    return sum(float(line.split()[1]) for line in counted)


@pytest.fixture
def images(tmp_path):
    """Images that no other test has."""
    for number in range(IMAGES):
        pixels = surfaces.brushed_metal(SIZE, np.random.default_rng(4000 + number))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    return tuple(sorted(tmp_path.iterdir()))


def test_the_first_click_on_each_task_finds_its_image_encoded(stack, images):
    assert Settings().prefetch >= IMAGES
    source = Source("Prefetched", f"Prefetched {images[0]}", ("Stain",), images)
    # The demo's own project, which was connected before, is done.
    wait_for(lambda: stages(stack, 'stage="embedding_cache",work="background"') >= Settings().prefetch)
    number, before = open_project(stack.api, source), encodings(stack)
    connection = stack.api.connect_backend(number, stack.backend_url, BACKEND_TITLE)
    # With the tasks come webhooks.
    tasks = import_images(stack.api, number, source, lambda *_: None)
    wait_until_prefetched(stack, before + IMAGES)

    asked = status(stack)["clicks"]["images"]
    first = next_task(stack, number)
    assert first == tasks[0].id
    for done, task in enumerate([first, *(task.id for task in tasks[1:])], 1):
        clicks = click_on(stack, connection, task)
        assert clicks["images"].get("memory", 0) == asked.get("memory", 0) + done
        assert clicks["images"].get("encoder", 0) == asked.get("encoder", 0)
