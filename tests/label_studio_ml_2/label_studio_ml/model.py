"""The base class of models. What is kept is text, by project and key, and outlives the instances."""

import json

CACHE = {}


class LabelStudioMLBase:
    INITIAL_MODEL_VERSION = "0.0.1"
    TRAIN_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "START_TRAINING")

    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        if label_config is not None:
            self.use_label_config(label_config)
        if not self.model_version:
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    def setup(self):
        pass

    def use_label_config(self, label_config):
        self.set("label_config", label_config)

    def get(self, key):
        return CACHE.get((self.project_id, key))

    def set(self, key, value):
        if not isinstance(value, str):
            raise ValueError("Only text is kept")
        CACHE[self.project_id, key] = value

    @property
    def label_config(self):
        return self.get("label_config")

    @property
    def model_version(self):
        return self.get("model_version")

    @property
    def extra_params(self):
        return json.loads(self.get("extra_params") or "{}")

    def set_extra_params(self, extra_params):
        self.set("extra_params", extra_params)

    def predict(self, tasks, context=None, **kwargs):
        return None

    def fit(self, event, data, **additional_params):
        return None
