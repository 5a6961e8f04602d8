"""The part of the tutorial that needs Label Studio: its commands and its clicks, in the words of the page."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from project_steps import wait_for_examples
from sam_backend.demo.demo_images import make_images
from sam_backend.demo.project import BACKEND_TITLE, built_in_images, import_images, open_project, pre_annotate
from sam_backend.masks import deepest_point
from tutorial_page import agrees, blocks, welcome

DEMO, *COMMANDS = [block for block in blocks() if block.needs_label_studio]


def test_the_demo_of_the_tutorial_welcomes_as_the_page_shows(demo_interrupted, home):
    assert DEMO.commands == "sam-inspect demo --home first\n"
    label_studio, backend = demo_interrupted.ports
    printed = demo_interrupted.output.replace(f":{label_studio}", ":8080").replace(f":{backend}", ":9090")
    assert agrees(f"…\n{welcome()}\n…", printed), printed
    # What the commands without Label Studio work on.
    assert len(list((home / "images").iterdir())) == len(list((home / "masks").iterdir())) == 12


def test_a_click_teaches_what_the_next_image_shows(stack, home, labeling, tmp_path):
    source = replace(built_in_images(home), title="Tutorial", description="Tutorial")
    number = open_project(stack.api, source)
    tasks = import_images(stack.api, number, source, lambda *_: None)
    stack.api.connect_backend(number, stack.backend_url, BACKEND_TITLE)
    pre_annotate(stack.api, number, tasks[:1], lambda *_: None)

    image = next(make_images())
    labeling.open_task(number, tasks[0].id, image.size)
    labeling.choose_smart_tool("key-point-tool")
    labeling.click(deepest_point(image.mask), label="Stain")
    labeling.accept()
    labeling.submit()
    wait_for_examples(home / "backend", number, 1)

    (tmp_path / "first").symlink_to(home)
    for block in COMMANDS:
        commands = block.commands.replace("--project 1", f"--project {number}")
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SAM_INSPECT_HOME": "first/backend",
        }
        done = subprocess.run(
            ["bash", "-eu", "-c", commands], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed = done.stdout.replace(f"of task {tasks[0].id} ", "of task 1 ")
        assert agrees(block.shown, printed), f"{commands}\n{printed}"
    assert labeling.labels_of_regions(number, tasks[9].id, 1) == ["Stain"]
