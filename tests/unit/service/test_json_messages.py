import json

import pytest

from label_studio_requests import CONFIG, click, interactive
from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.messages import Event, PredictRequest, SetupRequest, ValidateRequest, parse_message
from sam_backend.service import json_messages

PADDING = "x" * 2**18
"""Makes a body large, in a field that is not read."""
PROJECT = {"id": 1}


def parse_body(body, kind, left_out=None):
    return json_messages.parse_body(body, kind, [] if left_out is None else left_out)


def drawn(value):
    """A click whose region holds the JSON `value`."""
    text = json.dumps(interactive({"value": "HERE"}))
    return text.replace('"HERE"', value).encode()


@pytest.mark.parametrize("padding", ["", PADDING], ids=["small", "large"])
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (interactive(click(25, 15), annotations=[{"result": [1, 2]}], drafts=[]), PredictRequest),
        ({"tasks": [{"id": "a"}, {"data": {"image": "ü\n"}}], "label_config": CONFIG, "params": None}, PredictRequest),
        ({"project": 7, "hostname": None, "access_token": "t"}, SetupRequest),
        ({"config": "<View/>"}, ValidateRequest),
        ({"action": "A", "project": PROJECT, "annotation": {"id": 1, "result": [{"a": [1.5, None, True]}]}}, Event),
        ({"action": "A", "annotations": [{"id": 1}], "tasks": [{"id": 2}], "task": [{"id": 3}]}, Event),
        ({"action": "A", "project": {"id": 1, "created_at": "2026-11-23T05:20:01Z"}, "annotation": None}, Event),
    ],
)
def test_a_body_of_any_size_is_the_same_message(values, kind, padding):
    assert parse_body(json.dumps({**values, "more": padding}).encode(), kind) == parse_message(values, kind)


def test_what_is_not_read_of_a_large_body_is_not_limited(monkeypatch):
    monkeypatch.setattr(json_messages, "_MAX_VALUES", 100)
    monkeypatch.setattr(json_messages, "_MAX_CONTAINERS", 100)
    body = interactive(click(25, 15), more=[{"result": [[7] * 200_000, [[]] * 1000]}])
    assert parse_body(json.dumps(body).encode(), PredictRequest).tasks[0].id == 1


def test_values_of_a_task_that_are_too_many_are_left_out_the_click_is_read_and_the_answer_says_so(monkeypatch):
    monkeypatch.setattr(json_messages, "_MAX_VALUES", 1000)
    body = interactive(click(25, 15), annotations=[{"result": [[7] * 200_000]}], drafts=[{"result": [7]}])
    left_out = []
    request = parse_body(json.dumps(body).encode(), PredictRequest, left_out)
    assert request.drawn
    assert request.tasks[0].annotations is None
    assert request.tasks[0].drafts == [{"result": [7]}]
    (sentence,) = left_out
    assert sentence.startswith("The annotations of a task are left out")


def test_brush_masks_have_no_limit_but_the_bodys_and_stay_text(monkeypatch):
    monkeypatch.setattr(json_messages, "_MAX_VALUES", 1000)
    masks = [[number % 256] * 2000 for number in range(100)]
    regions = [{"id": f"r{number}", "value": {"format": "rle", "rle": rle}} for number, rle in enumerate(masks)]
    body = interactive({"value": {"rle": [1, 2, 300]}}, annotations=[{"result": regions}], drafts=[{"rle": "text"}])
    request = parse_body(json.dumps(body).encode(), PredictRequest)
    read = request.tasks[0].annotations[0]["result"]
    assert [region["value"]["rle"].numbers() for region in read] == masks
    assert request.drawn[0]["value"]["rle"].numbers() == [1, 2, 300]
    assert request.tasks[0].drafts == [{"rle": "text"}]


@pytest.mark.parametrize("content", ["[]", '["a", [1]]', "[[1, 2], 3]", '[{"a": "]"}]', '"[1, 2]"', '{"rle": [[]]}'])
def test_a_list_that_is_no_list_of_numbers_is_read_as_it_is(content):
    text = json.dumps(interactive(click(25, 15), annotations="HERE", drafts=PADDING)).replace('"HERE"', content)
    expected = json.loads(content)
    assert parse_body(text.encode(), PredictRequest).tasks[0].annotations == expected
    named = text.replace(content, f'{{ "rle" : {content}}}')
    read = parse_body(named.encode(), PredictRequest).tasks[0].annotations["rle"]
    assert (read.numbers() if isinstance(read, BrushText) else read) == expected


def test_a_text_that_looks_like_a_mask_stays_a_text():
    looks = '{"rle": [1, 2], "rle" : [3, "rle'
    request = parse_body(
        json.dumps(interactive(click(25, 15), drafts=PADDING, annotations=looks)).encode(), PredictRequest
    )
    assert request.tasks[0].annotations == looks


def test_one_mask_cannot_be_in_two_places():
    body = json.dumps(interactive(click(25, 15), drafts=PADDING, annotations="HERE"))
    text = body.replace('"HERE"', r'[{"rle": [5, 6]}, {"r\u006ce": [0]}, {"r\u006ce": [0]}]')
    read = parse_body(text.encode(), PredictRequest).tasks[0].annotations
    assert sum(isinstance(value["rle"], BrushText) for value in read) == 1


@pytest.mark.parametrize("limit", ["_MAX_VALUES", "_MAX_CONTAINERS", "_MAX_OBJECTS", "_MAX_TEXTS"])
def test_what_is_read_of_a_large_body_has_a_limited_number_of_values(monkeypatch, limit):
    monkeypatch.setattr(json_messages, limit, 1000)
    task = {"id": 1, "data": {"a": [{"b": "c"}] * 600}}
    body = {"tasks": [task, task], "label_config": "", "more": PADDING}
    with pytest.raises(BadRequestError, match="1,000"):
        parse_body(json.dumps(body).encode(), PredictRequest)


@pytest.mark.parametrize("padding", ["", PADDING], ids=["small", "large"])
@pytest.mark.parametrize("depth", [100, 900, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_body_that_is_nested_too_deeply_is_a_bad_request(padding, depth, opening, closing):
    value = f'{{"a": {opening * depth}1{closing * depth}, "b": "{padding}"}}'
    with pytest.raises(BadRequestError, match="more than 64"):
        parse_body(drawn(value), PredictRequest)


@pytest.mark.parametrize(
    "value",
    [
        "1" + "0" * 400,
        "-1" + "0" * 400,
        "1" * 5000,
        "1e400",
        "-1e400",
        "1e300",
        "NaN",
        "Infinity",
        "-Infinity",
        "[1e16]",
    ],
)
def test_a_number_that_no_image_has_is_a_bad_request(value):
    with pytest.raises(BadRequestError):
        parse_body(drawn(value), PredictRequest)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_another_server_cannot_pass_on_such_a_number(value):
    body = interactive({"value": [{"x": value}]})
    with pytest.raises(BadRequestError, match="a number must be between"):
        parse_message(body, PredictRequest)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\ud800 b"', r'"\udc00"'])
def test_half_a_letter_is_a_bad_request(text):
    with pytest.raises(BadRequestError, match="must be JSON"):
        parse_body(drawn(text), PredictRequest)


@pytest.mark.parametrize("project", ["x" * 256, "ü" * 128, 10**40, -(10**40)])
@pytest.mark.parametrize("kind", [PredictRequest, SetupRequest])
def test_a_project_that_cannot_be_one_is_a_bad_request(project, kind):
    with pytest.raises(BadRequestError, match="'project'"):
        parse_body(json.dumps({**interactive(), "project": project}).encode(), kind)


def test_an_id_that_cannot_be_one_is_a_bad_request():
    with pytest.raises(BadRequestError, match=r"'tasks\.0\.id'"):
        parse_body(json.dumps(interactive(number=10**30)).encode(), PredictRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"annotations": [{"id": "abc"}]},
        {"annotation": {"id": [1]}},
        {"annotations": [{}]},
        {"tasks": [{"id": "abc"}]},
        {"tasks": [{"id": "²"}]},
        {"task": {"id": "abc"}},
        {"tasks": [7]},
        {"project": {"id": 10**30}},
    ],
)
def test_an_event_about_nothing_that_can_be_is_a_bad_request(fields):
    with pytest.raises(BadRequestError):
        parse_body(json.dumps({"action": "ANNOTATIONS_DELETED", "project": PROJECT, **fields}).encode(), Event)


@pytest.mark.parametrize("padding", ["", PADDING], ids=["small", "large"])
def test_bad_items_of_an_event_are_left_out_with_their_reason_and_the_others_kept(padding):
    fields = {"annotations": [{"id": 1}, {"id": "abc"}, {"id": 2}], "tasks": [{"id": "x"}, {"id": 5}], "more": padding}
    event = parse_body(json.dumps({"action": "A", "project": PROJECT, **fields}).encode(), Event)
    assert [annotation.id for annotation in event.all_annotations] == [1, 2]
    assert [task.id for task in event.all_tasks] == [5]
    first, second = event.refused
    assert first.startswith("Item 1 of 'annotations' is left out")
    assert "'x'" in second


def test_a_client_cannot_write_its_own_refusals():
    assert parse_body(b'{"action": "A", "refused": ["forged"]}', Event).refused == []
