import cv2
import numpy as np
import pytest

from sam_backend.demo.demo_images import LABELS, make_images, write_data_set
from sam_evaluation.datasets.mask_folder import MaskFolder


@pytest.mark.slow
def test_the_images_are_the_same_every_time():
    for one, other in zip(make_images(), make_images(), strict=True):
        assert one.name == other.name
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.mask, other.mask)


def test_every_image_shows_one_defect_that_differs_from_its_surroundings():
    images = list(make_images())
    assert len(images) == 12
    assert {image.label for image in images} == set(LABELS)
    for image in images:
        parts, _ = cv2.connectedComponents(image.mask.astype(np.uint8))
        assert parts == 2, image.name  # the background and one defect
        assert 0.005 < image.mask.mean() < 0.1, image.name
        ring = cv2.dilate(image.mask.astype(np.uint8), np.ones((25, 25))).astype(bool) & ~image.mask
        inside, outside = image.pixels[image.mask].mean(), image.pixels[ring].mean()
        assert abs(inside - outside) > 8, image.name


@pytest.mark.slow
def test_files_are_written_once(tmp_path):
    files = write_data_set(tmp_path)
    files[0].write_bytes(b"an annotator's own")
    assert write_data_set(tmp_path) == files
    assert files[0].read_bytes() == b"an annotator's own"
    assert sorted((tmp_path / "images").iterdir()) == sorted(files)
    assert cv2.imread(str(files[1])).shape == next(i for i in make_images() if i.name == files[1].name).pixels.shape


@pytest.mark.slow
def test_the_files_are_a_data_set_with_exact_masks_that_an_evaluation_reads(tmp_path):
    write_data_set(tmp_path)
    for image in make_images():
        (read,) = MaskFolder(tmp_path).load(image.name).objects
        assert (read.label, np.array_equal(read.mask, image.mask)) == (image.label, True)
