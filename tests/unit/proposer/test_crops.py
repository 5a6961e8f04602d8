"""Training crops show objects at the scale at which the proposer sees them."""

import numpy as np
import pytest

from sam_backend.proposer.crops import CropSource, label_map
from sam_backend.proposer.scale import ImageFacts, least_area, scale_for
from sam_backend.samples import Object, Sample

CLASSES = ("pit", "crack")


def sample(*objects, size=(1000, 1000)):
    """Return an image with objects (label, rows, columns)."""
    made = []
    for label, rows, columns in objects:
        mask = np.zeros(size, bool)
        mask[rows, columns] = True
        made.append(Object(mask, label))
    return Sample("one", np.full((*size, 3), 90, np.uint8), tuple(made))


def source_of(*samples, scale=1.0, side=192):
    return CropSource([ImageFacts.of(one) for one in samples], samples.__getitem__, CLASSES, scale, side)


PIT = ("pit", slice(700, 710), slice(300, 310))


def test_of_objects_that_overlap_the_smaller_one_counts():
    painted = label_map(sample(PIT, ("crack", slice(600, 800), slice(200, 400))), CLASSES)
    assert painted[705, 305] == 1
    assert painted[650, 250] == 2
    assert (painted == 0).sum() == 1000 * 1000 - 200 * 200


def test_most_crops_of_a_large_image_show_its_tiny_object_at_its_own_size():
    source = source_of(sample(PIT))
    rng = np.random.default_rng(0)
    areas = np.array([(source.draw(rng).labels == 1).sum() for _ in range(40)])
    assert (areas > 0).mean() > 0.55
    assert 70 < np.median(areas[areas > 0]) < 190


def test_a_rare_class_is_seen_more_often_than_its_share_of_the_objects():
    pits = [("pit", slice(20 * n, 20 * n + 10), slice(20, 30)) for n in range(40)]
    source = source_of(sample(*pits), sample(("crack", slice(500, 510), slice(500, 510))), side=64)
    rng = np.random.default_rng(0)
    shown = [(source.draw(rng).labels == 2).any() for _ in range(200)]
    assert np.mean(shown) > 0.06  # by its share it would be 0.7 / 41


def test_the_same_generator_draws_the_same_crop():
    source = source_of(sample(PIT), side=96)
    one, other = (source.draw(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_images_without_objects_show_background():
    crop = source_of(sample(size=(50, 70)), side=96).draw(np.random.default_rng(0))
    assert crop.image.shape == (96, 96, 3)
    assert not crop.labels.any()


@pytest.mark.parametrize(
    ("objects", "size", "scale"),
    [
        ([PIT], (1000, 1000), 1.0),
        ([("crack", slice(0, 400), slice(0, 400))], (1000, 2048), 0.25),
        ([("crack", slice(0, 24), slice(0, 24))], (1000, 2048), 0.5),
        ([("crack", slice(0, 100), slice(0, 100))], (200, 200), 1.0),
        ([("crack", slice(0, 8), slice(0, 8))], (200, 200), 1.5),
        ([("crack", slice(0, 4), slice(0, 4))], (200, 200), 2.0),
        ([("crack", slice(0, 4), slice(0, 4))], (200, 640), 1.2),
        ([], (1024, 512), 0.5),
    ],
)
def test_images_are_shrunk_or_enlarged_as_their_small_objects_ask_for(objects, size, scale):
    assert scale_for([ImageFacts.of(sample(*objects, size=size))]) == scale


def test_a_region_must_have_half_the_pixels_of_a_small_object():
    pit = ImageFacts.of(sample(PIT))
    assert least_area([pit], 1.0) == 50
    assert least_area([pit], 0.5) == 12
    assert least_area([ImageFacts.of(sample())], 1.0) == 6
