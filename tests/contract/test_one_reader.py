"""Memory, fine-tuning with its gate, the evaluation of an export and the report of the saving see the same masks."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from loopback import serving
from sam_backend.core.accepted_records import accepted_masks, make_records
from sam_backend.finetune.examples import read_examples
from sam_backend.labelstudio.accepted import fetch_accepted
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.messages import Annotation, Task
from sam_backend.labelstudio.rle import encode_rle
from sam_backend.labelstudio.servers import Server
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.errors import EvaluationError
from sam_evaluation.prediction_changes import read_changes
from tokens import LEGACY

SIZE = (90, 120)
CONFIG = """<View><Image name="image" {value}/>
<RectangleLabels name="box" toName="image" smart="true"><Label value="Pit"/></RectangleLabels>
<BrushLabels name="mask" toName="image"><Label value="Pit"/></BrushLabels></View>"""


def brush(name, top, left, **more):
    mask = np.zeros(SIZE, bool)
    mask[top : top + 10, left : left + 10] = True
    value = {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Pit"]}
    return region(name, "mask", "brushlabels", value, **more)


def box(name, top, left, side=60, **more):
    share = {"x": left / 1.2, "y": top / 0.9, "width": side / 1.2, "height": side / 0.9, "rotation": 0}
    return region(name, "box", "rectanglelabels", {**share, "rectanglelabels": ["Pit"]}, **more)


def region(name, control, kind, value, **more):
    frame = {"original_height": SIZE[0], "original_width": SIZE[1], "image_rotation": 0}
    return {"id": name, "from_name": control, "to_name": "image", "type": kind, "value": value, **frame, **more}


class Readers:
    """One task with one annotation, read in every way; the masks by the image's grey level."""

    def __init__(self, folder, data, result, value):
        self._folder, self._data, self._result = folder, data, result
        self._config = CONFIG.format(value=value)

    def _pictures(self):
        for level, address in enumerate(address for value in self._data.values() for address in np.atleast_1d(value)):
            picture = io.BytesIO()
            Image.fromarray(np.full((*SIZE, 3), 10 * level, np.uint8)).save(picture, "PNG")
            yield 10 * level, str(address), picture.getvalue()

    def _export(self):
        """The task as Label Studio exports it, beside its images; the prediction that was accepted is the same."""
        folder = self._folder / "exported"
        folder.mkdir()
        for _, address, content in self._pictures():
            (folder / address.rpartition("/")[2]).write_bytes(content)
        task = self._task()
        (folder / "export.json").write_text(json.dumps([task]))
        return folder / "export.json"

    def _task(self):
        annotation = {"id": 9, "result": self._result, "updated_at": "2026-01-01", "parent_prediction": 4}
        prediction = {"id": 4, "result": self._result, "model_version": "nano-1"}
        return {"id": 5, "data": self._data, "annotations": [annotation], "predictions": [prediction]}

    def memory(self):
        levels = {address: level for level, address, _ in self._pictures()}
        records = make_records(Annotation(id=9, result=self._result), Task(id=5, data=self._data), self._config)
        return {
            levels[record.image]: [mask.mask for mask in accepted_masks(record)]
            for record in records
            if record.is_usable
        }

    def fine_tuning(self):
        with serving() as server:
            for _, address, content in self._pictures():
                server.routes[address] = content
            server.routes["/api/projects/7/"] = json.dumps({"label_config": self._config}).encode()
            server.routes["/api/projects/7/export"] = json.dumps([self._task()]).encode()
            images = TaskImages(timeout=5, max_pixels=10**6)
            export = fetch_accepted(Server(server.url, LEGACY), 7, self._folder / "fetched", images, timeout=5)
        # What is trained on, chosen by and, by the gate, judged on: the shares of the same examples.
        examples = read_examples(DatasetSpec("label_studio", export).open())
        return samples(examples.load(name) for names in examples.names.values() for name in names)

    def evaluation(self):
        dataset = DatasetSpec("label_studio", self._export()).open()
        return samples(dataset.load(name) for name in dataset.names())

    def saving(self):
        regions = read_changes(self._folder / "exported" / "export.json").regions
        assert set(regions["outcome"]) == {"unchanged"}
        return dict(zip(regions["region"], regions["accepted_area"], strict=True))


def samples(several):
    return {int(sample.image[0, 0, 0]): [each.mask for each in sample.objects] for sample in several}


def agree(readers, expected):
    read = [readers.memory(), readers.fine_tuning(), readers.evaluation()]
    for images in read:
        corners = {
            level: [tuple(int(side.min()) for side in np.nonzero(mask)) for mask in masks]
            for level, masks in images.items()
        }
        assert corners == expected
        assert {int(mask.sum()) for masks in images.values() for mask in masks} == {100}


def test_a_smart_box_beside_the_mask_it_asked_for_is_no_mask_for_any_reader(tmp_path):
    readers = Readers(
        tmp_path, {"image": "/data/upload/7/a.png"}, [box("b1", 5, 5), brush("m1", 20, 30)], 'value="$image"'
    )
    agree(readers, {0: [(20, 30)]})
    assert readers.saving() == {"m1": 100}


def test_masks_stay_on_their_page_for_every_reader(tmp_path):
    result = [
        brush("m1", 20, 30, item_index=0),
        box("b2", 30, 40, item_index=1),
        brush("m2", 40, 50, item_index=1),
        brush("m3", 60, 70, item_index=1),
    ]
    data = {"pages": ["/data/upload/7/a.png", "/data/upload/7/b.png", "/data/upload/7/c.png"]}
    readers = Readers(tmp_path, data, result, 'valueList="$pages"')
    agree(readers, {0: [(20, 30)], 10: [(40, 50), (60, 70)]})
    assert readers.saving() == {"m1": 100, "m2": 100, "m3": 100}


@pytest.mark.parametrize("prompt", [box("b1", 5, 5), region("p1", "click", "keypoint", {"x": 50, "y": 50, "width": 1})])
def test_prompts_alone_teach_nothing_and_are_no_background(tmp_path, prompt):
    readers = Readers(tmp_path, {"image": "/data/upload/7/a.png"}, [prompt], 'value="$image"')
    assert readers.memory() == {}
    with pytest.raises(EvaluationError, match="Expected: tasks with annotations that have masks"):
        readers.fine_tuning()
