import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import jwt
import pytest

from sam_backend.doctor.findings import Check, Outcome, examine
from sam_backend.doctor.label_studio_checks import LabelStudioWay, lacks
from sam_backend.labelstudio.config import LabelingConfig
from sam_backend.labelstudio.config_writer import write_config
from sam_backend.labelstudio.connections import TransportError
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import Server, ServerRegistry
from sam_backend.labelstudio.transport import HttpAnswer


class OtherServer:
    """Answers every request the same; `body` is JSON."""

    def __init__(self, body, status=200, date=""):
        self.answer = HttpAnswer("", status, {"date": date}, json.dumps(body).encode())

    def send(self, request, deadline, max_bytes):
        return self.answer


class Away:
    def send(self, request, deadline, max_bytes):
        raise TransportError("did not come within 10 s")


def way(tmp_path, transport, token="abc"):
    servers = ServerRegistry(tmp_path, transport=transport)
    images = TaskImages(timeout=1, max_pixels=100, transport=transport)
    return LabelStudioWay(servers, Server("http://studio:8080", token), images)


def outcomes(found):
    return [(one.check, one.outcome) for one in found]


def test_a_server_that_is_away_or_is_no_label_studio_ends_the_way(tmp_path):
    (away, skipped) = examine(way(tmp_path, Away()).checks())
    assert "http://studio:8080 cannot be reached: its answer did not come within 10 s" in away.found
    assert (away.outcome, skipped.outcome) == (Outcome.FAILED, Outcome.SKIPPED)
    (other, _) = examine(way(tmp_path, OtherServer({"status": "UP"}, 404)).checks())
    assert "answers, with status 404, but not as Label Studio does" in other.found


def test_an_error_that_nobody_foresaw_fails_one_check_and_not_the_doctor():
    def broken():
        raise KeyError("state of http://me:secret@studio")
        yield

    first, after = examine([Check("model", broken), Check("click", broken)])
    assert (first.outcome, after.outcome) == (Outcome.FAILED, Outcome.SKIPPED)
    assert "not foreseen: KeyError" in first.found
    assert "secret" not in first.found


def test_what_a_server_says_stays_on_one_line_without_control_characters():
    (finding,) = examine([Check("model", lambda: iter([(Outcome.OK, "1.23\x1b[31m\nall is well", "")]))])
    assert finding.found == r"1.23\x1b[31m\nall is well"


@pytest.mark.parametrize("answer", [None, [], "ann", 5])
def test_a_user_that_cannot_be_read_is_a_failed_token(tmp_path, answer):
    class Studio:
        def send(self, request, deadline, max_bytes):
            body = {"release": "1.23.2"} if "version" in request.url else answer
            return HttpAnswer("", 200, {}, json.dumps(body).encode())

    found = list(examine(way(tmp_path, Studio()).checks()))
    assert outcomes(found)[1] == ("token", "failed")
    assert "does not answer about its user as it should" in found[1].found


@pytest.mark.parametrize(
    ("release", "drift", "expected"),
    [
        ("1.23.2", 5, [("Label Studio", "ok"), ("Label Studio", "ok")]),
        ("1.7.0", 5, [("Label Studio", "warning"), ("Label Studio", "ok")]),
        ("1.23.2", 400, [("Label Studio", "ok"), ("Label Studio", "failed")]),
    ],
)
def test_another_release_and_clocks_that_differ_are_said(tmp_path, release, drift, expected):
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=drift))
    found = list(examine(way(tmp_path, OtherServer({"release": release}, date=date)).checks()))
    assert outcomes(found)[:2] == expected


@pytest.mark.parametrize(
    ("token", "found", "cure"),
    [
        ("", "No token is known", "SAM_INSPECT_LABEL_STUDIO_API_KEY"),
        (jwt.encode({"token_type": "access"}, "k" * 32), "short-lived access token", "personal access token"),
        ("abc", "does not know the token", "Switch legacy tokens on"),
        (jwt.encode({"token_type": "refresh"}, "k" * 32), "answered 401 to the personal access token", "Make a new"),
    ],
)
def test_each_kind_of_token_that_does_not_work_has_its_cure(tmp_path, token, found, cure):
    checks = way(tmp_path, OtherServer({"release": "1.23.2"}, 401), token).checks()
    *_, finding = examine(checks)
    assert finding.outcome == Outcome.FAILED
    assert found in finding.found
    assert cure in finding.cure


def test_what_a_labeling_config_lacks_is_named():
    assert not lacks(LabelingConfig.parse(write_config(["Pit"])))
    image, pit = '<View><Image name="i" value="$image"/>', '<Label value="Pit"/>'
    plain = f'{image}<BrushLabels name="m" toName="i">{pit}</BrushLabels></View>'
    ((found, _),) = lacks(LabelingConfig.parse(plain))
    assert "No tool is smart" in found
    tool = f'<KeyPointLabels name="k" toName="i" smart="true">{pit}<Label value="Crack"/></KeyPointLabels></View>'
    ((found, cure),) = lacks(LabelingConfig.parse(plain.replace("</View>", tool)))
    assert "The smart tool k has the labels Crack, which no control for masks has" in found
    assert cure == "Give both the same labels."
