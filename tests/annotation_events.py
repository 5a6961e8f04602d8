"""Webhooks about annotations of coloured squares, and images to find such squares in."""

from colour_segmenter import surface
from label_studio_requests import data_url, png
from sam_backend.labelstudio.rle import encode_rle

CONFIG = """<View><Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="red"/><Label value="green"/></BrushLabels></View>"""
PROJECT_BODY = {"id": 1, "created_at": "2026-11-23T05:20:01.714782Z", "label_config": CONFIG}
TAUGHT = surface(1, red=[(20, 30)], green=[(100, 60)])
ASKED = surface(2, red=[(90, 80)], green=[(30, 20)])


def task(number, image):
    return {"id": number, "data": {"image": image if isinstance(image, str) else data_url(png(image))}}


def region(label, mask):
    height, width = mask.shape
    return {
        "id": label,
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": [label]},
    }


def event(action, *, number=1, second=0, image=TAUGHT[0], masks=TAUGHT[1], config=CONFIG, **more):
    annotation = {
        "id": number,
        "task": number,
        "updated_at": f"2026-11-23T05:32:{second:02d}.747223Z",
        "was_cancelled": False,
        "result": [region(label, mask) for label, mask in masks],
        **more,
    }
    project = PROJECT_BODY | {"label_config": config}
    return {"action": action, "annotation": annotation, "project": project, "task": task(number, image)}


def deleted(*numbers):
    return {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": n} for n in numbers], "project": PROJECT_BODY}
