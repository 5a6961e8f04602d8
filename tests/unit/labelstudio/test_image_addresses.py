import pytest

from sam_backend.errors import BadRequestError
from sam_backend.labelstudio.addresses import Origin, literal_origin
from sam_backend.labelstudio.allowed_hosts import AllowedHosts
from sam_backend.labelstudio.image_addresses import image_source, is_file_of_label_studio
from sam_backend.labelstudio.servers import Server

LS = "http://ls.factory:8080"
NONE = AllowedHosts()
KNOWN = Server(LS, "t")


def source(url, server=KNOWN, task=5, allowed=NONE):
    return image_source(url, server, task, allowed)


@pytest.mark.parametrize(
    ("hostname", "announced", "url", "fetched"),
    [
        (LS, LS, "/data/upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (LS, LS, "upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (LS, LS, "/data//upload/1/a b%25.png", f"{LS}/data/upload/1/a%20b%25.png"),
        (LS, LS, f"{LS}/data/upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (f"{LS}/ls", f"{LS}/ls", "/ls/data/upload/1/x.png", f"{LS}/ls/data/upload/1/x.png"),
        (f"{LS}/ls", f"{LS}/ls", "/data/upload/1/x.png", f"{LS}/ls/data/upload/1/x.png"),
        (f"{LS}/ls", f"{LS}/ls", f"{LS}/ls/data/local-files/?d=a.png", f"{LS}/ls/data/local-files/?d=a.png"),
        (LS, "http://localhost:8080/ls", "/ls/data/upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (LS, "http://localhost:8080", "http://localhost:8080/data/local-files/?d=ü/a b.png",
         f"{LS}/data/local-files/?d=%C3%BC/a%20b.png"),
        (LS, LS, "http://127.0.0.1:9999/data/upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (LS, LS, "http://host.docker.internal/tasks/5/presign/?fileuri=czM6", f"{LS}/tasks/5/presign/?fileuri=czM6"),
        (LS, "https://labels.example", "https://labels.example/data/upload/1/x.png", f"{LS}/data/upload/1/x.png"),
        (LS, LS, "s3://bucket/x.png", f"{LS}/tasks/5/presign/?fileuri=czM6Ly9idWNrZXQveC5wbmc="),
    ],
)  # fmt: skip
def test_a_file_of_label_studio_is_fetched_from_the_one_that_is_known_however_it_is_stored(
    hostname, announced, url, fetched
):
    result = source(url, Server(hostname, "t", announced))
    assert (result.urls, result.own) == ((fetched,), Origin.of(hostname))


def test_an_upload_in_the_storage_proxy_has_two_places():
    urls = source("/storage-data/uploaded/?filepath=upload/1/x.png").urls
    assert urls == (f"{LS}/storage-data/uploaded/?filepath=upload/1/x.png", f"{LS}/data/upload/1/x.png")


@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/../../api/users/",
        "/data/upload/%2e%2e/%2e%2e/api/users/",
        "/data/upload/%252e%252e/api/users/",
        "/data/upload/..;/api/users/",
        "/data/upload/..\\..\\api/users/",
        "/data/upload/..%5c../api/users/",
        f"{LS}/data/upload/../../api/users/",
        "http://localhost:8080/data/upload/../../api/users/",
        "/storage-data/uploaded/?filepath=../api/users/",
        "/storage-data/uploaded/?filepath=upload/../../api/users/",
        "/storage-data/uploaded/?filepath=upload/%2e%2e/%2e%2e/api/",
        "/storage-data/../api/users/",
        "upload/../../api/users/",
        "/api/users/",
        "/tasks/5/annotations/",
        "/tasks/../api/presign/",
        "/admin/",
        "//ls.factory:8080/data/upload/1/x.png",
        "file:///data/upload/1/x.png",
        "FILE:/etc/passwd",
        "gopher://x/data/upload/1/x.png",
    ],
)
def test_nothing_but_the_files_of_label_studio_can_be_reached_there(url):
    with pytest.raises(BadRequestError):
        source(url)


@pytest.mark.parametrize("task", ["../../api/users", "5/../..", "5?x=", "\u0665", "", "5 ", -1, None, 1.5])
def test_a_task_id_that_is_no_number_makes_no_path(task):
    with pytest.raises(BadRequestError, match="needs the task's id"):
        source("s3://bucket/x.png", task=task)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/data/upload/1/x.png", True), ("/x.png", False), ("/api/users", False), ("/data/upload/../../api", False)],
)
def test_only_files_of_label_studio_may_get_its_token(path, expected):
    assert is_file_of_label_studio(f"{LS}{path}", Server(LS, "t")) is expected


def test_a_loopback_host_that_the_operator_names_is_taken_by_its_name():
    url = "http://127.0.0.1:9999/data/upload/1/x.png"
    assert source(url, allowed=AllowedHosts.parse("127.0.0.1:9999")).urls == (url,)


def test_other_addresses_go_where_they_say_and_are_not_label_studios():
    result = source("https://images.example/data/a b.png?sig=a%2Fb")
    assert (result.urls, result.own) == (("https://images.example/data/a%20b.png?sig=a%2Fb",), None)


@pytest.mark.parametrize(
    ("template", "origin"),
    [
        ("http://images.factory:81/parts/$file", Origin("http", "images.factory", 81)),
        ("https://images.factory/$file", Origin("https", "images.factory", 443)),
        ("http://$host/x", None),
        ("http://images.factory$rest", None),
        ("$image", None),
    ],
)
def test_a_config_names_a_server_only_where_it_is_written_out(template, origin):
    assert literal_origin(template) == origin


def test_local_files_are_read_below_their_folder_only(tmp_path, monkeypatch):
    root, outside = tmp_path / "images", tmp_path / "secret.png"
    root.mkdir()
    outside.write_bytes(b"secret")
    (root / "a.png").write_bytes(b"image")
    (root / "link.png").symlink_to(outside)
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", str(root))
    assert source("/data/local-files/?d=a.png", server=None).file == root / "a.png"
    for name in ("../secret.png", "link.png", "x/../../secret.png", "%2e%2e/secret.png"):
        with pytest.raises(BadRequestError, match="outside LOCAL_FILES_DOCUMENT_ROOT"):
            source(f"/data/local-files/?d={name}")
    assert source("/data/local-files/?d=missing.png").file is None
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", "/")
    assert source("/data/local-files/?d=etc/passwd").file is None


@pytest.mark.parametrize("url", ["http://x/\ud800", "s3://bucket/\ud800", "/data/upload/" + "x" * 2**16])
def test_an_address_that_is_no_text_or_endless_is_refused(url):
    with pytest.raises(BadRequestError, match="is no address"):
        source(url)


@pytest.mark.parametrize("name", ["x" * 5000, "loop/x"])
def test_a_local_file_that_cannot_be_looked_up_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", str(tmp_path))
    with pytest.raises(BadRequestError, match="cannot be found below"):
        source(f"/data/local-files/?d={name}")


def test_an_absolute_address_of_a_label_studio_without_a_known_token_is_tried_without_one():
    url = f"{LS}/data/upload/1/x.png"
    result = source(url, Server(LS, ""))
    assert (result.urls, result.own) == ((url,), Origin.of(LS))
