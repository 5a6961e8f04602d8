"""Box files -> a data set of masks: every box becomes a mask with its class and a score."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from sam_backend.files import link_or_copy, write_whole
from sam_backend.progress import ProgressCallback
from sam_backend.samples import Cropped
from sam_backend.segmenters import Prompt, Segmenter
from sam_backend.segmenters.batched import best_masks
from sam_evaluation.coco_rle import encode_mask
from sam_evaluation.csv_text import csv_text
from sam_evaluation.datasets.boxes import BoxDataset, BoxedImage, DrawnBox
from sam_evaluation.datasets.json_files import id_key
from sam_evaluation.datasets.registry import DatasetSpec, fingerprint
from sam_evaluation.datasets.tally import OddShapeError
from sam_evaluation.errors import BrokenSampleError, EvaluationError
from sam_evaluation.exports.polygons import one_ring
from sam_evaluation.exports.yolo import row_of
from sam_evaluation.left_out import rows_of_dataset, rows_of_tally, table_of

BOX_FORMATS = ("coco", "yolo")
"""The formats whose boxes are read."""

PARTS = "parts"

Answer = tuple[Cropped, float]
"""A mask and its predicted IoU."""


@dataclass(frozen=True, eq=False)
class Converted:
    """What a conversion wrote.

    Attributes
    ----------
    images, masks : int, the images that are in the new data set, and the masks made of boxes.
    kept : int, the annotations that had a mask and keep it.
    broken : DataFrame with the columns dataset, sample and reason.
    left_out : DataFrame as of `left_out.COLUMNS`.
    """

    images: int
    masks: int
    kept: int
    broken: pd.DataFrame
    left_out: pd.DataFrame


class BoxFiles:
    """The boxes of a data set on disk, and the model that makes masks of them.

    Raises
    ------
    EvaluationError
        If the format has no boxes, or the model takes none.
    """

    def __init__(self, spec: DatasetSpec, segmenter: Segmenter) -> None:
        if spec.format not in BOX_FORMATS:
            raise EvaluationError(f"Boxes are read of {' and '.join(BOX_FORMATS)}; got {spec.format}.")
        if "box" not in segmenter.info.prompts:
            raise EvaluationError(f"{segmenter.name} takes no boxes; choose another model.")
        self._spec, self._segmenter = spec, segmenter
        self._dataset = cast(BoxDataset, spec.open())
        # YOLO's images are in the folder of their split.
        self._split: str | None = getattr(self._dataset, "split", None)

    def preview(
        self, limit: int, progress: ProgressCallback, broken: list[str]
    ) -> Iterator[tuple[BoxedImage, list[Answer]]]:
        """Yield the first images with boxes, at most `limit`, and the mask of each box; nothing is written.

        The images before them that cannot be used are added to `broken`, a sentence each.

        Raises
        ------
        EvaluationError
            If no image can be used.
        """
        shown, names = 0, self._dataset.names()
        for name in names:
            try:
                image = self._dataset.boxes(name)
                image.tally.used = len(image.boxes) + len(image.outlined)
                image.tally.require_used()
            except BrokenSampleError as error:
                broken.append(f"{name}: {error}")
                continue
            if image.boxes:
                yield image, self._answers(image)
                shown += 1
                progress(shown, limit)
            if shown == limit:
                return
        _require_any(len(names) - len(broken), broken)
        progress(limit, limit)

    def convert(self, out: Path, progress: ProgressCallback) -> Converted:
        """Write the data set of masks; a conversion that was interrupted goes on when it is repeated.

        The folder gets `images/`, linked to the old files where the file system can, `annotations/*.json` in COCO's
        format with run-lengths and scores, `left_out.csv`, `broken.csv`, and for YOLO also `labels/` with polygons and
        `data.yaml`.

        Parameters
        ----------
        out : Path, a new folder, or that of an interrupted conversion.
        progress : called with the numbers of images done and in all.

        Raises
        ------
        EvaluationError
            If the folder holds something else, or lies within the data set, or no image can be used.
        """
        if self._spec.folder.resolve().is_relative_to(out.resolve()):
            raise EvaluationError(f"{out} holds the data set {self._spec.folder}; name a folder of its own.")
        if out.resolve().is_relative_to(self._spec.folder.resolve()):
            raise EvaluationError(f"{out} lies within the data set {self._spec.folder}; name a folder outside of it.")
        if out.exists() and any(out.iterdir()) and not (out / PARTS).is_dir():
            raise EvaluationError(f"{out} holds other files; name a new folder.")
        identity = f"{self._segmenter.version}\n{self._spec}\n{fingerprint(self._spec.folder, times=True)}"
        parts = out / PARTS / hashlib.sha256(identity.encode()).hexdigest()[:16]
        names, done = self._dataset.names(), []
        for index, name in enumerate(names):
            progress(index, len(names))
            part = parts / f"{index:06d}.json"
            kept = _read(part)
            if kept.get("name") != name:
                write_whole(part, json.dumps(self._part(name, out)).encode(), private=False)
                kept = _read(part)
            done.append(kept)
        progress(len(names), len(names))
        broken = [f"{part['name']}: {part['broken']}" for part in done if "broken" in part]
        _require_any(len(done) - len(broken), broken)
        self._remove_stale(out, {part["name"] for part in done if "broken" not in part})
        return self._write(out, done)

    def _remove_stale(self, out: Path, names: Collection[str]) -> None:
        """Remove the images and labels of earlier runs that the data set has no more, or that are broken now."""
        for part in sorted((out / PARTS).glob("*/*.json")):
            earlier = _read(part)
            if earlier and "broken" not in earlier and earlier["name"] not in names:
                (out / "images" / (self._split or "") / earlier["name"]).unlink(missing_ok=True)
                self._labels(out, earlier["name"]).unlink(missing_ok=True)

    def _labels(self, out: Path, name: str) -> Path:
        """Return the file of an image's polygons in the format of YOLO."""
        return (out / "labels" / (self._split or "") / name).with_suffix(".txt")

    def _answers(self, image: BoxedImage) -> list[Answer]:
        prompts = [Prompt(box=drawn.box) for drawn in image.boxes]
        if not prompts:
            return []
        return list(best_masks(self._segmenter, self._segmenter.encode(image.image), prompts))

    def _part(self, name: str, out: Path) -> dict[str, Any]:
        """Return what one image adds to the data set, as JSON; its file is linked or copied."""
        try:
            image = self._dataset.boxes(name)
            annotations, polygons = list(map(dict, image.outlined)), []
            for drawn, (mask, score) in zip(image.boxes, self._answers(image), strict=True):
                if not mask.area:
                    image.tally.odd(_unseen(drawn, image.file), "")
                    continue
                annotations.append(_annotation(drawn, mask, score))
                polygons.append(row_of(drawn.category, one_ring(mask).ravel().tolist(), image.size))
            image.tally.used = len(annotations)
            image.tally.require_used()
        except BrokenSampleError as error:
            return {"name": name, "broken": str(error)}
        link_or_copy(image.file, out / "images" / (self._split or "") / name)
        return {
            "name": name,
            "size": image.size,
            "annotations": annotations,
            "kept": len(image.outlined),
            "polygons": polygons,
            "left_out": rows_of_tally(name, image.tally),
        }

    def _write(self, out: Path, parts: Sequence[dict[str, Any]]) -> Converted:
        head = self._dataset.coco_head()
        entries = {entry["file_name"]: entry for entry in head["images"]}
        whole = [part for part in parts if "broken" not in part]
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        taken = (id_key(one.get("id")) for part in whole for one in part["annotations"])
        fresh = count(1 + max((number for number in taken if isinstance(number, int)), default=0))
        for part in whole:
            entry, (height, width) = entries[part["name"]], part["size"]
            file_name = f"{self._split}/{part['name']}" if self._split else part["name"]
            images.append({**entry, "file_name": file_name, "width": width, "height": height})
            numbered = ({"id": one["id"] if "id" in one else next(fresh), **one} for one in part["annotations"])
            annotations += ({**one, "image_id": entry["id"]} for one in numbered)
        content = {**head, "images": images, "annotations": annotations}
        if self._split:
            self._write_yolo(out, whole, head["categories"])
        file = f"instances_{self._split}.json" if self._split else "instances.json"
        broken = [
            {"dataset": self._spec.format, "sample": part["name"], "reason": part["broken"]}
            for part in parts
            if "broken" in part
        ]
        rows = [*rows_of_dataset(self._dataset), *(row for part in whole for row in part["left_out"])]
        converted = Converted(
            len(whole),
            len(annotations) - sum(part["kept"] for part in whole),
            sum(part["kept"] for part in whole),
            pd.DataFrame(broken, columns=["dataset", "sample", "reason"]),
            table_of({"dataset": self._spec.format, **row} for row in rows),
        )
        for name, table in (("broken", converted.broken), ("left_out", converted.left_out)):
            write_whole(out / f"{name}.csv", csv_text(table).encode(), private=False)
        write_whole(out / "annotations" / file, json.dumps(content).encode(), private=False)
        return converted

    def _write_yolo(self, out: Path, parts: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]]) -> None:
        for part in parts:
            file = self._labels(out, part["name"])
            if part["polygons"]:
                write_whole(file, ("\n".join(part["polygons"]) + "\n").encode(), private=False)
            else:
                file.unlink(missing_ok=True)
        splits = sorted(folder.name for folder in (out / "images").iterdir() if folder.is_dir())
        config = {
            **{split: f"images/{split}" for split in splits},
            "names": {category["id"]: category["name"] for category in categories},
        }
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        write_whole(out / "data.yaml", text.encode(), private=False)


def _require_any(whole: int, broken: Sequence[str]) -> None:
    if broken and not whole:
        raise EvaluationError(f"0 of {len(broken)} images can be used. The first is {broken[0]}")


def _unseen(drawn: DrawnBox, file: Path) -> OddShapeError:
    box = [round(float(value), 1) for value in drawn.box]
    return OddShapeError("box in which the model sees nothing", f"The model sees nothing in the box {box} of {file}.")


def _read(part: Path) -> dict[str, Any]:
    """Return what is kept of an image; nothing if the file is missing or damaged."""
    try:
        kept = json.loads(part.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and "name" in kept else {}


def _annotation(drawn: DrawnBox, mask: Cropped, score: float) -> dict[str, Any]:
    """Return COCO's annotation of a mask: what was known of its box stays."""
    x0, y0, x1, y1 = (round(float(value), 3) for value in drawn.box)
    return {
        "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
        **drawn.fields,
        "category_id": drawn.category,
        "segmentation": {"size": list(mask.size), "counts": encode_mask(mask.mask)},
        "area": mask.area,
        "iscrowd": 0,
        **({"score": round(score, 4)} if math.isfinite(score) else {}),
    }
