"""A company's own certificate: one setting for images, the API and the renewal of tokens."""

import json
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sam_backend.certificates import trusted_certificates
from sam_backend.errors import ImageServerError, SamInspectError, WeightsError
from sam_backend.labelstudio.client import LabelStudioClient
from sam_backend.labelstudio.images import TaskImages
from sam_backend.labelstudio.servers import Server
from sam_backend.labelstudio.transport import Transport
from sam_backend.segmenters import download
from tokens import LEGACY, make_jwt

UPLOAD = "/data/upload/1/x.png"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def address(bundle):
    answers = {
        UPLOAD: b"image",
        "/api/x/": b"{}",
        "/api/token/refresh/": json.dumps({"access": make_jwt("access")}).encode(),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path])

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_args):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle, bundle.with_name("key.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def fetch(address, token, certificates):
    transport = Transport(certificates=certificates)
    server = Server(address, token)
    LabelStudioClient(server, 5, transport).request("GET", "/api/x/", lambda answer: answer, about="project 1")
    return TaskImages(timeout=5, max_pixels=1, transport=transport).fetch(UPLOAD, server, 1)


@pytest.mark.parametrize("token", [LEGACY, make_jwt("refresh")], ids=["legacy", "personal"])
@pytest.mark.parametrize("name", [None, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_one_setting_is_enough_for_images_the_api_and_tokens(bundle, address, token, name, monkeypatch):
    if name:
        monkeypatch.setenv(name, str(bundle))
    assert fetch(address, token, trusted_certificates(None if name else bundle)) == b"image"


@pytest.mark.parametrize("token", [LEGACY, make_jwt("refresh")], ids=["legacy", "personal"])
def test_an_unknown_certificate_is_named_with_its_cure(address, token):
    with pytest.raises(
        ImageServerError, match=r"certificate of 127\.0\.0\.1 is not trusted.* set SAM_INSPECT_CA_BUNDLE"
    ):
        fetch(address, token, trusted_certificates())


def test_a_certificate_for_another_host_is_refused(address, bundle):
    with pytest.raises(ImageServerError, match="certificate of localhost is not trusted"):
        fetch(address.replace("127.0.0.1", "localhost"), LEGACY, trusted_certificates(bundle))


def test_a_bundle_that_cannot_be_read_is_refused_with_its_setting(tmp_path, monkeypatch):
    (tmp_path / "empty.pem").write_text("nothing")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(SamInspectError, match=r"SAM_INSPECT_CA_BUNDLE is .*; give a file of certificates"):
            trusted_certificates(path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with pytest.raises(SamInspectError, match="REQUESTS_CA_BUNDLE is"):
        trusted_certificates()


def test_downloads_of_weights_trust_the_same_certificates(address, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES", ())
    url, part = f"{address}{UPLOAD}", tmp_path / "x.part"
    with pytest.raises(WeightsError, match="certificate"):
        download.fetch(url, part, 5, trusted_certificates())
    download.fetch(url, part, 5, trusted_certificates(bundle))
    assert part.read_bytes() == b"image"
