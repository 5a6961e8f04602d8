"""The common pattern of a SAM backend, to compare with: `python tests/benchmarks/rival.py` listens on a free port.

Flask with threads and one lock around `SamPredictor` of `segment-anything`; the image is fetched by its address,
encoded when it is first clicked, and its embedding kept; the mask is packed by `label_studio_sdk`. The weights are
those of `nano`, so that the comparison is about all the rest. With `--served`, the model is computed as `sam-inspect
serve` computes it, so that the comparison is about the server alone.
"""

import argparse
import io
import sys
from collections import OrderedDict
from pathlib import Path
from threading import Lock

# The folder of this file would hide the package `click`, which Flask needs.
sys.path.pop(0)

import numpy as np
import requests
from flask import Flask, jsonify, request
from label_studio_sdk.converter import brush
from PIL import Image

from sam_backend.segmenters import Prompt
from sam_backend.segmenters.nano import segmenter

KEPT = 100
"""Embeddings that are kept, as in HumanSignal's example."""


class Predictor:
    """`SamPredictor` with an embedding for each image."""

    def __init__(self):
        from segment_anything import SamPredictor

        from sam_backend.finetune.trainable import load_nano

        self._predictor = SamPredictor(load_nano(Path(segmenter.__file__).parent).eval())

    def encode(self, image):
        """Return what `SamPredictor` keeps of an image, uint8 RGB (H, W, 3)."""
        self._predictor.set_image(image)
        return {name: getattr(self._predictor, name) for name in ("features", "original_size", "input_size")}

    def answer(self, embedding, points, labels):
        """Return the best mask for clicks, bool (H, W), and its score."""
        vars(self._predictor).update(embedding, is_image_set=True)
        masks, scores, _ = self._predictor.predict(points, labels, multimask_output=True)
        return masks[scores.argmax()], scores.max()


class Served(segmenter.NanoSegmenter):
    """The model as it is served."""

    def answer(self, embedding, points, labels):
        """Return the best mask for clicks, bool (H, W), and its score."""
        candidates = self.decode(embedding, [Prompt(points, labels)])[0]
        return candidates.masks[candidates.best], candidates.predicted_iou[candidates.best]


app = Flask(__name__)
lock, embeddings = Lock(), OrderedDict()


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
        mask, score = model.answer(embeddings[url], np.array(points, np.float32), np.array(labels, np.int64))
    rle = brush.mask2rle(mask.astype(np.uint8) * 255)
    value = {"format": "rle", "rle": rle, "brushlabels": drawn[0]["value"]["keypointlabels"]}
    region = {"from_name": "brush", "to_name": "image", "type": "brushlabels", "value": value}
    return jsonify(results=[{"result": [region], "score": float(score), "model_version": "rival"}])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--served", action="store_true", help="compute the model as sam-inspect serve does")
    model = Served() if parser.parse_args().served else Predictor()
    app.run("127.0.0.1", 0, threaded=True)
