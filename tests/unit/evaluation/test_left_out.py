"""What the readers leave out is counted, kept with the run, and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_backend.samples import Sample
from sam_evaluation.datasets.mask_folder import MaskFolder
from sam_evaluation.left_out import CountedDataset, reasons
from sam_evaluation.report.write import write_report
from sam_evaluation.run_files import load_run
from sam_evaluation.run_plan import RunSettings
from sam_evaluation.runner import evaluate


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Four images; two crowds in each, a file that belongs to none, and the first was found by its name."""
    folder = tmp_path / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(4):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:15, 5 + index : 20 + index] = 255
        Image.fromarray(60 + mask // 2).save(folder / "images" / f"{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index}.png")

    load = MaskFolder.load

    def counting(self: MaskFolder, name: str) -> Sample:
        sample = load(self, name)
        notes = ("found by its name",) if name == "0.png" else ()
        return Sample(name, sample.image, sample.objects, {"crowd": 2}, {"crowd": "annotation 7"}, notes)

    def left_out(self: MaskFolder) -> Mapping[str, int]:
        return {"file of an unknown kind (x.heic)": 1}

    def notes(self: MaskFolder) -> Sequence[str]:
        return ["the classes have no names"]

    monkeypatch.setattr(MaskFolder, "load", counting)
    monkeypatch.setattr(MaskFolder, "left_out", left_out, raising=False)
    monkeypatch.setattr(MaskFolder, "notes", notes, raising=False)
    return f"masks:{folder}"


SENTENCES = [
    "masks: 1 left out: file of an unknown kind (x.heic).",
    "masks: note: the classes have no names.",
    "masks: 8 left out in 4 images: crowd; first: 0.png, annotation 7.",
    "masks: note in 1 image: found by its name; first: 0.png.",
]


def test_a_run_keeps_the_counts_once_for_all_models_and_reports_them(data: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = evaluate(["boxfill", "grabcut"], [data], out=out, settings=RunSettings("box"))
    assert sorted(map(str, reasons(run.left_out))) == sorted(SENTENCES)
    again = load_run(out)
    assert [str(reason) for reason in reasons(again.left_out)] == [str(reason) for reason in reasons(run.left_out)]
    write_report(again, out)
    for file in ("report.md", "report.html"):
        text = (out / file).read_text()
        assert "What was left out of the data" in text
        assert "file of an unknown kind (x.heic)" in text
        assert "annotation 7" in text


def test_a_run_without_the_file_is_read(data: str, tmp_path: Path) -> None:
    evaluate(["boxfill"], [data], out=tmp_path / "run", settings=RunSettings("box"))
    (tmp_path / "run" / "left_out.csv").unlink()
    assert not reasons(load_run(tmp_path / "run").left_out)


def test_a_counted_data_set_tells_of_the_samples_that_were_read(data: str) -> None:
    counted = CountedDataset(MaskFolder(Path(data.partition(":")[2])), "masks")
    counted.load("1.png")
    counted.load("1.png")
    assert "masks: 2 left out in 1 image: crowd; first: 1.png, annotation 7." in counted.sentences()
    assert SENTENCES[0] in counted.sentences()
