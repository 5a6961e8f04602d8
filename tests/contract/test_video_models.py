"""Video models of `transformers`, frame by frame, against the package's own session with the whole video."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

import torch
import transformers as hub

from moving_shapes import moving_shapes
from sam_backend.core.trackers import load_tracker
from sam_backend.errors import WeightsError
from sam_backend.segmenters.entries import OWN
from sam_backend.segmenters.hub_entries import load_tracker_from_folder
from sam_backend.segmenters.model_info import WeightFolders
from sam_backend.segmenters.protocol import Prompt
from sam_backend.segmenters.video_models import MemoryTracker
from sam_backend.settings import Settings
from sam_backend.video.example_tracker import ExampleTracker
from tiny_hub_models import SIDE, WIDTH_OF_VIDEO, images_of, save_tiny

pytestmark = pytest.mark.slow

FAMILIES = {
    "sam2.1:tiny": (hub.Sam2VideoModel, hub.Sam2VideoProcessor, hub.Sam2VideoVideoProcessor),
    "edgetam": (hub.EdgeTamVideoModel, hub.Sam2VideoProcessor, hub.Sam2VideoVideoProcessor),
    "sam3": (hub.Sam3TrackerVideoModel, hub.Sam3TrackerVideoProcessor, hub.Sam2VideoVideoProcessor),
}
CLIP = moving_shapes(3, frames=24, size=(96, 160))
CLOSE = 1e-4


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return a function of a model's name that returns the folder of a tiny one."""
    root = tmp_path_factory.mktemp("tiny-video")

    @cache
    def made(name):
        folder = root / name.replace(":", "-")
        save_tiny(name.partition(":")[0], folder, WIDTH_OF_VIDEO)
        return folder

    return made


BOX, MASK = np.array(CLIP.box(1), np.float32), CLIP.masks[2][0]
CLICK = Prompt(np.array([[CLIP.box(2)[0] + 5, CLIP.box(2)[1] + 5]], np.float32), np.array([1]))
CORRECTION = Prompt(np.array([[40, 40], [5, 5]], np.float32), np.array([1, 0]), box=BOX + 3)
# Number of a frame -> number of an object -> prompt.
CLICKS = {0: {4: Prompt(box=BOX), 9: CLICK}, 3: {2: CLICK}, 6: {4: CORRECTION}}
MASKS = {0: {4: Prompt(mask=CLIP.masks[1][0]), 9: Prompt(mask=MASK)}}


def by_the_library(name, folder, prompts):
    """Return for each frame the objects, logits (K, h, w), object scores (K,) and masks (K, H, W)."""
    kind, processor_kind, videos_kind = FAMILIES[name]
    model = kind.from_pretrained(folder).eval()
    videos = videos_kind(size={"height": SIDE, "width": SIDE}, **_means(images_of(name.partition(":")[0])))
    processor = processor_kind(images_of(name.partition(":")[0]), videos)
    session = processor.init_video_session(video=CLIP.frames, inference_device="cpu", dtype=torch.float32)
    answers = []
    for frame in range(len(CLIP.frames)):
        for number, prompt in prompts.get(frame, {}).items():
            before = list(session.obj_with_new_inputs)
            given = {"frame_idx": frame, "obj_ids": number}
            if prompt.mask is not None:
                processor.add_inputs_to_inference_session(session, input_masks=prompt.mask, **given)
            else:
                if len(prompt.points):
                    given |= {"input_points": [[prompt.points.tolist()]], "input_labels": [[prompt.labels.tolist()]]}
                if prompt.box is not None:
                    given |= {"input_boxes": [[prompt.box.tolist()]]}
                processor.add_inputs_to_inference_session(session, **given)
            session.obj_with_new_inputs = [*before, number]
        answer = model(session, frame_idx=frame)
        masks = processor.post_process_masks([answer.pred_masks], [[96, 160]], binarize=True)[0]
        answers.append((answer.object_ids, answer.pred_masks[:, 0], answer.object_score_logits.flatten(), masks[:, 0]))
    return answers


def _means(images):
    return {"image_mean": images.image_mean, "image_std": images.image_std}


@pytest.mark.parametrize("prompts", [CLICKS, MASKS], ids=["clicks", "masks"])
@pytest.mark.parametrize("name", FAMILIES)
def test_masks_scores_and_logits_are_those_of_the_librarys_own_session(tiny, name, prompts, monkeypatch):
    tracker = load_tracker_from_folder(OWN[name], tiny(name), WeightFolders(None, tiny(name)))
    logits = []
    model = tracker._model
    monkeypatch.setattr(tracker, "_model", _Recording(model, logits))
    session = tracker.start()
    visible = 0
    for frame, (numbers, theirs, scores, masks) in enumerate(by_the_library(name, tiny(name), prompts)):
        found = session.step(CLIP.frames[frame], prompts.get(frame, {}))
        assert list(found) == numbers
        np.testing.assert_allclose(logits[-1], theirs.numpy(), atol=CLOSE)
        for one, score, mask in zip(found.values(), scores, masks, strict=True):
            assert one.score == pytest.approx(float(score.sigmoid()), abs=CLOSE)
            assert one.visible == bool(score > 0 and mask.any())
            visible += one.visible
            if one.visible:
                assert np.mean(one.mask.mask != mask.numpy()) <= CLOSE
    assert visible


class _Recording:
    """A model whose logits are kept."""

    def __init__(self, model, logits):
        self._model, self._logits = model, logits
        self.config = model.config

    def __call__(self, *given, **named):
        answer = self._model(*given, **named)
        self._logits.append(answer.pred_masks[:, 0].numpy())
        return answer


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_kept_of_a_video_does_not_grow_with_it(tiny, name):
    tracker = load_tracker_from_folder(OWN[name], tiny(name), WeightFolders(None, tiny(name)))
    session = tracker.start()
    kept = []
    for frame in range(40):
        session.step(CLIP.frames[frame % 24], {1: Prompt(box=CLIP.box(1))} if not frame else {})
        kept.append(sum(len(outputs) for outputs in session._session.output_dict_per_obj[0].values()))
    assert kept[-1] == kept[-10] < 20
    assert not session._session.processed_frames


@pytest.mark.parametrize("name", FAMILIES)
def test_one_frame_may_have_objects_given_by_their_masks_and_others(tiny, name):
    session = load_tracker_from_folder(OWN[name], tiny(name), WeightFolders(None, tiny(name))).start()
    for frame in range(3):
        found = session.step(CLIP.frames[frame], {1: Prompt(box=BOX), 2: Prompt(mask=MASK)} if not frame else {})
        assert list(found) == [1, 2]


def test_the_command_takes_the_memory_of_a_model_that_has_one(tiny, tmp_path):
    settings = Settings(home=tmp_path, cache=tmp_path)
    tracker = load_tracker(settings, "sam2.1:tiny", tiny("sam2.1:tiny"))
    assert isinstance(tracker, MemoryTracker)
    assert tracker.version.startswith("sam2.1:tiny-")
    assert isinstance(load_tracker(settings, "nano", None), ExampleTracker)


def test_a_folder_of_the_model_for_images_alone_is_refused(tiny, tmp_path):
    folder = tiny("sam2.1:tiny")
    hub.Sam2Model.from_pretrained(folder).save_pretrained(tmp_path)
    images_of("sam2.1").save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"its config.json is of 'sam2', expected sam2_video"):
        load_tracker_from_folder(OWN["sam2.1:tiny"], tmp_path, WeightFolders(None, tmp_path))
