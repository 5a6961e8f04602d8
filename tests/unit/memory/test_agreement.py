"""What became of proposals, kept on disk and told by day or week."""

import pytest

from sam_backend.memory.agreement import AgreementFile, Compared, agreement, agreement_over_time


def compared(number, updated, ious=(1.0,), **outcomes):
    return Compared(number, updated, "nano-1", outcomes or {"unchanged": 1}, list(ious))


def test_shares_are_of_what_was_proposed_and_the_iou_is_of_what_was_kept():
    first = compared(1, "2026-11-23T05:00:00Z", (1.0, 0.8), unchanged=1, moved=1, deleted=2, added=3)
    second = compared(2, "2026-11-23T05:00:00Z", (0.6,), moved=1)
    together = agreement([first, second, Compared(3, "", problem="gone")])
    assert (together.annotations, together.proposals, together.unchanged, together.iou) == (2, 5, 0.2, 0.8)
    assert together.outcomes == {"unchanged": 1, "moved": 2, "relabelled": 0, "deleted": 2, "added": 3}


def test_nothing_that_was_proposed_has_no_share():
    nothing = agreement([compared(1, "2026-11-23T05:00:00Z", (), added=2)])
    assert (nothing.unchanged, nothing.iou) == (None, None)
    assert agreement_over_time([]) == []


def test_four_weeks_are_told_by_day_and_more_by_the_weeks_of_the_last_year():
    days = agreement_over_time([compared(1, "2026-11-02T23:00:00Z"), compared(2, "2026-11-29T23:00:00+00:00")])
    assert [(one.start, one.days) for one in days] == [("2026-11-02", 1), ("2026-11-29", 1)]
    weeks = agreement_over_time(
        compared(number, f"{day}T12:00:00Z")
        for number, day in enumerate(["2025-11-30", "2026-11-01", "2026-11-23", "2026-11-29"])
    )
    # 2026-11-01 is a Sunday; what is older than a year is not shown.
    assert [(one.start, one.days, one.annotations) for one in weeks] == [("2026-10-26", 7, 1), ("2026-11-23", 7, 2)]


def test_the_latest_comparison_of_an_annotation_counts_also_after_a_restart(tmp_path):
    file, other = AgreementFile(tmp_path), AgreementFile(tmp_path)
    assert file.all() == {}
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    assert other.all()[1].outcomes == file.all()[1].outcomes
    other.add(compared(1, "2026-11-24T05:00:00Z", (0.5,), moved=1))
    other.add(compared(2, "2026-11-24T05:00:00Z"))
    assert file.all() == other.all() == AgreementFile(tmp_path).all()
    assert file.all()[1].ious == [0.5]
    assert (tmp_path / "agreement.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_torn_or_damaged_line_costs_itself(tmp_path, caplog):
    file = AgreementFile(tmp_path)
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    path = tmp_path / "agreement.jsonl"
    path.write_bytes(path.read_bytes() + b'{"annotation": 2, "upd')
    assert set(file.all()) == {1}
    file.add(compared(3, "2026-11-23T05:00:00Z"))
    path.write_bytes(path.read_bytes() + b'[]\n{"annotation": "x"}\n')
    assert set(file.all()) == set(AgreementFile(tmp_path).all()) == {1, 3}
    assert "damaged line" in file.problem
    assert caplog.text.count("damaged line") == 2  # Once for each object that reads it.


@pytest.mark.parametrize(("iou", "unchanged"), [("NaN", 1), ("1e999", 1), ("1.5", 1), ("1.0", -1), ("1.0", "1e999")])
def test_a_line_with_impossible_numbers_is_damaged(tmp_path, iou, unchanged):
    file = AgreementFile(tmp_path)
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    path = tmp_path / "agreement.jsonl"
    values = f'"updated": "", "model": "", "problem": "", "outcomes": {{"unchanged": {unchanged}}}, "ious": [{iou}]'
    path.write_text(f'{path.read_text()}{{"annotation": 2, {values}}}\n')
    assert set(file.all()) == {1}
    assert "damaged line" in file.problem
    file.forget()
    assert (file.all(), file.problem) == ({}, "")


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    (tmp_path / "agreement.jsonl").mkdir()
    file = AgreementFile(tmp_path)
    assert file.all() == {}
    assert "agreement.jsonl cannot be read: Is a directory" in file.problem


def test_another_process_may_have_forgotten_and_begun_again(tmp_path):
    file, other = AgreementFile(tmp_path), AgreementFile(tmp_path)
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    assert set(file.all()) == {1}
    other.forget()
    for number in (2, 3):
        other.add(compared(number, "2026-11-23T05:00:00Z"))
    assert set(file.all()) == {2, 3}


@pytest.mark.parametrize("begin", [True, False])
def test_what_was_forgotten_is_gone(tmp_path, begin):
    file = AgreementFile(tmp_path)
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    if begin:
        assert set(file.all()) == {1}
    file.forget()
    assert file.all() == {}
    file.add(compared(2, "2026-11-23T05:00:00Z"))
    assert set(file.all()) == {2}


def test_what_could_be_read_again_is_no_problem_any_more(tmp_path):
    file, path = AgreementFile(tmp_path), tmp_path / "agreement.jsonl"
    file.add(compared(1, "2026-11-23T05:00:00Z"))
    assert (set(file.all()), file.is_read) == ({1}, True)
    path.rename(tmp_path / "aside")
    path.mkdir()
    assert (set(file.all()), file.is_read) == ({1}, False)
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert (set(file.all()), file.is_read, file.problem) == ({1}, True, "")
