"""The common pattern of a SAM backend, to compare with: `python tests/benchmarks/rival.py` listens on a free port.

Flask with threads and one lock around the model; the image is fetched by its address, encoded when it is first clicked,
and its embedding kept; the mask is packed by `label_studio_sdk`. The weights are those of `nano`, so that the
comparison is about all the rest.
"""

import io
import sys
from collections import OrderedDict
from threading import Lock

# The folder of this file would hide the package `click`, which Flask needs.
sys.path.pop(0)

import numpy as np
import requests
from flask import Flask, jsonify, request
from label_studio_sdk.converter import brush
from PIL import Image

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.nano.segmenter import NanoSegmenter

KEPT = 100
"""Embeddings that are kept, as in HumanSignal's example."""

app = Flask(__name__)
model, lock, embeddings = NanoSegmenter(), Lock(), OrderedDict()


@app.get("/health")
def health():
    return jsonify(status="UP")


@app.post("/predict")
def predict():
    body = request.get_json()
    task, drawn = body["tasks"][0], body["params"]["context"]["result"]
    width, height = drawn[0]["original_width"], drawn[0]["original_height"]
    points = [(region["value"]["x"] * width / 100, region["value"]["y"] * height / 100) for region in drawn]
    labels = [int(region.get("is_positive", True)) for region in drawn]
    with lock:
        url = task["data"]["image"]
        if url not in embeddings:
            file = requests.get(url, timeout=60).content
            embeddings[url] = model.encode(np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
            if len(embeddings) > KEPT:
                embeddings.popitem(last=False)
        prompt = Prompt(np.array(points, np.float32), np.array(labels, np.int64))
        candidates = model.decode(embeddings[url], [prompt])[0]
    rle = brush.mask2rle(candidates.masks[0].astype(np.uint8) * 255)
    value = {"format": "rle", "rle": rle, "brushlabels": drawn[0]["value"]["keypointlabels"]}
    region = {"from_name": "brush", "to_name": "image", "type": "brushlabels", "value": value}
    return jsonify(
        results=[{"result": [region], "score": float(candidates.predicted_iou[0]), "model_version": "rival"}]
    )


if __name__ == "__main__":
    app.run("127.0.0.1", 0, threaded=True)
