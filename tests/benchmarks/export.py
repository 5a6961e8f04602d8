"""What an export costs, beside the converter of Label Studio's SDK, `python tests/benchmarks/export.py neu_seg:FOLDER`.

The masks of a data set become the brush regions of a project with `--images` tasks, its images again and again under
other names. Each export runs in a process of its own; printed are its CPU seconds, the most memory it took, and the
mean IoU of the masks that come out with those that went in (masks that are missing count 0). Label Studio is read from
a file, page by page as its API sends it, and images from the disk, so that no network is measured.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter

from sam_backend.labelstudio.accepted_masks import read_annotation
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.projects import ListedTask, ProjectTask
from sam_backend.labelstudio.region_json import make_regions
from sam_backend.masks import mask_iou
from sam_backend.progress import no_progress
from sam_evaluation.datasets.registry import DatasetSpec
from sam_evaluation.exports.project_source import ProjectSource
from sam_evaluation.exports.run import export
from sam_evaluation.exports.source import EVERY_OBJECT

READ = {
    "coco": "coco:{}/annotations/instances_train.json",
    "yolo-seg": "yolo:{}@train",
    "png": "masks:{}/train",
    "SDK, BRUSH_TO_COCO": "coco:{}/result_coco.json",
}


def write_project(spec: DatasetSpec, count: int, folder: Path) -> None:
    """Write a project: its labeling config, its tasks one a line, and as the list that the SDK reads."""
    dataset = spec.open(EVERY_OBJECT)
    samples = [dataset.load(name) for name in islice(dataset.names(), 0, None, 4)]
    labels = dict.fromkeys(target.label for sample in samples for target in sample.objects)
    tags = "".join(f'<Label value="{label}"/>' for label in labels)
    xml = f'<View><Image name="image" value="$image"/><BrushLabels name="m" toName="image">{tags}</BrushLabels></View>'
    (folder / "config.xml").write_text(xml)
    (folder / "images").mkdir()
    target = LabelingConfig.parse(xml).target()
    lines = []
    for number, sample in enumerate(islice(cycle(samples), count), 1):
        image = folder / "images" / f"{number}{sample.file.suffix}"
        shutil.copyfile(sample.file, image)
        result = [region for one in sample.objects for region in make_regions(one.cropped, target, label=one.label)]
        annotation = {"id": number, "result": result, "was_cancelled": False, "created_at": "2026", "completed_by": 1}
        lines.append(json.dumps({"id": number, "data": {"image": str(image)}, "annotations": [annotation]}))
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    (folder / "export.json").write_text(f"[{','.join(lines)}]")


class FileProject:
    """A project whose tasks are read from a file."""

    id = 1

    def __init__(self, folder: Path) -> None:
        self._tasks, self.label_config = folder / "tasks.jsonl", (folder / "config.xml").read_text()

    def tasks(self):
        with self._tasks.open() as lines:
            for task in map(json.loads, lines):
                yield ProjectTask(task["id"], task["data"], task["annotations"])

    def list_tasks(self):
        return (ListedTask(task.id, task.data, True) for task in self.tasks())


class FileImages(TaskImages):
    """Images that are read from the disk."""

    def fetch(self, url, server, task_id, *, configured=None):
        return Path(url).read_bytes()


def work(name: str, folder: Path, out: Path) -> None:
    if name.startswith("SDK"):
        out.mkdir()
        converter = Converter((folder / "config.xml").read_text(), str(folder), download_resources=False)
        form = name.partition(", ")[2]
        converter.convert(str(folder / "export.json"), str(out), form, is_dir=False, image_dir=str(folder / "images"))
    else:
        images = FileImages(timeout=1, max_pixels=10**8)
        export(ProjectSource(FileProject(folder), None, images), name, out, no_progress)


def measured(name: str, folder: Path, out: Path, pipe) -> None:
    started = time.process_time()
    work(name, folder, out)
    # Not `ru_maxrss`, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    pipe.send((time.process_time() - started, int(status.partition("VmHWM:")[2].split()[0]) / 1024))


def agreement(name: str, folder: Path, out: Path, count: int) -> float:
    """Return the mean IoU of the first masks that went in with the best ones of their images that came out."""
    if name.startswith("SDK"):
        shutil.copytree(folder / "images", out, dirs_exist_ok=True)
    project = FileProject(folder)
    written = DatasetSpec.parse(READ[name].format(out)).open(EVERY_OBJECT)
    names = {Path(each).stem: each for each in written.names()}
    config, ious = LabelingConfig.parse(project.label_config), []
    for task in islice(project.tasks(), count):
        (image,) = read_annotation(task.annotations[0]["result"], task.data, config).images
        there = names.get(str(task.id))
        found = [target.mask for target in written.load(there).objects] if there else []
        ious += [max((mask_iou(region.mask, mask) for mask in found), default=0) for region in image.regions.masks()]
    return float(np.mean(ious))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a data set with masks, as in sam-inspect evaluate")
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_project(DatasetSpec.parse(arguments.data), arguments.images, folder)
        for name in (*READ, "SDK, BRUSH_TO_PNG"):
            receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
            out = folder / name.replace(", ", "_")
            process = multiprocessing.get_context("spawn").Process(target=measured, args=(name, folder, out, sender))
            process.start()
            sender.close()
            seconds, mebibytes = receiver.recv()
            process.join()
            iou = f"mean IoU {agreement(name, folder, out, 100):.4f}" if name in READ else ""
            print(f"{name:20} {seconds:7.2f} s of CPU {mebibytes:7.0f} MiB {iou}", flush=True)


if __name__ == "__main__":
    main()
