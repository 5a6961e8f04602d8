"""A project's own refiner corrects the masks of that project, and of no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colour_segmenter import ColourSegmenter
from label_studio_requests import HEIGHT, PROJECT, WIDTH, click, interactive
from sam_backend.core.refiners import Refiners, refiner_of
from sam_backend.finetune.versions import VERSIONS, Version, Versions
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.memory.memories import Memories
from sam_backend.memory.project_memory import ProjectMemory
from sam_backend.segmenters import Prompt
from sam_backend.segmenters.correcting import Correcting, shipped_refiner
from sam_backend.segmenters.refiner import refiner as refiner_module
from sam_backend.segmenters.wrapper import SegmenterWrapper
from threshold_segmenter import ThresholdSegmenter

OTHER = "4.1795411201"


@pytest.fixture(scope="module")
def all_over(tmp_path_factory):
    """The files of a refiner that takes all of a window for the object."""
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    from sam_backend.finetune.refiner.refiner_export import export_head, load_head

    folder, shipped = tmp_path_factory.mktemp("all_over"), Path(refiner_module.__file__).parent
    head = load_head(shipped)
    with torch.no_grad():
        head.exit.bias += 100
    export_head(head, folder)
    (folder / refiner_module.BACKBONE).write_bytes((shipped / refiner_module.BACKBONE).read_bytes())
    return folder


def promote(home, memory, files):
    versions, model = Versions(home / VERSIONS), refiner_of(memory)
    with versions.staging(model) as folder:
        for file in files.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        version = versions.add(Version("", model), folder)
    versions.promote(version.name)
    return version.name


def test_the_projects_segmenter_has_its_refiner_and_the_same_embeddings_and_version(tmp_path, all_over):
    memories, shared = Memories(tmp_path), Correcting(ColourSegmenter())
    promote(tmp_path, memories.of(PROJECT), all_over)
    refiners = Refiners(tmp_path)
    own = refiners.segmenter(shared, memories.of(PROJECT))
    assert own.version == shared.version
    assert refiners.segmenter(shared, memories.of(OTHER)) is shared
    assert refiners.segmenter(shared, None) is shared
    embedding = shared.encode(np.full((100, 120, 3), 90, np.uint8))
    prompt = Prompt(np.array([(50, 50)], np.float32), np.array([1]), mask=np.zeros((100, 120), bool))
    areas = [segmenter.decode(embedding, [prompt])[0].masks.sum() for segmenter in (shared, own)]
    assert areas[0] < 10_000 < areas[1]
    # The backbone is the same, so it and the windows that it saw are in memory once.
    assert own.refiner._backbone is shipped_refiner()._backbone
    assert refiners.version(memories.of(PROJECT)) == own.refiner.version != shared.refiner.version
    assert refiners.version(memories.of(OTHER)) == ""


def test_another_process_sees_a_promotion_and_a_rollback(tmp_path, all_over):
    memory, shared = Memories(tmp_path).of(PROJECT), Correcting(ColourSegmenter())
    refiners = Refiners(tmp_path)
    assert refiners.segmenter(shared, memory) is shared
    promote(tmp_path, memory, all_over)
    assert refiners.segmenter(shared, memory) is not shared
    Versions(tmp_path / VERSIONS).roll_back(refiner_of(memory))
    assert refiners.segmenter(shared, memory) is shared


def test_a_damaged_refiner_leaves_the_project_to_the_one_that_ships_and_is_logged_once(tmp_path, all_over, caplog):
    memory, shared = Memories(tmp_path).of(PROJECT), Correcting(ColourSegmenter())
    name = promote(tmp_path, memory, all_over)
    (Versions(tmp_path / VERSIONS).folder_of(name) / refiner_module.HEAD).write_bytes(b"damaged")
    refiners = Refiners(tmp_path)
    assert refiners.segmenter(shared, memory) is refiners.segmenter(shared, memory) is shared
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert name in caplog.text


class Corrected(ThresholdSegmenter):
    """Its answers are corrected by the refiner."""

    info = replace(ThresholdSegmenter.info, corrections="refiner")


def test_on_a_page_the_projects_refiner_answers_the_second_click_also_after_another_refiner_did(make_client, all_over):
    client = make_client(Correcting(Corrected()))
    backend = client.app.state.backend

    def answered(project, *clicks):
        body = interactive(*clicks, project=project)
        (answer,) = client.post("/predict", json=body).json()["results"]
        (region,) = answer["result"]
        return int(decode_rle(region["value"]["rle"], (HEIGHT, WIDTH)).sum()), answer["model_version"]

    clicks = [click(25, 15), click(45, 15)]
    first, shared = answered(PROJECT, clicks[0]), answered(PROJECT, *clicks)
    promote(backend.settings.home, backend.memories.of(PROJECT), all_over)
    own = answered(PROJECT, *clicks)
    assert shared[0] < HEIGHT * WIDTH // 2 < own[0]
    assert own[1] == shared[1]
    assert answered(PROJECT, clicks[0]) == first
    assert answered(OTHER, *clicks) == shared


class Everything(SegmenterWrapper):
    """Takes the whole image for what was clicked."""

    def decode(self, embedding, prompts, *, multimask=None):
        answers = self._segmenter.decode(embedding, prompts, multimask=multimask)
        return [
            replace(answer, masks=answer.masks | (len(prompt.points) == 1))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]


def test_what_one_projects_memory_chose_is_not_continued_in_another_project_with_the_same_image(
    make_client, monkeypatch
):
    def helping(memory, segmenter, label, image):
        return Everything(segmenter) if memory.store.folder.name == PROJECT else segmenter

    monkeypatch.setattr(ProjectMemory, "helping", helping)
    client = make_client(Correcting(Corrected()))

    def area(project, *clicks):
        (answer,) = client.post("/predict", json=interactive(*clicks, project=project)).json()["results"]
        return int(decode_rle(answer["result"][0]["value"]["rle"], (HEIGHT, WIDTH)).sum())

    clicks = [click(25, 15), click(45, 15)]
    assert area(PROJECT, clicks[0]) == HEIGHT * WIDTH
    assert area(OTHER, *clicks) < area(PROJECT, *clicks)
