"""Downloads against a loopback server that can resume, break off, refuse and lie."""

from contextlib import suppress

import numpy as np
import pytest

from loopback import serving
from sam_backend.errors import WeightsError
from sam_backend.segmenters import download
from sam_backend.segmenters.download import fetch

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SIZE = len(CONTENT)
HALF = SIZE // 2


def send(handler, content):
    # A client that has seen enough hangs up.
    with suppress(OSError):
        handler.wfile.write(content)


def whole(handler, content=CONTENT, etag='"1"', length=None, upto=None):
    """Send everything with status 200, whatever was asked for; break off after `upto` bytes."""
    handler.send_response(200)
    handler.send_header("ETag", etag)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    send(handler, content[:upto])


def rest(handler, etag='"1"', shift=0, upto=None, total=SIZE):
    """Send what the Range header asks for."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")) + shift
    handler.send_response(206)
    handler.send_header("ETag", etag)
    handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    handler.send_header("Content-Length", str(SIZE - start))
    handler.end_headers()
    send(handler, CONTENT[start:upto])


def refuse(status):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def with_options(answer, **options):
    return lambda handler: answer(handler, **options)


class Script:
    """Answers of the server one by one, the last one for ever; and the Range of each request."""

    def __init__(self, loopback):
        self.url = f"{loopback.url}/weights.pth"
        self.loopback = loopback
        self.answers = []
        loopback.routes["/weights.pth"] = self

    def __call__(self, handler):
        (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(handler)

    @property
    def ranges(self):
        return [headers.get("Range") for headers, _, _ in self.loopback.requests]


@pytest.fixture
def server():
    with serving() as loopback:
        yield Script(loopback)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))


@pytest.fixture
def part(tmp_path):
    return tmp_path / "weights.pth.part"


def test_a_file_arrives_whole_and_nothing_else_stays(server, part):
    server.answers = [whole]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT
    assert list(part.parent.iterdir()) == [part]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, part):
    server.answers = [with_options(whole, upto=HALF), with_options(rest, upto=HALF + 10), rest]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 10}-"]


def test_a_later_process_goes_on_where_an_earlier_one_gave_up(server, part):
    server.answers = [with_options(whole, upto=HALF), refuse(503)]
    with pytest.raises(WeightsError, match="503"):
        fetch(server.url, part, SIZE)
    server.answers = [rest]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_a_server_that_ignores_the_range_makes_it_start_again(server, part):
    part.write_bytes(CONTENT[:HALF])
    server.answers = [whole]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "answer",
    [with_options(rest, etag='"2"'), with_options(rest, shift=5), refuse(416)],
    ids=["another ETag", "another range than asked for", "416"],
)
def test_a_rest_that_does_not_fit_the_beginning_makes_it_start_again(server, part, answer):
    server.answers = [with_options(whole, upto=HALF), answer, whole]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_a_passing_trouble_of_the_server_is_waited_out(server, part):
    server.answers = [refuse(500), refuse(503), whole]
    fetch(server.url, part, SIZE)
    assert part.read_bytes() == CONTENT


def test_trouble_that_stays_is_reported_after_the_pauses(server, part):
    server.answers = [refuse(500)]
    with pytest.raises(WeightsError, match="the server answered 500") as caught:
        fetch(server.url, part, SIZE)
    assert len(server.ranges) == 1 + len(download.PAUSES)
    assert f"put weights.pth (3 MB) into {part.parent}" in str(caught.value)


def test_a_missing_file_is_reported_at_once(server, part):
    server.answers = [refuse(404)]
    with pytest.raises(WeightsError, match="404 Not Found"):
        fetch(server.url, part, SIZE)
    assert len(server.ranges) == 1


def test_a_file_of_another_size_is_refused_before_it_is_stored(server, part):
    server.answers = [with_options(whole, content=b"<html>log in first</html>")]
    with pytest.raises(WeightsError, match=f"expected a file of {SIZE} bytes, the server has one of 25"):
        fetch(server.url, part, SIZE)
    assert not part.exists()


def test_a_rest_of_a_file_of_another_size_is_refused(server, part):
    part.write_bytes(CONTENT[:HALF])
    server.answers = [with_options(rest, total=SIZE + 7)]
    with pytest.raises(WeightsError, match=f"the server has one of {SIZE + 7}"):
        fetch(server.url, part, SIZE)


def test_a_server_that_never_stops_sending_is_cut_off(server, part):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            try:
                handler.wfile.write(CONTENT)
            except OSError:
                return

    server.answers = [endless]
    with pytest.raises(WeightsError, match="the server sends more"):
        fetch(server.url, part, SIZE)


def test_a_server_that_loses_the_file_again_and_again_does_not_keep_it_busy_for_ever(server, part):
    server.answers = [with_options(whole, upto=HALF), refuse(416)] * 20
    with pytest.raises(WeightsError):
        fetch(server.url, part, SIZE)
    assert len(server.ranges) < 10


def test_without_a_network_one_line_says_at_once_what_to_put_where(part, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with serving() as loopback:
        url = f"{loopback.url}/weights.pth"
    with pytest.raises(WeightsError) as caught:
        fetch(url, part, SIZE)
    assert pauses == []
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"put weights.pth (3 MB) into {part.parent}.")
