"""Which images a model is tuned on, and which are kept from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blob_images import write_blobs
from sam_backend.finetune.examples import Examples, Split, TooFewMasksError, read_examples, split_of
from sam_backend.samples import Object, Sample
from sam_evaluation.datasets.mask_folder import MaskFolder


def read(folder: Path, limit: int | None = None) -> Examples:
    return read_examples(MaskFolder(folder), limit)


def test_an_image_is_used_for_the_same_in_every_version_of_the_package() -> None:
    found = [split_of(name).value for name in ("a.png", "b.png", "c.png", "d.png", "000201.jpg", "12/12.png")]
    assert found == ["held-out", "training", "held-out", "held-out", "training", "training"]


def test_two_thirds_train_a_tenth_validates_a_quarter_is_held_out() -> None:
    found = [split_of(f"{number}.png") for number in range(4000)]
    shares = [found.count(split) / len(found) for split in (Split.TRAINING, Split.VALIDATION, Split.HELD_OUT)]
    assert shares == pytest.approx([0.65, 0.10, 0.25], abs=0.03)


def test_images_that_come_later_move_no_other(tmp_path: Path) -> None:
    few = read(write_blobs(tmp_path, 30))
    many = read(write_blobs(tmp_path, 50))
    assert all(set(few.names[split]) <= set(many.names[split]) for split in Split)
    assert few.fingerprint != many.fingerprint


def test_empty_masks_are_left_out_and_masks_of_another_size_are_told(tmp_path: Path) -> None:
    write_blobs(tmp_path, 4)
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(tmp_path / "masks" / "001.png")
    Image.fromarray(np.full((40, 48), 255, np.uint8)).save(tmp_path / "masks" / "002.png")
    found = read(tmp_path)
    assert sorted(name for names in found.names.values() for name in names) == ["000.png", "003.png"]
    assert list(found.broken) == ["002.png"]
    assert "48" in found.broken["002.png"]
    assert "40" in found.broken["002.png"]
    assert sum(found.masks.values()) == 4


def test_too_few_masks_are_refused_and_the_number_that_is_needed_is_told(tmp_path: Path) -> None:
    with pytest.raises(TooFewMasksError, match=r"needs accepted masks on about \d\d images, and there are 6 ") as error:
        read(write_blobs(tmp_path, 6)).require_enough(10)
    assert "held-out" in str(error.value)
    read(write_blobs(tmp_path, 80)).require_enough(10)


def test_a_limit_spreads_over_all_images(tmp_path: Path) -> None:
    found = read(write_blobs(tmp_path, 20), limit=5)
    assert sorted(name for names in found.names.values() for name in names) == [
        f"{number:03d}.png" for number in (0, 4, 8, 12, 16)
    ]


class Dots:
    """Sixty images with one mask of three pixels each."""

    def names(self) -> list[str]:
        return [f"{number}.png" for number in range(60)]

    def load(self, name: str) -> Sample:
        mask = np.zeros((48, 48), bool)
        mask[20, 20:23] = True
        return Sample(name, np.zeros((48, 48, 3), np.uint8), (Object(mask, "dot"),))


def test_masks_too_small_to_be_learnt_neither_train_nor_validate_and_are_counted() -> None:
    found = read_examples(Dots())
    assert (found.names[Split.TRAINING], found.names[Split.VALIDATION], found.too_small) == ((), (), 60)
    with pytest.raises(TooFewMasksError, match="60 masks are too small to be learnt: they have fewer than 4 pixels"):
        found.require_enough(10)


def test_the_reason_why_images_could_not_be_read_is_told(tmp_path: Path) -> None:
    write_blobs(tmp_path, 3)
    Image.fromarray(np.full((40, 48), 255, np.uint8)).save(tmp_path / "masks" / "002.png")
    with pytest.raises(TooFewMasksError, match=r"1 more could not be read, for example 002\.png: .*40"):
        read(tmp_path).require_enough(10)
