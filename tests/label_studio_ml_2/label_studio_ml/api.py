"""The server: an instance of the model for each request."""

from flask import Flask, jsonify, request

from .exceptions import exception_handler
from .model import LabelStudioMLBase

_server = Flask(__name__)
MODEL_CLASS = LabelStudioMLBase
TRAIN_EVENTS = LabelStudioMLBase.TRAIN_EVENTS


def init_app(model_class, basic_auth_user=None, basic_auth_pass=None):
    global MODEL_CLASS
    if not issubclass(model_class, LabelStudioMLBase):
        raise ValueError("The model must be a LabelStudioMLBase")
    MODEL_CLASS = model_class
    return _server


@_server.post("/predict")
@exception_handler
def _predict():
    body = request.json
    params = body.get("params", {})
    context = params.pop("context", {})
    model = MODEL_CLASS(project_id=str(body.get("project")).split(".", 1)[0], label_config=body.get("label_config"))
    return jsonify(results=model.predict(body.get("tasks"), context=context, **params) or [])


@_server.post("/setup")
@exception_handler
def _setup():
    body = request.json
    model = MODEL_CLASS(project_id=body["project"].split(".", 1)[0], label_config=body.get("schema"))
    if body.get("extra_params"):
        model.set_extra_params(body["extra_params"])
    return jsonify(model_version=model.get("model_version"))


@_server.post("/webhook")
def _webhook():
    body = request.json
    event = body.pop("action")
    if event not in TRAIN_EVENTS:
        return jsonify(status="Unknown event"), 200
    project = body["project"]
    model = MODEL_CLASS(str(project["id"]), label_config=project["label_config"])
    return jsonify(result=model.fit(event, body), status="ok"), 201


@_server.get("/health")
@_server.get("/")
@exception_handler
def _health():
    return jsonify(status="UP", model_class=MODEL_CLASS.__name__)
