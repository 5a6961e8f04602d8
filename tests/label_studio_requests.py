"""Requests as Label Studio 1.23 sends them, and the image they are about."""

import base64
import io

import numpy as np
from PIL import Image

CONFIG = """<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <BrushLabels name="brush" toName="image"><Label value="Blowhole"/><Label value="Crack"/></BrushLabels>
  <KeyPointLabels name="kp" toName="image" smart="true">
    <Label value="Blowhole" smart="true"/><Label value="Crack" smart="true"/>
  </KeyPointLabels>
  <RectangleLabels name="rect" toName="image" smart="true">
    <Label value="Blowhole"/><Label value="Crack"/>
  </RectangleLabels>
</View>"""
PROJECT = "1.1795411201"
HEIGHT, WIDTH = 40, 60


def defect_image():
    """A grey surface (100) with a bright square (200) at 20..30, and a dark one (0) at 40..50, both at rows 10..20."""
    pixels = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    pixels[10:20, 20:30] = 200
    pixels[10:20, 40:50] = 0
    return pixels


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(file):
    return "data:image/png;base64," + base64.b64encode(file).decode()


def task(image=None, number=1, **more):
    return {"id": number, "data": {"image": data_url(png(defect_image())) if image is None else image}, **more}


def click(x, y, label="Blowhole", *, positive=True):
    """A smart key point at a pixel of the defect image."""
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.4, "keypointlabels": [label]}
    region = {"type": "keypointlabels", "from_name": "kp", "value": value, "is_positive": positive}
    return region | _frame(f"click {x} {y}")


def rectangle(left, top, right, bottom, label="Crack"):
    value = {
        "x": 100 * left / WIDTH,
        "y": 100 * top / HEIGHT,
        "width": 100 * (right - left) / WIDTH,
        "height": 100 * (bottom - top) / HEIGHT,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    region = {"type": "rectanglelabels", "from_name": "rect", "value": value}
    return region | _frame(f"box {left} {top} {right} {bottom}")


def interactive(*drawn, image=None, config=CONFIG, project=PROJECT, **task_fields):
    return _predict([task(image, **task_fields)], {"result": list(drawn)}, config, project)


def batch(*tasks, config=CONFIG, project=PROJECT):
    return _predict(list(tasks), None, config, project)


def _predict(tasks, context, config, project):
    params = {"login": None, "password": None, "context": context}
    return {"tasks": tasks, "project": project, "label_config": config, "params": params}


def _frame(id_):
    return {
        "id": id_,
        "to_name": "image",
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
    }
