import base64
import json

import numpy as np
import pytest

from loopback import send, serving
from object_stores import fresh_clients
from sam_backend.errors import BadRequestError, ImageServerError, SamInspectError
from sam_backend.labelstudio.addresses import shown
from sam_backend.labelstudio.allowed_hosts import AllowedHosts
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import Transport
from sam_backend.settings import read_settings
from tokens import LEGACY, make_jwt

LOOPBACK = AllowedHosts.parse("127.0.0.1")
FILE = b"the bytes of an image"
UPLOAD = "/data/upload/1/4dd20648-t1.jpg"
PROXIED = "/storage-data/uploaded/?filepath=upload/1/4dd20648-t1.jpg"


@pytest.fixture
def label_studio():
    with serving() as server:
        yield server


@pytest.fixture
def elsewhere():
    with serving() as server:
        yield server


@pytest.fixture
def images():
    return TaskImages(timeout=5, max_pixels=1000, transport=Transport(LOOPBACK))


@pytest.fixture
def impatient():
    return TaskImages(timeout=0.2, max_pixels=1000, transport=Transport(LOOPBACK))


def known(label_studio, token=LEGACY):
    return Server(label_studio.url, token)


def test_an_upload_is_fetched_with_the_legacy_token(label_studio, images):
    label_studio.routes[UPLOAD] = FILE
    assert images.fetch(UPLOAD, known(label_studio), 1) == FILE
    ((headers, path, _),) = label_studio.requests
    assert headers["Authorization"] == f"Token {LEGACY}"
    assert path == UPLOAD


@pytest.mark.parametrize("served", [PROXIED, UPLOAD], ids=["cloud storage", "own disk"])
def test_an_upload_behind_the_storage_proxy_is_fetched_from_where_it_is(label_studio, images, served):
    label_studio.routes[served.partition("?")[0]] = FILE
    assert images.fetch(PROXIED, known(label_studio), 1) == FILE
    assert label_studio.paths()[-1] == served


def test_a_personal_access_token_is_exchanged_and_sent_as_bearer(label_studio, images):
    short_lived = make_jwt("access")
    label_studio.routes |= {"/api/token/refresh/": json.dumps({"access": short_lived}).encode(), UPLOAD: FILE}
    assert images.fetch(UPLOAD, known(label_studio, make_jwt("refresh")), 1) == FILE
    assert label_studio.requests[-1][0]["Authorization"] == f"Bearer {short_lived}"


def test_a_local_file_is_fetched_from_label_studio_never_from_this_machine(label_studio, images):
    label_studio.routes["/data/local-files/"] = FILE
    url = "/data/local-files/?d=../../../../etc/passwd"
    assert images.fetch(url, known(label_studio), 1) == FILE
    assert label_studio.paths() == [url]


@pytest.mark.parametrize("uri", ["s3://bucket/a b.png", "gs://bucket/x.png", "azure-blob://container/x.png"])
def test_cloud_storage_goes_through_the_tasks_presign_and_the_token_stays_with_label_studio(
    label_studio, elsewhere, images, uri
):
    def redirect(handler):
        handler.send_response(303)
        handler.send_header("Location", f"http://localhost:{elsewhere.port}/signed?signature=abc")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    label_studio.routes["/tasks/5/presign/"] = redirect
    elsewhere.routes["/signed"] = FILE
    assert images.fetch(uri, known(label_studio), 5) == FILE
    encoded = base64.urlsafe_b64encode(uri.encode()).decode()
    assert label_studio.paths() == [f"/tasks/5/presign/?fileuri={encoded}"]
    assert "Authorization" in label_studio.requests[0][0]
    assert "Authorization" not in elsewhere.requests[0][0]


def test_cloud_storage_needs_the_tasks_id(label_studio, images):
    with pytest.raises(BadRequestError, match="task's id"):
        images.fetch("s3://bucket/x.png", known(label_studio), None)


def test_the_token_is_sent_with_plain_addresses_of_its_own_server_only(label_studio, elsewhere, images):
    for server in (label_studio, elsewhere):
        server.routes[UPLOAD] = FILE
        assert images.fetch(f"{server.url}{UPLOAD}", known(label_studio), 1) == FILE
    assert label_studio.requests[0][0]["Authorization"] == f"Token {LEGACY}"
    assert "Authorization" not in elsewhere.requests[0][0]


def test_an_image_elsewhere_needs_neither_a_server_nor_a_valid_token(label_studio, elsewhere, images):
    elsewhere.routes["/x.png"] = FILE
    assert images.fetch(f"{elsewhere.url}/x.png", None, None) == FILE
    assert images.fetch(f"{elsewhere.url}/x.png", known(label_studio, make_jwt("refresh")), 1) == FILE
    assert label_studio.requests == []


def test_a_file_is_fetched_anew_each_time(elsewhere, images):
    for content in (b"first", b"second"):
        elsewhere.routes["/x.png"] = content
        assert images.fetch(f"{elsewhere.url}/x.png", None, None) == content


@pytest.mark.parametrize("server", [None, Server("http://label-studio.example", "")], ids=["no address", "no token"])
@pytest.mark.parametrize("url", [UPLOAD, "upload/1/x.png", "/data/local-files/?d=x.png", "s3://bucket/x.png"])
def test_an_image_in_an_unknown_label_studio_says_what_to_set(images, server, url):
    with pytest.raises(BadRequestError, match="SAM_INSPECT_LABEL_STUDIO_API_KEY"):
        images.fetch(url, server, 1)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "/data/../etc/passwd",
        "etc/passwd",
        "ftp://x/y.png",
        "//x/y.png",
        "http://[",
    ],
)
def test_nothing_but_the_known_kinds_of_address_is_followed(label_studio, images, url):
    with pytest.raises(BadRequestError, match="must start with"):
        images.fetch(url, known(label_studio), 1)
    assert label_studio.requests == []


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_is_the_image_servers_and_names_the_status(elsewhere, images, status):
    elsewhere.routes["/x.png"] = status
    with pytest.raises(ImageServerError, match=f"answered {status}") as caught:
        images.fetch(f"{elsewhere.url.replace('//', '//user:secret@')}/x.png?signature=secret", None, None)
    assert caught.value.status == 502
    assert "secret" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(elsewhere, impatient):
    elsewhere.routes["/x.png"] = elsewhere.hang
    with pytest.raises(ImageServerError, match=r"within 0\.2 s"):
        impatient.fetch(f"{elsewhere.url}/x.png", None, None)


def test_a_server_that_drips_is_given_up_although_each_byte_is_in_time(elsewhere, impatient):
    def drip(handler):
        send(handler, b"", length=10**8)
        for _ in range(3000):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return
            if elsewhere.released.wait(0.01):
                return

    elsewhere.routes["/x.png"] = drip
    with pytest.raises(ImageServerError, match=r"within 0\.2 s"):
        impatient.fetch(f"{elsewhere.url}/x.png", None, None)


def test_a_server_that_breaks_off_is_reported(elsewhere, images):
    def break_off(handler):
        send(handler, FILE, length=10 * len(FILE))
        handler.close_connection = True

    elsewhere.routes["/x.png"] = break_off
    with pytest.raises(ImageServerError, match="broke off"):
        images.fetch(f"{elsewhere.url}/x.png", None, None)


def test_a_server_that_is_not_there_is_reported(elsewhere, images):
    with serving() as gone:
        url = gone.url
    with pytest.raises(ImageServerError, match="cannot be reached"):
        images.fetch(f"{url}/x.png", None, None)


def test_a_log_in_page_is_not_taken_for_an_image(label_studio, images):
    label_studio.routes[UPLOAD] = lambda handler: send(handler, b"<html>", content_type="text/html; charset=utf-8")
    with pytest.raises(ImageServerError, match="web page"):
        images.fetch(UPLOAD, known(label_studio), 1)


def test_a_redirection_without_end_is_given_up(elsewhere, images):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", "/x.png")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    elsewhere.routes["/x.png"] = redirect
    with pytest.raises(ImageServerError, match="redirects more than 5 times"):
        images.fetch(f"{elsewhere.url}/x.png", None, None)


def test_a_data_url_holds_its_own_bytes(images):
    encoded = base64.b64encode(FILE).decode()
    assert images.fetch(f"data:image/png;base64,{encoded}", None, None) == FILE
    assert images.fetch("data:image/svg+xml,%3Csvg%3E", None, None) == b"<svg>"


@pytest.mark.parametrize("url", ["data:image/png;base64,a", "data:image/png;base64,%%%", "data:image/png"])
def test_a_broken_data_url_is_the_callers_mistake(images, url):
    with pytest.raises(BadRequestError, match="data: URL"):
        images.fetch(url, None, None)


def test_an_unreadable_file_is_reported_by_its_address_without_the_secrets_in_it(images):
    with pytest.raises(BadRequestError, match=r"http://x/y\.png is not an image"):
        images.open(b"no image", "http://user:password@x/y.png?signature=secret")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:password@host:1/a/b.png?X-Amz-Signature=1#part", "https://host:1/a/b.png"),
        ("/data/local-files/?d=parts/1.png", "/data/local-files/?d=parts/1.png"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,…"),
        ("s3://bucket/key.png", "s3://bucket/key.png"),
    ],
)
def test_a_message_shows_an_address_without_what_could_be_secret(url, expected):
    assert shown(url) == expected


def test_a_message_shows_a_long_address_shortened():
    assert len(shown("https://host/" + "x" * 10_000)) <= 200


def test_what_was_fetched_is_decoded(images):
    pgm = b"P5 3 2 255\n" + bytes(range(6))
    np.testing.assert_array_equal(images.open(pgm, "x").whole().pixels, np.arange(6).reshape(2, 3))


class TestOnStores:
    @pytest.fixture
    def direct(self, s3, monkeypatch):
        """Images of the folder `line-1` of a bucket are read from there, not through Label Studio."""
        s3.put("line-1/a ü.png", FILE)
        s3.put("private/b.png", b"secret")
        monkeypatch.setenv("SAM_INSPECT_STORES", f"s3://other-bucket {s3.address}/line-1/")
        return TaskImages.of_settings(read_settings())

    def test_an_image_of_a_named_folder_is_read_there(self, direct, s3):
        assert direct.fetch(f"{s3.address}/line-1/a ü.png", None, None) == FILE

    @pytest.mark.parametrize("path", ["private/b.png", "line-1/../private/b.png", "line-10/b.png", "k:s@x/b.png"])
    def test_other_addresses_go_through_label_studio(self, direct, s3, path):
        with pytest.raises(BadRequestError, match="lies in a Label Studio whose address is not known"):
            direct.fetch(f"{s3.address}/{path}", None, 1)

    def test_an_image_that_is_not_there_is_named(self, direct, s3):
        with pytest.raises(BadRequestError, match=r"line-1/no\.png cannot be read: No such file or directory"):
            direct.fetch(f"{s3.address}/line-1/no.png", None, 1)

    def test_a_store_that_refuses_is_an_error_of_the_image(self, direct, s3, monkeypatch):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with fresh_clients(), pytest.raises(ImageServerError, match=r"could not be fetched: .*Could not connect"):
            direct.fetch(f"{s3.address}/line-1/a ü.png", None, 1)

    @pytest.mark.parametrize(
        ("setting", "sentence"),
        [("/data/images", "names /data/images; name folders"), ("s3://", "names s3://"), ("foo://a", "not known: foo")],
    )
    def test_a_setting_that_names_no_folder_is_refused(self, monkeypatch, setting, sentence):
        monkeypatch.setenv("SAM_INSPECT_STORES", setting)
        with pytest.raises(SamInspectError, match=f"SAM_INSPECT_STORES.* {sentence}"):
            TaskImages.of_settings(read_settings())
