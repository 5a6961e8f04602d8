"""Prompts as a user writes them, and what is wrong with them, said before any work."""

import numpy as np
import pytest
from PIL import Image

from sam_backend.errors import BadRequestError
from sam_backend.video.prompts import by_frame, check_prompts, read_prompts
from sam_backend.video.reading import open_video


def test_a_box_clicks_and_a_label_with_commas_and_slashes():
    box, clicks = read_prompts(["frame=3,box=1,2.5,30,40,label=nuts, bolts/M8", "frame=0,click=5,6,not=7,8,click=9,1"])
    assert (box.frame, box.number, box.label, box.prompt.box.tolist()) == (3, 1, "nuts, bolts/M8", [1, 2.5, 30, 40])
    assert (clicks.number, clicks.label) == (2, "")
    assert clicks.prompt.points.tolist() == [[5, 6], [9, 1], [7, 8]]
    assert clicks.prompt.labels.tolist() == [1, 1, 0]


def test_a_prompt_with_the_id_of_an_object_corrects_it():
    prompts = read_prompts(["frame=0,box=1,2,3,4,label=a", "frame=5,id=1,click=3,3", "frame=0,box=5,5,9,9"])
    assert [(one.number, one.label) for one in prompts] == [(1, "a"), (1, "a"), (2, "")]
    assert {frame: list(asked) for frame, asked in by_frame(prompts).items()} == {0: [1, 2], 5: [1]}


def test_a_mask_is_the_object_itself(tmp_path):
    mask = np.zeros((8, 9), np.uint8)
    mask[2:4, 3:5] = 255
    Image.fromarray(mask).save(tmp_path / "a,b.png")
    (one,) = read_prompts([f"frame=0,mask={tmp_path / 'a,b.png'},label=part"])
    assert (one.prompt.mask == (mask > 0)).all()
    assert one.label == "part"


def test_a_damaged_mask_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((8, 9), 255, np.uint8)).save(path)
    file = path.read_bytes()
    length = file.index(b"IDAT") - 1
    path.write_bytes(file[:length] + b"\0" + file[length + 1 :])
    with pytest.raises(BadRequestError, match=r"The mask of the prompt .* cannot be read: broken PNG file"):
        read_prompts([f"frame=0,mask={path}"])


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["box=1,2,3,4"], "cannot be read; expected frame=0,box="),
        (["frame=0,bbox=1,2,3,4"], "is a whole number"),
        (["hello,frame=0,box=1,2,3,4"], "cannot be read"),
        (["frame=0,box=1,2,3"], "'1,2,3' is not 4 numbers"),
        (["frame=0,box=1,2,nan,4"], "is not 4 numbers"),
        (["frame=-1,box=1,2,3,4"], "is a whole number, 0 or more; got '-1'"),
        (["frame=0,label=a"], "does not say where the object is"),
        (["frame=0,not=1,2"], "does not say where the object is"),
        (["frame=0,box=1,2,3,4,box=1,2,3,4"], "has box twice"),
        (["frame=0,box=5,5,2,9"], "A box is x0, y0, x1, y1"),
        (["frame=0,mask=/no/such.png"], "cannot be read: No such file"),
        (["frame=0,mask=a.png,click=1,2"], "has a mask, which stands alone"),
        (["frame=0,id=1,box=1,2,3,4", "frame=0,id=1,click=1,2"], "Object 1 has two prompts in frame 0"),
        (["frame=0,id=1,box=1,2,3,4,label=a", "frame=1,id=1,click=1,2,label=b"], "has two labels, 'a' and 'b'"),
    ],
)
def test_a_wrong_prompt_is_refused_in_one_sentence(texts, says):
    with pytest.raises(BadRequestError, match=says):
        read_prompts(texts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frame=12,box=1,2,30,40", r"is about frame 12; .*clip.mp4 has 12 frames, the last one is 11"),
        ("frame=0,box=310,20,330,40", "lies outside of the frames of .*, which are 320 x 96 pixels"),
        ("frame=0,click=10,96", "lies outside of the frames"),
    ],
)
def test_a_prompt_that_is_not_in_the_video_is_refused(clip_file, text, says):
    with pytest.raises(BadRequestError, match=says):
        check_prompts(read_prompts([text]), open_video(clip_file))


def test_a_mask_of_another_size_is_refused(clip_file, tmp_path):
    Image.fromarray(np.full((8, 9), 255, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(BadRequestError, match=r"is 9 x 8 pixels; the frames of .* are 320 x 96"):
        check_prompts(read_prompts([f"frame=0,mask={tmp_path / 'mask.png'}"]), open_video(clip_file))
