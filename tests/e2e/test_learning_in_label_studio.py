"""Masks accepted in a real Label Studio teach the backend, which pre-annotates and orders tasks; boxes become masks."""

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import expect

from label_studio_ml_1 import running
from labeling_page import ARTIFACTS
from project_steps import ask, sam_inspect, wait_for_examples
from sam_backend.demo.project import BACKEND_TITLE, Source, import_images
from sam_backend.demo.prompting import Prompter
from sam_backend.labelstudio.region_masks import region_mask
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import deepest_point, mask_box, mask_iou
from stain_project import ASKED, SIZE, TAUGHT, accept, check_predictions, open_stains, predictions
from waiting import wait_for


def agreement(stack, number):
    """Return the uid of a project, and how its proposals fared; None where no annotation was compared yet."""
    projects = httpx.get(f"{stack.backend_url}/status", timeout=60, trust_env=False).json()["projects"]
    uid = next(uid for uid in projects if uid.startswith(f"{number}."))
    told = projects[uid]["agreement"]["all"]
    return (uid, told) if told["annotations"] else None


def test_accepted_masks_become_labelled_pre_annotations_and_an_order(stack, home, stains, labeling, browser):
    number, _, tasks = open_stains(stack, stains, "Stains", stack.backend_url)
    _, masks = stains
    made = accept(stack, tasks[:TAUGHT], masks)
    wait_for_examples(home / "backend", number, TAUGHT)

    check_predictions(stack, number, tasks[TAUGHT:], masks)

    rebuilt = sam_inspect(home, stack, "memory", "rebuild", "--project", str(number))
    assert f"{TAUGHT} of {TAUGHT} annotations are examples" in rebuilt
    written = sam_inspect(home, stack, "preannotate", "--project", str(number))
    assert f"{ASKED} tasks have a prediction" in written
    sam_inspect(home, stack, "rank", "--project", str(number), "--strategy", "random", "--seed", "1", "--queue")
    scores = {task.id: [prediction["score"] for prediction in predictions(stack, task)] for task in tasks[TAUGHT:]}
    assert sorted(score for (score,) in scores.values()) == [0.0, 0.3333, 0.6667]
    following = ask(stack, "POST", "/api/dm/actions/", params={"id": "next_task", "project": number}, json={})
    assert scores[following["id"]] == [0.0]

    ask(stack, "DELETE", f"/api/annotations/{made[0]['id']}/")
    wait_for_examples(home / "backend", number, TAUGHT - 1)

    # An annotator submits a task as it was proposed, and an operator sees it.
    labeling.open_task(number, tasks[-1].id, SIZE)
    labeling.submit()
    uid, told = wait_for(lambda: agreement(stack, number))
    assert told["annotations"] == 1
    assert told["proposals"] == told["outcomes"]["unchanged"] > 0
    assert (told["iou"], told["unchanged_share"]) == (1, 1)
    page = browser.new_page()
    page.goto(f"{stack.backend_url}/status?project={uid}")
    expect(page.get_by_role("img", name="Agreement of proposals with annotators by day")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Stains")
    page.screenshot(path=ARTIFACTS / "status-of-a-project.png", full_page=True)
    page.close()


def test_boxes_of_a_detector_become_masks(stack, home, stains, tmp_path):
    number, _, tasks = open_stains(stack, stains, "Boxes", stack.backend_url)
    _, masks = stains
    for task in tasks[:2]:
        box = mask_box(masks[task.name])
        region_of_box = rectangle("Stain", box, SIZE)
        body = {"task": task.id, "model_version": "detector-1", "score": 0.8, "result": [region_of_box]}
        ask(stack, "POST", "/api/predictions/", json=body)

    sheet = tmp_path / "sheet.png"
    shown = sam_inspect(home, stack, "convert", "--project", str(number), "--dry-run", str(sheet))
    assert "shows 2 masks on 2 images; nothing else was written" in shown
    assert Image.open(sheet).size == (640, 338)
    assert "2 tasks have a new prediction, with 2 masks" in sam_inspect(
        home, stack, "convert", "--project", str(number)
    )
    for task in tasks[:2]:
        made = [one for one in predictions(stack, task) if one["model_version"].endswith("-boxes")]
        ((found,),) = (one["result"] for one in made)
        assert mask_iou(decode_rle(found["value"]["rle"], SIZE), masks[task.name]) >= 0.5
    assert "2 had one from an earlier run" in sam_inspect(home, stack, "convert", "--project", str(number))

    annotated = sam_inspect(home, stack, "convert", "--project", str(number), "--annotate", "--again")
    assert "2 tasks have a new annotation, with 2 masks" in annotated
    (annotation,) = ask(stack, "GET", f"/api/tasks/{tasks[0].id}/")["annotations"]
    assert [entry["type"] for entry in annotation["result"]] == ["brushlabels"]


def rectangle(label, box, size):
    """Return a region of the control `box` around a box xyxy in an image of `size` (H, W)."""
    (left, top, right, bottom), (height, width) = box, size
    value = {"x": 100 * left / width, "y": 100 * top / height, "rotation": 0, "rectanglelabels": [label]}
    value |= {"width": 100 * (right - left) / width, "height": 100 * (bottom - top) / height}
    names = {"id": "box1", "type": "rectanglelabels", "from_name": "box", "to_name": "image"}
    return {**names, "original_width": width, "original_height": height, "image_rotation": 0, "value": value}


BOXES_ONLY = """<View><Image name="image" value="$image"/>
    <KeyPointLabels name="click" toName="image" smart="true"><Label value="Stain"/></KeyPointLabels>
    <RectangleLabels name="box" toName="image" smart="true"><Label value="Stain"/></RectangleLabels></View>"""


def test_a_project_of_boxes_alone_is_pre_annotated_and_a_click_gives_a_box(stack, home, stains, labeling):
    folder, masks = stains
    number = stack.api.create_project("Boxes alone", "Boxes alone", BOXES_ONLY)
    source = Source("Boxes alone", "Boxes alone", ("Stain",), tuple(sorted(folder.iterdir())))
    tasks = import_images(stack.api, number, source, lambda *_: None)
    stack.api.connect_backend(number, stack.backend_url, BACKEND_TITLE)
    for task in tasks[:TAUGHT]:
        box = rectangle("Stain", mask_box(masks[task.name]), SIZE)
        ask(stack, "POST", f"/api/tasks/{task.id}/annotations/", json={"result": [box]})
    wait_for_examples(home / "backend", number, TAUGHT)

    stack.api.retrieve_predictions(number, [task.id for task in tasks[TAUGHT:]])
    for task in tasks[TAUGHT:]:
        (prediction,) = predictions(stack, task)
        assert {one["type"] for one in prediction["result"]} == {"rectanglelabels"}
        assert {label for one in prediction["result"] for label in one["value"]["rectanglelabels"]} == {"Stain"}
        assert max(box_iou(region_mask(one), masks[task.name]) for one in prediction["result"]) >= 0.5

    # A task without a prediction, which a click would otherwise go to.
    last = tasks[TAUGHT - 1]
    labeling.open_task(number, last.id, SIZE)
    labeling.choose_smart_tool("key-point-tool")
    asked = labeling.click(deepest_point(masks[last.name]), label="Stain")
    assert asked.region["type"] == "rectanglelabels"
    assert box_iou(region_mask(asked.region), masks[last.name]) >= 0.5
    labeling.accept()
    labeling.screenshot("boxes-alone")


def box_iou(region, mask):
    """Return the IoU of a rectangle's pixels with the box around a mask."""
    left, top, right, bottom = mask_box(mask)
    box = np.zeros_like(mask)
    box[top:bottom, left:right] = True
    return mask_iou(region, box)


def test_a_model_in_the_server_of_label_studio_ml_answers_and_learns_as_our_service(stack, stains, tmp_path):
    _, masks = stains
    with running(tmp_path, "nano") as server:
        number, connection, tasks = open_stains(stack, stains, "Stains, label-studio-ml", server.url)
        last = tasks[-1]
        rows, columns = np.nonzero(masks[last.name])
        box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
        prompter = Prompter(stack.api, connection, last, SIZE, "Stain")
        assert mask_iou(prompter.box(*box).mask, masks[last.name]) >= 0.5

        accept(stack, tasks[:TAUGHT], masks)
        # That server handles webhooks in processes of their own; it learns at the next request.
        remembered = tmp_path / "home" / "memory"
        wait_for(lambda: len(list(remembered.glob(f"{number}.*/annotations/*.json"))) == TAUGHT)
        prompter.box(*box)
        wait_for_examples(tmp_path / "home", number, TAUGHT)
        check_predictions(stack, number, tasks[TAUGHT:], masks)
