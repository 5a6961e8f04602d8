"""Files of requirements, and which objects meet them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation_rows import objects
from sam_evaluation.bounds import Bound
from sam_evaluation.errors import EvaluationError
from sam_evaluation.requirements import parse_requirements, read_requirements


def test_every_bound_is_read() -> None:
    parsed = parse_requirements(
        """
        [object]
        iou = ">= 0.8"
        hd95 = "<3"
        [recall]
        threshold = 0.75
        min_area = 20
        recall = "> 0.98"
        """
    )
    assert [str(each) for each in parsed.objects] == ["iou >= 0.8", "hd95 < 3"]
    assert parsed.recall is not None
    assert (parsed.recall.threshold, parsed.recall.min_area, parsed.recall.bound) == (0.75, 20, Bound(">", 0.98))
    assert str(parsed.recall) == "recall at IoU 0.75 of objects of 20 px or more > 0.98"


def test_recall_alone_is_at_half_an_iou_and_of_all_objects() -> None:
    parsed = parse_requirements('[recall]\nrecall = ">= 0.9"')
    assert str(parsed.recall) == "recall at IoU 0.5 >= 0.9"
    assert parsed.objects == ()


def test_objects_meet_conditions_one_by_one() -> None:
    parsed = parse_requirements('[object]\niou = ">= 0.8"\nhd95 = "<= 3"')
    rows = objects({"iou": 0.8, "hd95": 3.1}, {"iou": 0.79, "hd95": 3.0})
    assert parsed.met(rows).tolist() == [[1, 0], [0, 1]]


def test_errors_of_either_sign_are_errors_and_what_is_not_thin_has_none() -> None:
    parsed = parse_requirements('[object]\nwidth_error = "<= 0.1"')
    rows = objects({"width_error": -0.5}, {"width_error": 0.05}, {"width_error": np.nan})
    np.testing.assert_array_equal(parsed.met(rows), [[0], [1], [np.nan]])


def test_a_sum_that_misses_its_bound_by_rounding_meets_it() -> None:
    assert Bound(">=", 0.3).holds(1 - 0.7)  # 0.30000000000000004
    assert Bound("<=", 0.3).holds(0.1 + 0.2)
    assert not Bound("<", 0.3).holds(0.1 + 0.2)
    assert not Bound(">=", 0.3).holds(0.2999)
    assert not Bound(">=", 0.3).holds(np.nan)
    assert not Bound("<=", 0.3).holds(np.nan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[object]\nboundary_f_2p = ">= 0.9"', "known ones are iou, dice, .* did you mean boundary_f_2px"),
        ('[object]\niou = ">= 80"', "share from 0 to 1; got >= 80"),
        ("[object]\niou = 0.8", 'takes >=, <=, > or < and a number, such as ">= 0.8"; got 0.8'),
        ('[object]\niou = "= 0.8"', "got '= 0.8'"),
        ('[objects]\niou = ">= 0.8"', "section of requirements 'objects'.* did you mean object"),
        ('object = ">= 0.8"', r"written \[object\]"),
        ('[recall]\nminarea = 3\nrecall = ">= 0.9"', "did you mean min_area"),
        ("[recall]\nmin_area = 3", "needs a bound"),
        ('[recall]\nthreshold = 50\nrecall = ">= 0.9"', "threshold in .* IoU from 0.1 to 1; got 50"),
        ('[recall]\nthreshold = 0\nrecall = ">= 0.9"', "threshold in .* IoU from 0.1 to 1; got 0"),
        ('[recall]\nmin_area = -1\nrecall = ">= 0.9"', "min_area in .* 0 or more; got -1"),
        ('[recall]\nrecall = ">= 98"', "share from 0 to 1"),
        ("", "contain no bound"),
        ("iou >= 0.8", "must be a TOML file"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        parse_requirements(text)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    with pytest.raises(EvaluationError, match=r"line\.toml cannot be read"):
        read_requirements(path)
    path.write_text('[object]\nioux = ">= 0.8"')
    with pytest.raises(EvaluationError, match=r"line\.toml: There is no metric 'ioux'"):
        read_requirements(path)
    path.write_text('[object]\niou = ">= 0.8"')
    assert [str(each) for each in read_requirements(path).objects] == ["iou >= 0.8"]
