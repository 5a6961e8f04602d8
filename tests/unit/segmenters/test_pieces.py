"""Which piece of a mask a click is on."""

from __future__ import annotations

import numpy as np

from sam_backend.segmenters.pieces import clicked_pieces

PIECES = np.array(
    [
        [1, 1, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ],
    bool,
)


def at(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, np.float32).reshape(-1, 2)


def test_pieces_that_no_click_is_on_are_dropped_and_corners_join() -> None:
    kept = clicked_pieces(PIECES, at((0.9, 0.2)))
    assert kept.tolist() == [
        [True, True, False, False, False],
        [False, False, True, False, False],
        [False] * 5,
        [False] * 5,
    ]
    np.testing.assert_array_equal(clicked_pieces(PIECES, at((1, 0), (4, 1), (0, 3))), PIECES)


def test_a_click_beside_all_pieces_drops_none_and_one_outside_counts_for_the_edge() -> None:
    np.testing.assert_array_equal(clicked_pieces(PIECES, at((2.5, 2.5))), PIECES)
    np.testing.assert_array_equal(clicked_pieces(PIECES, at()), PIECES)
    assert np.argwhere(clicked_pieces(PIECES, at((-7, 99)))).tolist() == [[3, 0]]
