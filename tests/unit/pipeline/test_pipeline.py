import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sam_backend.deadlines import AbandonedError
from sam_backend.errors import BadRequestError, StepError
from sam_backend.pipeline import ProposedBox, ProposedMask, Scene, pipeline
from sam_backend.pipeline.pipeline import Pipeline, known_steps
from sam_backend.samples import Cropped
from sam_backend.segmenters.model_registry import model_info

EVERYTHING = '[[step]]\nuse = "everything"\n'


def bright_boxes(scene: Scene, *, level: int = 200, label: str = "bright") -> list[ProposedBox]:
    """Propose a box around all that is bright."""
    rows, columns = np.nonzero(scene.image.max(2) > level)
    return [ProposedBox((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), label, 0.5)]


def one_argument(scene: Scene) -> Sequence:
    return []


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        path = tmp_path / "line.toml"
        path.write_text(text)
        return Pipeline.load(path)

    return write_and_load


@pytest.fixture(autouse=True)
def _packages(monkeypatch):
    def broken():
        raise ImportError("no module named line")

    points = {"bright": lambda: bright_boxes, "broken": broken, "nothing": lambda: one_argument}
    monkeypatch.setattr(
        pipeline,
        "entry_points",
        lambda group: [SimpleNamespace(name=name, value=f"line:{name}", load=load) for name, load in points.items()],
    )


def test_steps_run_one_after_the_other(load, scene):
    line = load(
        '[[step]]\nuse = "bright"\nlevel = 100\n[[step]]\nuse = "fill"\n'
        '[[step]]\nuse = "relabel"\nothers = "Pit"\nnames = {}'
    )
    (found,) = line.propose(scene)
    assert (found.mask.box, found.label, found.score) == ((10, 10, 90, 50), "Pit", 0.5)
    assert line.version.startswith("line-")
    assert not line.needs_project


def test_a_source_adds_to_what_is_there_and_the_best_comes_first(load, scene):
    everything = load(EVERYTHING).propose(scene)
    both = load('[[step]]\nuse = "bright"\n[[step]]\nuse = "fill"\n' + EVERYTHING).propose(scene)
    assert len(both) == len(everything) + 1
    assert [one.score for one in both] == sorted((one.score for one in both), reverse=True)


def test_a_project_without_examples_is_proposed_nothing_by_its_memory(load, scene):
    line = load('[[step]]\nuse = "memory"')
    assert line.needs_project
    assert line.propose(scene) == []


def test_the_steps_are_described_and_a_broken_one_is_left_out(caplog):
    steps = {step.name: step for step in known_steps()}
    assert not steps.keys() & {"broken", "nothing"}
    assert "the step broken of line:broken cannot be used" in caplog.text
    bright = steps["bright"]
    assert (bright.takes, bright.gives) == ("", "boxes")
    assert bright.options == ("level = 200", 'label = "bright"')
    assert bright.summary == "Propose a box around all that is bright."
    assert (steps["filter"].takes, steps["filter"].gives) == ("boxes or masks", "boxes or masks")
    assert steps["detector"].options[0] == "file"
    assert {"max_area = inf", "labels = []", "limit = none"} < set(steps["filter"].options)


class NeedsFolder:
    """Has a default that JSON does not know, and fails where there is no such folder."""

    def __init__(self, *, folder: Path = Path("nowhere")) -> None:
        raise KeyError(f"{folder}\nis not there")

    def __call__(self, scene: Scene) -> list[ProposedMask]:
        return []


def test_a_step_with_any_default_is_described_and_one_that_cannot_begin_is_one_sentence(load, monkeypatch, caplog):
    points = [SimpleNamespace(name=name, value="line:Own", load=lambda: NeedsFolder) for name in ("own", "memory")]
    monkeypatch.setattr(pipeline, "entry_points", lambda group: points)
    steps = {step.name: step for step in known_steps()}
    assert steps["own"].options == ('folder = "nowhere"',)
    assert steps["memory"].options == ("limit = none",)
    assert "line:Own has the name memory, which is one of our own steps" in caplog.text
    with pytest.raises(BadRequestError, match=r"step 1: The step own cannot be used: KeyError: 'nowhere.*not there'.$"):
        load('[[step]]\nuse = "own"')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[step]", "is no TOML file"),
        ("x = " + "[" * 3000 + "]" * 3000, "is no TOML file"),
        ("", "has no steps; expected a table [[step]] for each step"),
        (EVERYTHING + '[[steps]]\nuse = "merge"', "{path} has 'steps' beside its steps; expected a table [[step]]"),
        ("[[step]]\nmin_area = 3", "Step 1 of {path} names nothing to use"),
        ('[[step]]\nuse = "everythin"', "step 1: there is no step 'everythin'; there are memory"),
        ('[[step]]\nuse = "everythin"', "did you mean everything?"),
        (EVERYTHING + "points = 3", "The step everything has no option points; it takes points_per_side"),
        (EVERYTHING + "points_per_side = 0", "step 1: points_per_side is from 1 to"),
        (
            EVERYTHING + 'limit = "many"',
            "The option limit of the step everything is wrong: Input should be a valid integer",
        ),
        ('[[step]]\nuse = "text"\ntexts = 3', "The option texts of the step text is wrong: Input should be a table"),
        (
            '[[step]]\nuse = "classify"\nfile = "line.toml"\nlabels = "pit"',
            "The option labels of the step classify is wrong: Input should be a list",
        ),
        ('[[step]]\nuse = "text"', "The option texts of the step text is wrong: Field required"),
        (
            '[[step]]\nuse = "detector"\nfile = "net.onnx"',
            "The option file of the step detector is wrong: there is no file",
        ),
        (EVERYTHING + '[[step]]\nuse = "segment"', "step 2: segment takes boxes, but before it there are masks"),
        ('[[step]]\nuse = "refine"', "step 1: refine takes masks, but before it nothing is proposed"),
        (EVERYTHING + '[[step]]\nuse = "bright"', "step 2: bright proposes boxes, but before it there are masks"),
        ('[[step]]\nuse = "bright"', "ends with boxes; add a step segment, or fill"),
        ('[[step]]\nuse = "broken"', "the step broken of line:broken cannot be used: no module named line"),
        ('[[step]]\nuse = "nothing"', "The step nothing is none: expected a function annotated like"),
        ('[[step]]\nuse = "detector"\nfile = "line.toml"', "{path}, step 1: {path} is no ONNX model"),
        ('[[step]]\nuse = "bright"\n[[step]]\nuse = "segment"\nmodel = "namo"', "There is no model 'namo'"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(load, tmp_path, text, sentence):
    with pytest.raises(BadRequestError) as error:
        load(text)
    assert sentence.format(path=tmp_path / "line.toml") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(BadRequestError, match=r"line.toml cannot be read: No such file"):
        Pipeline.load(tmp_path / "line.toml")


def test_a_pipeline_travels_as_its_file_which_must_have_the_same_version_there(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text('[[step]]\nuse = "everything"\n')
    here = Pipeline.load(file)
    sent = pickle.dumps(here)
    assert pickle.loads(sent).version == here.version
    file.write_text('[[step]]\nuse = "everything"\nlimit = 3\n')
    with pytest.raises(BadRequestError, match=rf"the version line-\w+; expected {here.version}, that of"):
        pickle.loads(sent)


def test_a_model_must_take_the_prompts_of_all_steps(load):
    line = load('[[step]]\nuse = "text"\ntexts = { Pit = "a pit" }')
    with pytest.raises(BadRequestError, match="The model nano takes no texts"):
        line.require(model_info("nano"))
    load(EVERYTHING).require(model_info("nano"))


def test_masks_without_pixels_are_dropped(load, scene, monkeypatch):
    points = [SimpleNamespace(name="empty", value="line:empty", load=lambda: empty)]
    monkeypatch.setattr(pipeline, "entry_points", lambda group: points)
    assert load('[[step]]\nuse = "empty"').propose(scene) == []


def empty(scene: Scene) -> list[ProposedMask]:
    return [ProposedMask(Cropped.of(np.zeros(scene.size, bool)), "Pit", 0.9)]


def test_a_mark_that_an_editor_puts_before_the_text_is_no_mistake(load):
    assert len(load("\ufeff" + EVERYTHING).steps) == 1


def proposing(answer):
    """Return a step that proposes what `answer` returns for a scene."""

    def step(scene: Scene) -> list[ProposedMask]:
        return answer(scene)

    return step


def a_mask(scene, **changes):
    mask = Cropped.of(np.ones(scene.size, bool))
    return ProposedMask(**{"mask": mask, "label": None, "score": 0.5, **changes})


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda scene: 1 / 0, r"failed with ZeroDivisionError: division by zero \(test_pipeline.py, line \d+\)"),
        (lambda scene: scene.image.fill(0), r"failed with ValueError: assignment destination is read-only"),
        (lambda scene: None, r"failed with TypeError: 'NoneType' object is not iterable"),
        (lambda scene: ["masks"], "gave str where masks were expected"),
        (lambda scene: [ProposedBox((0, 0, 1, 1), None, 0.5)], "gave ProposedBox where masks were expected"),
        (lambda scene: [a_mask(scene, mask=np.ones(scene.size, bool))], r"gave ndarray as a mask; expected Cropped.of"),
        (
            lambda scene: [a_mask(scene, mask=Cropped.of(np.ones((3, 4), bool)))],
            r"gave a mask for an image of \[3, 4\] pixels",
        ),
        (lambda scene: [a_mask(scene, score=float("nan"))], "gave the score nan; expected a number from 0 to 1"),
        (lambda scene: [a_mask(scene, score="high")], "gave the score 'high'"),
        (lambda scene: [a_mask(scene, label=3)], "gave the label 3; expected a text or None"),
    ],
)
def test_a_step_that_fails_or_gives_something_else_is_one_sentence(load, scene, monkeypatch, answer, sentence):
    points = [SimpleNamespace(name="own", value="line:own", load=lambda: proposing(answer))]
    monkeypatch.setattr(pipeline, "entry_points", lambda group: points)
    line = load(EVERYTHING + '[[step]]\nuse = "own"')
    with pytest.raises(StepError, match=r"^Pipeline line, step 2: The step own " + sentence):
        line.propose(scene)


@pytest.mark.parametrize("kind", [TimeoutError, AbandonedError])
def test_a_step_that_is_out_of_time_is_not_a_step_that_fails(load, scene, monkeypatch, kind):
    def late(scene):
        raise kind

    points = [SimpleNamespace(name="own", value="line:own", load=lambda: proposing(late))]
    monkeypatch.setattr(pipeline, "entry_points", lambda group: points)
    with pytest.raises(kind):
        load('[[step]]\nuse = "own"').propose(scene)


@pytest.mark.parametrize("box", [None, (1, 2, 3), (0, 0, float("inf"), 1), "abcd"])
def test_a_box_is_four_numbers(load, scene, monkeypatch, box):
    def own(scene: Scene) -> list[ProposedBox]:
        return [ProposedBox(box, None, 0.5)]

    points = [SimpleNamespace(name="own", value="line:own", load=lambda: own)]
    monkeypatch.setattr(pipeline, "entry_points", lambda group: points)
    with pytest.raises(StepError, match=r"gave the box .*; expected four numbers"):
        load('[[step]]\nuse = "own"\n[[step]]\nuse = "fill"').propose(scene)
