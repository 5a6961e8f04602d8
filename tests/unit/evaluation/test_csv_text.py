import pandas as pd
import pytest

from sam_evaluation.csv_text import csv_text, read_csv_text
from sam_evaluation.run_files import Run, load_run, write_run

FORMULA = '=HYPERLINK("http://evil.example";"open")'


@pytest.mark.parametrize("cell", [FORMULA, "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_text_is_a_formula(cell):
    first = pd.DataFrame({"name": [cell]}).pipe(csv_text).splitlines()[1].strip('"')
    assert first.startswith("'")


def test_numbers_stay_numbers_and_texts_come_back_as_they_were(tmp_path):
    table = pd.DataFrame({"name": [FORMULA, "'quoted", "a.png"], "iou": [-0.5, 0.25, 1.0]})
    (tmp_path / "table.csv").write_text(csv_text(table))
    assert read_csv_text(tmp_path / "table.csv").equals(table)


def test_a_sample_of_a_run_with_the_name_of_a_formula_is_harmless_in_its_files(tmp_path):
    broken = pd.DataFrame({"dataset": ["masks"], "sample": [FORMULA], "reason": ["It is missing."]})
    run = Run(pd.DataFrame(), pd.DataFrame(), broken, about={"format": 2, "settings": {}})
    write_run(run, tmp_path)
    assert f",{FORMULA[:4]}" not in (tmp_path / "broken.csv").read_text()
    assert load_run(tmp_path).broken["sample"].tolist() == [FORMULA]
