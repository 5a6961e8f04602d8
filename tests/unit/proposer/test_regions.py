"""Shares of classes at each pixel become regions."""

import numpy as np

from sam_backend.proposer.regions import find_regions


def shares(*places, size=(40, 60)):
    """Return shares of three classes: each place is (class, rows, columns, share)."""
    values = np.zeros((3, *size), np.float32)
    for index, rows, columns, share in places:
        values[index, rows, columns] = share
    values[0] = 1 - values[1:].sum(0)
    return values


def test_each_connected_component_of_a_class_is_a_region_the_surest_first():
    found = find_regions(
        shares(
            (1, slice(2, 6), slice(2, 6), 0.9),
            (1, slice(20, 30), slice(20, 30), 0.9),
            (2, slice(20, 30), slice(30, 35), 0.8),
        ),
        least_area=6,
    )
    assert [(region.index, region.shown.area) for region in found] == [(0, 100), (0, 16), (1, 50)]
    assert found[0].shown.mask[20:30, 20:30].all()
    assert found[0].shown.mask.sum() == 100


def test_specks_are_left_out():
    assert find_regions(shares((1, slice(2, 4), slice(2, 4), 0.9)), least_area=5) == []


def test_a_clear_region_promises_a_higher_iou_than_a_doubtful_one():
    place = (slice(10, 20), slice(10, 20))
    clear = find_regions(shares((1, *place, 0.99)), 6)[0]
    doubtful = find_regions(shares((1, slice(7, 23), slice(7, 23), 0.45), (1, *place, 0.6)), 6)[0]
    assert clear.odds > 4 > 1 > doubtful.odds


def test_objects_that_touch_at_a_low_share_are_two_and_an_object_with_weak_places_is_one():
    two = ((1, slice(10, 20), slice(10, 20), 0.95), (1, slice(10, 20), slice(30, 40), 0.95))
    bridge = (1, slice(14, 15), slice(20, 30), 0.3)
    assert sorted(region.shown.area for region in find_regions(shares(*two, bridge), 6)) == [100, 100]
    weak = (1, slice(10, 20), slice(20, 24), 0.7)
    halves = ((1, slice(10, 20), slice(10, 20), 0.9), (1, slice(10, 20), slice(24, 34), 0.9))
    assert [region.shown.area for region in find_regions(shares(*halves, weak), 6)] == [240]


def test_another_region_nearby_is_no_doubt_about_this_one():
    place = (1, slice(10, 20), slice(10, 20), 0.99)
    alone = find_regions(shares(place), 6)[0]
    (_, beside) = find_regions(shares(place, (1, slice(10, 20), slice(22, 40), 0.99)), 6)
    assert beside.odds == alone.odds
