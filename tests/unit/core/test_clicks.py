import numpy as np

from sam_backend.core.clicks import Clicks
from sam_backend.labelstudio.mask_runs import MaskRuns


def clicks(*triples):
    return Clicks(np.array([(x, y) for x, y, _ in triples], np.float32), np.array([label for *_, label in triples]))


def as_triples(those):
    return [(*point, label) for point, label in zip(those.points.tolist(), those.labels.tolist(), strict=True)]


def test_of_clicks_at_one_point_the_last_one_wins():
    said = clicks((5, 5, 1), (9, 9, 1), (5.2, 5, 0)).last_word()
    assert as_triples(said) == [(9, 9, 1), (np.float32(5.2), 5, 0)]
    assert len(Clicks.none().last_word()) == 0


def test_clicks_that_a_mask_does_not_fulfil_are_left_out():
    mask = np.zeros((10, 10), bool)
    mask[:5] = True
    kept = clicks((1, 1, 1), (1, 8, 1), (2, 2, 0), (2, 9, 0)).fulfilled_by(MaskRuns.of_mask(mask))
    assert as_triples(kept) == [(1, 1, 1), (2, 9, 0)]


def test_the_clicks_of_a_suggestion_begin_those_of_the_next():
    first, both = clicks((1, 1, 1)), clicks((1, 1, 1), (2, 2, 0))
    assert first.begins(both)
    assert not both.begins(first)
    assert not clicks((1, 1, 0)).begins(both)
