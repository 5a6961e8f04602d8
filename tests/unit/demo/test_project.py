import cv2
import numpy as np
import pytest

from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.project import user_images


def test_images_are_taken_in_the_order_of_their_names(tmp_path):
    for name in ("b.png", "a.JPG", "c.bmp"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    assert [file.name for file in user_images(tmp_path).files] == ["a.JPG", "b.png", "c.bmp"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DemoError, match=r"nowhere should be a folder with images; there is no such folder\.$"):
        user_images(tmp_path / "nowhere")


def test_for_a_folder_without_images_the_message_says_what_was_expected(tmp_path):
    with pytest.raises(DemoError, match=r"holds no image; expected files that end in \.bmp, \.jpeg"):
        user_images(tmp_path)


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    (tmp_path / "photo.png").write_text("text")
    with pytest.raises(DemoError, match=r"photo\.png is not an image"):
        user_images(tmp_path)
