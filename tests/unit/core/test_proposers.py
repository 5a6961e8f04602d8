"""Whatever proposes, proposals come the same way: from the memory, or from the proposer that was promoted."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from filelock import FileLock

from annotation_events import ASKED, CONFIG, TAUGHT, event, task
from colour_segmenter import ColourFinder, ColourSegmenter
from label_studio_requests import PROJECT
from sam_backend.core.automatic_trainings import FEWEST_IMAGES, AutomaticTrainings
from sam_backend.core.project_versions import work_folder
from sam_backend.core.project_work import forget
from sam_backend.core.proposers import Proposers, proposer_of
from sam_backend.core.refiners import refiner_of
from sam_backend.errors import BadRequestError
from sam_backend.finetune.training_status import LOCK, RUNNING, TrainingStatus, write_status
from sam_backend.finetune.versions import SHIPPED, VERSIONS, Version, Versions
from sam_backend.memory.memories import Memories
from sam_backend.memory.records import Record
from sam_backend.proposer.manifest import WEIGHTS, Manifest
from sam_backend.proposer.trained import TrainedProposer
from sam_backend.segmenters.correcting import Correcting
from sam_backend.segmenters.pixels import with_pixels


@pytest.fixture(scope="module")
def reds(tmp_path_factory):
    """The files of a proposer that proposes what is red, written once."""
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    from sam_backend.finetune.onnx_export import write_onnx

    class Reds(torch.nn.Module):
        def forward(self, image):
            colours = image.permute(0, 3, 1, 2).float()
            red = ((colours[:, 0] - colours[:, 1]) / 32).sigmoid()[:, None]
            return torch.cat([1 - red, red, 0 * red], 1)

    folder = tmp_path_factory.mktemp("reds")
    axes = {"image": {1: "height", 2: "width"}, "shares": {2: "height", 3: "width"}}
    image = torch.zeros(1, 32, 64, 3, dtype=torch.uint8)
    write_onnx(Reds(), (image,), folder / WEIGHTS, ["image"], ["shares"], axes)
    Manifest(("red", "green"), 1.0, 6).write(folder)
    return folder


def promote(versions, memory, files):
    model = proposer_of(memory)
    with versions.staging(model) as folder:
        for file in files.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        version = versions.add(Version("", model), folder)
    versions.promote(version.name)
    return version.name


def labels(client):
    request = {"tasks": [task(9, ASKED[0])], "label_config": CONFIG, "project": PROJECT}
    (answer,) = client.post("/predict", json=request).json()["results"]
    return sorted(region["value"]["brushlabels"][0] for region in answer["result"])


def test_a_batch_shows_what_the_promoted_proposer_proposes_and_the_memory_again_after_a_rollback(make_client, reds):
    client = make_client(Correcting(ColourSegmenter()))
    backend = client.app.state.backend
    client.post("/webhook", json=event("ANNOTATION_CREATED"))
    assert backend.learner.wait(60)
    memory, versions = backend.memories.of(PROJECT), Versions(backend.settings.home / VERSIONS)
    assert labels(client) == ["green", "red"]
    promote(versions, memory, reds)
    assert labels(client) == ["red"]
    versions.roll_back(proposer_of(memory))
    assert labels(client) == ["green", "red"]


def test_a_trained_proposer_travels_to_another_process_without_its_folder(reds, tmp_path):
    shutil.copytree(reds, tmp_path / "reds")
    here = TrainedProposer(tmp_path / "reds", threads=1)
    sent = pickle.dumps(here)
    shutil.rmtree(tmp_path / "reds")
    there, segmenter = pickle.loads(sent), ColourSegmenter()
    embedding = with_pixels(segmenter.encode(ASKED[0]), ASKED[0])
    (expected,), (got,) = (proposer.propose(segmenter, embedding) for proposer in (here, there))
    assert (got.label, got.score, there.name) == ("red", expected.score, here.name)
    np.testing.assert_array_equal(got.mask, expected.mask)


def test_a_label_that_came_after_the_training_is_proposed_by_the_memory(make_client, reds, tmp_path):
    client = make_client(Correcting(ColourSegmenter()))
    backend = client.app.state.backend
    client.post("/webhook", json=event("ANNOTATION_CREATED"))
    assert backend.learner.wait(60)
    older = shutil.copytree(reds, tmp_path / "older")
    Manifest(("red", "blue"), 1.0, 6).write(older)
    promote(Versions(backend.settings.home / VERSIONS), backend.memories.of(PROJECT), older)
    assert labels(client) == ["green", "red"]


def test_a_label_without_examples_is_proposed_by_its_text(make_client):
    asked = []

    class Finder(ColourFinder):
        def find(self, embedding, concept, **options):
            asked.append(concept.text)
            return super().find(embedding, concept, **options)

    client = make_client(Correcting(Finder()))
    backend = client.app.state.backend
    assert labels(client) == ["green", "red"]
    assert asked == ["red", "green"]
    client.post("/webhook", json=event("ANNOTATION_CREATED", masks=TAUGHT[1][:1]))
    assert backend.learner.wait(60)
    assert labels(client) == ["green", "red"]
    assert asked[2:] == ["green"]


def test_a_damaged_proposer_leaves_its_project_to_the_memory_and_is_logged_once(tmp_path, reds, caplog):
    memory = Memories(tmp_path).of(PROJECT)
    versions, proposers = Versions(tmp_path / VERSIONS), Proposers(tmp_path)
    name = promote(versions, memory, reds)
    (versions.folder_of(name) / WEIGHTS).write_bytes(b"damaged")
    assert proposers.of(memory, "colour-1", lambda label: True, {}) is None
    assert proposers.of(memory, "colour-1", lambda label: True, {}) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert name in caplog.text


def test_a_proposer_whose_labels_are_all_gone_proposes_nothing(tmp_path, reds):
    memory = Memories(tmp_path).of(PROJECT)
    promote(Versions(tmp_path / VERSIONS), memory, reds)
    assert Proposers(tmp_path).of(memory, "colour-1", lambda label: label == "red", {}).name.startswith("proposer-")
    assert Proposers(tmp_path).of(memory, "colour-1", lambda label: label == "blue", {}) is None


def test_forgetting_a_project_forgets_its_proposer_and_its_refiner(make_settings, reds):
    settings = make_settings()
    memory, versions = Memories(settings.home).of(PROJECT), Versions(settings.home / VERSIONS)
    memory.store.put(Record(1, task=1, image="a"))
    promote(versions, memory, reds)
    with versions.staging(refiner_of(memory)) as folder:
        (folder / "head.onnx").write_bytes(b"head")
        versions.promote(versions.add(Version("", refiner_of(memory)), folder).name)
    forget(settings, PROJECT)
    assert versions.current(proposer_of(memory)) == versions.current(refiner_of(memory)) == SHIPPED
    assert versions.all() == []


def test_a_project_is_not_forgotten_while_its_proposer_is_trained(make_settings):
    settings = make_settings()
    memory = Memories(settings.home).of(PROJECT)
    memory.store.put(Record(1, task=1, image="a"))
    folder = work_folder(settings.home, proposer_of(memory))
    folder.mkdir(parents=True)
    write_status(folder, TrainingStatus(RUNNING, process=77))
    with FileLock(folder / LOCK), pytest.raises(BadRequestError, match="runs \\(process 77\\); end it or wait for it"):
        forget(settings, PROJECT)
    assert len(Memories(settings.home).of(PROJECT).store.heads()) == 1
    forget(settings, PROJECT)
    assert Memories(settings.home).of(PROJECT).store.heads() == []


class Starts:
    """Notes the trainings that are started."""

    def __init__(self, answer=(True, "started")):
        self.answer, self.projects = answer, []

    def start_proposer(self, project):
        self.projects.append(("proposer", project))
        return self.answer

    def start_refiner(self, project):
        self.projects.append(("refiner", project))
        return self.answer


def accept(memory, count):
    for number in range(count):
        memory.store.put(Record(number, "2026-11-23T05:32:00Z", number, f"{number}.png"))


def test_proposer_and_refiner_learn_from_forty_images_on_and_again_after_each_twenty_five(make_settings):
    settings, starts = make_settings(refiner_every=25), Starts()
    memories = Memories(settings.home)
    automatic = AutomaticTrainings(settings, memories, starts)
    started = []
    for count in (FEWEST_IMAGES - 1, FEWEST_IMAGES, FEWEST_IMAGES + 24, FEWEST_IMAGES + 25):
        accept(memories.of(PROJECT), count)
        automatic.start_if_due(PROJECT)
        # Another process of the service knows what was started.
        AutomaticTrainings(settings, memories, starts).start_if_due(PROJECT)
        started.append(len(starts.projects))
    assert started == [0, 2, 2, 4]
    assert starts.projects == 2 * [("proposer", PROJECT), ("refiner", PROJECT)]


def test_the_one_that_had_to_wait_for_the_other_starts_after_a_later_annotation(make_settings):
    settings, starts = make_settings(refiner_every=25), Starts()
    memories = Memories(settings.home)
    accept(memories.of(PROJECT), FEWEST_IMAGES)
    automatic = AutomaticTrainings(settings, memories, starts)
    starts.start_refiner = lambda project: (False, "A training is running already")
    automatic.start_if_due(PROJECT)
    del starts.start_refiner
    automatic.start_if_due(PROJECT)
    assert starts.projects == [("proposer", PROJECT), ("refiner", PROJECT)]


def test_unless_a_setting_says_so_no_refiner_is_tuned_by_itself(make_settings):
    settings, starts = make_settings(), Starts()
    memories = Memories(settings.home)
    accept(memories.of(PROJECT), FEWEST_IMAGES)
    AutomaticTrainings(settings, memories, starts).start_if_due(PROJECT)
    assert starts.projects == [("proposer", PROJECT)]


def test_with_the_setting_at_zero_no_training_starts_by_itself(make_settings):
    settings, starts = make_settings(proposer_every=0), Starts()
    memories = Memories(settings.home)
    accept(memories.of(PROJECT), 2 * FEWEST_IMAGES)
    AutomaticTrainings(settings, memories, starts).start_if_due(PROJECT)
    assert starts.projects == []


def test_why_no_training_starts_is_logged_once_and_it_is_tried_again(make_settings, caplog):
    caplog.set_level("INFO")
    settings, starts = make_settings(), Starts((False, "Training needs torch; run pip install 'sam-inspect[torch]'"))
    memories = Memories(settings.home)
    accept(memories.of(PROJECT), FEWEST_IMAGES)
    automatic = AutomaticTrainings(settings, memories, starts)
    for _ in range(3):
        automatic.start_if_due(PROJECT)
    assert len(starts.projects) == 3
    assert caplog.text.count("pip install 'sam-inspect[torch]'") == 1


def test_the_learner_reports_each_project_that_it_has_learnt(make_client, monkeypatch):
    learnt = []
    monkeypatch.setattr(AutomaticTrainings, "start_if_due", lambda self, project: learnt.append(project))
    client = make_client(Correcting(ColourSegmenter()))
    client.post("/webhook", json=event("ANNOTATION_CREATED"))
    assert client.app.state.backend.learner.wait(60)
    assert learnt == [PROJECT]
