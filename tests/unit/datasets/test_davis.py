"""Videos in the layout of DAVIS, and a tracker measured on them."""

import numpy as np
import pytest
from PIL import Image

from moving_shapes import moving_shapes
from sam_backend.errors import BadRequestError
from sam_backend.progress import no_progress
from sam_backend.samples import Cropped
from sam_backend.segmenters.tracking import TrackedMask
from sam_evaluation.datasets.davis import read_sequences
from sam_evaluation.video_evaluation import evaluate_tracker

CLIP = moving_shapes(2, frames=6, size=(60, 160))


def save(folder, name="crossing", resolution="", clip=CLIP):
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind / resolution / name).mkdir(parents=True)
    for index, frame in enumerate(clip.frames):
        labels = sum(number * mask[index].astype(np.uint8) for number, mask in clip.masks.items())
        Image.fromarray(frame).save(folder / "JPEGImages" / resolution / name / f"{index:05}.jpg")
        coloured = Image.fromarray(labels).convert("P")
        coloured.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        coloured.save(folder / "Annotations" / resolution / name / f"{index:05}.png")


class Knowing:
    """A tracker that knows where the objects are; from a frame on, it takes one for the other."""

    name = version = "knowing"

    def __init__(self, confused_from=99):
        self._confused_from = confused_from

    def start(self):
        return _Session(self._confused_from)


class _Session:
    def __init__(self, confused_from):
        self._confused_from, self._index = confused_from, -1

    def step(self, pixels, prompts):
        self._index += 1
        if not self._index:
            assert {number: prompt.mask.any() for number, prompt in prompts.items()} == {1: True, 2: True}
        other = {1: 2, 2: 1} if self._index >= self._confused_from else {1: 1, 2: 2}
        masks = {number: Cropped.of(CLIP.masks[other[number]][self._index]) for number in (1, 2)}
        return {number: TrackedMask(mask, 1.0, visible=bool(mask.area)) for number, mask in masks.items()}


@pytest.mark.parametrize("resolution", ["", "480p"])
def test_sequences_are_read_with_their_objects(tmp_path, resolution):
    save(tmp_path, resolution=resolution)
    (sequence,) = read_sequences(tmp_path)
    assert (sequence.name, len(sequence.images)) == ("crossing", 6)
    assert {number: mask.tolist() for number, mask in sequence.objects().items()} == {
        number: mask[0].tolist() for number, mask in CLIP.masks.items()
    }


def test_white_on_black_is_one_object(tmp_path):
    save(tmp_path)
    for path in (tmp_path / "Annotations" / "crossing").iterdir():
        Image.fromarray(np.asarray(Image.open(path)).astype(bool)).save(path)
    (sequence,) = read_sequences(tmp_path)
    assert list(sequence.objects()) == [1]


def test_a_tracker_that_is_right_has_all_scores_of_one(tmp_path):
    save(tmp_path)
    scores = evaluate_tracker(Knowing(), read_sequences(tmp_path), no_progress)
    assert (scores.region, scores.boundary, scores.switches) == (1.0, 1.0, {"crossing": 0})
    assert [(one.sequence, one.number) for one in scores.objects] == [("crossing", 1), ("crossing", 2)]


def test_the_first_and_the_last_frame_do_not_count_and_a_mistaken_identity_is_a_switch(tmp_path):
    save(tmp_path)
    last = evaluate_tracker(Knowing(confused_from=5), read_sequences(tmp_path), no_progress)
    assert (last.region, last.boundary) == (1.0, 1.0)
    assert last.switches == {"crossing": 2}
    two = evaluate_tracker(Knowing(confused_from=4), read_sequences(tmp_path), no_progress)
    assert two.region == pytest.approx(3 / 4)


def test_a_folder_of_another_layout_is_refused(tmp_path):
    with pytest.raises(BadRequestError, match=r"holds no videos; expected JPEGImages/<sequence>"):
        read_sequences(tmp_path)


def test_a_missing_or_broken_label_map_is_named_before_anything_is_followed(tmp_path):
    save(tmp_path)
    labels = tmp_path / "Annotations" / "crossing"
    (labels / "00003.png").unlink()
    with pytest.raises(BadRequestError, match=r"crossing of .* has no label map 00003\.png"):
        read_sequences(tmp_path)
    (labels / "00003.png").write_bytes(b"x")
    (labels / "00000.png").write_bytes(b"x")
    with pytest.raises(BadRequestError, match=r"00000\.png is no label map"):
        read_sequences(tmp_path)


def test_a_sequence_without_an_object_is_refused(tmp_path):
    save(tmp_path)
    Image.new("P", (160, 60)).save(tmp_path / "Annotations" / "crossing" / "00000.png")
    with pytest.raises(BadRequestError, match="has no object in its first frame"):
        read_sequences(tmp_path)
