"""A path on a store behaves as one of a disk; what a store refuses is one sentence without a secret."""

from __future__ import annotations

import json
import logging
import os
import pickle
import socket
from pathlib import Path

import pytest
from fsspec.config import conf
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.memory import MemoryFileSystem
from gcsfs import GCSFileSystem

from object_stores import KEYS, SECRET, fresh_clients
from sam_backend import stores
from sam_backend.errors import MissingExtraError, StoreError
from sam_backend.files import link_or_copy, whole_file, write_whole
from sam_backend.stores import StorePath, absolute, files_below, is_collapsed_address, place

NAMES = ("a.png", "b [1] #%.png", "ümlaut ä.txt", "one/a.png", "one/two/c.PNG", "one/two/d.json", ".hidden/e.png")


@pytest.fixture
def disk(tmp_path):
    for name in NAMES:
        write_whole(tmp_path / "set" / name, name.encode())
    return tmp_path / "set"


@pytest.fixture
def store(disk, s3):
    return place(s3.upload(disk, "deep/set"))


@pytest.fixture
def restart():
    with fresh_clients():
        yield


def below(root, paths):
    return sorted(path.relative_to(root).as_posix() for path in paths)


@pytest.mark.parametrize(
    "pattern", ["*", "*.png", "*/*.png", "**/*", "**/*.png", "*/two/*", "b [[]1]*.png", "no", "no/*"]
)
def test_a_pattern_matches_what_it_matches_on_a_disk(disk, store, pattern):
    assert below(store, store.glob(pattern)) == below(disk, disk.glob(pattern))


@pytest.mark.parametrize("pattern", ["*", "*.png", "two/*", "[cd].*"])
def test_a_pattern_at_any_depth_matches_what_it_matches_on_a_disk(disk, store, pattern):
    assert below(store, store.rglob(pattern)) == below(disk, disk.rglob(pattern))
    assert below(store, store.iterdir()) == below(disk, disk.iterdir())
    assert below(store, files_below(store)) == below(disk, files_below(disk))


def test_files_are_read_and_described_as_on_a_disk(disk, store):
    for path in files_below(store):
        same = disk / path.relative_to(store)
        fresh = store / path.relative_to(store)
        assert path.read_bytes() == fresh.read_bytes() == same.read_bytes()
        assert path.stat().st_size == fresh.stat().st_size == same.stat().st_size
        assert path.stat().st_mtime_ns == fresh.stat().st_mtime_ns > 1e18
    assert (store / "ümlaut ä.txt").read_text("utf-8") == "ümlaut ä.txt"
    assert (store.is_dir(), store.is_file(), store.exists()) == (True, False, True)
    assert ((store / "a.png").is_dir(), (store / "a.png").is_file()) == (False, True)
    assert not (store / "no").exists()
    assert not (store.parent / "se").exists()


def test_a_path_keeps_its_address_and_its_bucket(store):
    address = str(store)
    assert address.startswith("s3://bucket-")
    assert str(store / "one" / ".." / "a.png").endswith("deep/set/one/../a.png")
    assert str(absolute(store / "one" / ".." / "a.png")) == f"{address}/a.png"
    assert (store / "one" / ".." / "a.png").read_bytes() == b"a.png"
    assert str(pickle.loads(pickle.dumps(store / "a.png"))) == f"{address}/a.png"
    bucket = store.parent.parent
    assert str(bucket) == address.removesuffix("/deep/set")
    assert bucket.parent == bucket
    assert {store: 1}[place(address)] == 1
    assert store.with_name("x").name == "x"


def test_a_file_that_is_missing_is_named_by_its_address(store):
    for call in (lambda: (store / "no").read_bytes(), (store / "no").stat, lambda: list((store / "no").iterdir())):
        with pytest.raises(FileNotFoundError) as raised:
            call()
        assert (raised.value.strerror, raised.value.filename) == ("No such file or directory", f"{store}/no")
    (store / "no").unlink(missing_ok=True)


def test_a_file_is_written_whole_or_not_at_all(store, s3):
    write_whole(store / "new/x.bin", b"1")
    write_whole(store / "new/x.bin", b"22")
    assert s3.files("deep/set/new/") == {"x.bin": b"22"}
    write_whole(store / "page/x.html", b"<p>")
    told = s3.client.head_object(Bucket=s3.name, Key="deep/set/page/x.html")
    assert told["ContentType"] == "text/html"

    def broken():
        with whole_file(store / "new/y.bin") as file:
            file.write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        broken()
    assert list(s3.files("deep/set/new/")) == ["x.bin"]
    (store / "new/x.bin").unlink()
    assert not s3.files("deep/set/new/")


def test_files_are_copied_between_stores_and_disks(disk, store, s3, tmp_path):
    link_or_copy(disk / "a.png", store / "up.png")
    link_or_copy(store / "up.png", store / "across.png")
    link_or_copy(store / "across.png", tmp_path / "down.png")
    link_or_copy(store / "a.png", place("memory://other/a.png"))
    assert (tmp_path / "down.png").read_bytes() == b"a.png"
    assert place("memory://other/a.png").read_bytes() == b"a.png"
    assert [path.name for path in place("memory://other").glob("*")] == ["a.png"]


def test_names_that_no_path_can_have_are_left_out_and_counted(store, s3, caplog):
    for key in ("deep/set/../../../evil.png", "deep/set/one//x.png", "deep/set/./y.png", "deep/set/one/"):
        s3.put(key, b"x")
    for key in ("deep/set//a.png", "deep/set/one/two", "deep/set/a?versionId=1.png"):
        s3.put(key, b"x")
    assert below(store, files_below(store)) == sorted(NAMES)
    assert "or ?versionId= in their names, or named like a folder, are left out: 6." in caplog.text
    assert below(store, (store / "one").iterdir()) == ["one/a.png", "one/two"]
    assert below(store, store.rglob("*/two")) == ["one/two"]


def test_what_needs_a_file_of_this_machine_says_so(store):
    for use in (os.listdir, open, lambda path: path.open("w")):
        with pytest.raises(StoreError, match="is on a store, "):
            use(store / "a.png")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3://key:hidden@bucket/x", r"The address s3://\*\*\*@bucket/x has a password in it"),
        ("s3://key:hid/den@bucket/x", r"The address s3://\*\*\*@bucket/x has a password in it"),
        ("s3://bucket/x?versionId=1", r"s3://bucket/x\?versionId=1 names one version of a file; leave"),
        ("file://data/x", "file://data/x has no / behind file://, as in file:///data; name the folder by its path"),
        ("https://host/x?key=hidden", r"https://host/x\?key=\*\*\* is the address of a web page; name a folder, or a "),
        ("sftp://host/f", "sftp://host/f is the address of a server; name a folder, or a store by an address such as"),
        ("s3:/plant/line1", "s3:/plant/line1 is an address with one slash; write s3://plant/line1."),
        ("file:/data", "file:/data is an address with one slash; write file:///data."),
        ("foo://bucket/x", "foo://bucket/x cannot be used: Protocol not known: foo"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address, sentence):
    with pytest.raises(StoreError, match=sentence):
        place(address)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a\nb.png", "have no line breaks"),
        ("a?versionId=1.png", "is cut off from"),
        (os.fsdecode(b"a\xff.png"), "are in UTF-8"),
        (f"{'/'.join(['ü' * 100] * 5)}/{'a' * 15}.png", "have 1024 bytes at most, this one has 1026"),
    ],
)
def test_a_name_that_no_store_can_have_is_refused_before_the_store_is_asked(name, fault):
    path = place("s3://no-such-bucket/x") / name
    with pytest.raises(StoreError, match=f"cannot be written: .*{fault}") as raised:
        write_whole(path, b"x")
    assert str(raised.value).isprintable()
    assert not (path.parent / "fine ü.png").fault_of_name()


def test_one_place_has_one_address():
    assert str(place("S3A://bucket/x/")) == str(place("s3://bucket//x")) == "s3://bucket/x"
    for free in ("s3://bucket/10:30 a@b.png", "s3://arn:aws:s3:eu:1:accesspoint/x/a@b.png", "s3://bucket/a@b"):
        assert str(place(free)) == free


def test_without_the_extra_its_name_is_said(monkeypatch):
    monkeypatch.setattr("sam_backend.extras.find_spec", lambda name: None if name in ("gcsfs", "s3fs") else name)
    for address, package in (("s3://bucket/x", "s3fs"), ("gs://bucket/x", "gcsfs")):
        with pytest.raises(
            MissingExtraError, match=rf"{address} needs {package}, .* pip install 'sam-inspect\[stores\]'"
        ):
            place(address)


def test_paths_of_this_machine_stay_paths():
    assert type(place("runs/x")) is type(place("file:///runs/x")) is type(Path())
    assert place("file:///runs/x") == Path("/runs/x")
    assert is_collapsed_address(Path("s3://bucket/x"))
    assert not any(map(is_collapsed_address, (place("s3://bucket/x"), Path("C:/x"), Path("/a:/x"), Path())))


@pytest.fixture
def reader(moto, s3, restart):
    """The credentials of a user who may read and not write; from now on, the store checks who asks."""
    import boto3
    from moto import settings
    from moto.core.responses import ActionAuthenticatorMixin

    iam = boto3.client("iam", endpoint_url=moto)
    name = s3.name
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*", "s3:Head*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        patch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
        yield made["SecretAccessKey"]


def refusal(call):
    with pytest.raises(StoreError) as raised:
        call()
    return str(raised.value)


def test_a_user_without_the_right_to_write_gets_one_sentence(store, s3, reader):
    assert (store / "a.png").read_bytes() == b"a.png"
    said = refusal(lambda: write_whole(store / "new.png", b"x"))
    assert said == (
        f"{store}/new.png cannot be used: Access Denied; check the address, the credentials of this machine and their "
        "rights."
    )


def test_a_wrong_secret_is_one_sentence_without_it(store, reader, monkeypatch, caplog):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    calls = (store.is_dir, (store / "a.png").read_bytes, lambda: list(store.rglob("*")), (store / "a.png").unlink)
    for call in (*calls, lambda: write_whole(store / "new.png", b"x")):
        said = refusal(call) + caplog.text
        assert said.startswith(str(store))
        assert said.count("\n") == 0
        assert not any(secret in said for secret in ("wrong-secret", reader, SECRET))


def test_no_bucket_is_made_by_a_slip_of_the_pen(s3, restart):
    nowhere = place(f"{s3.address}-no/x")
    assert not nowhere.is_dir()
    assert "its bucket is missing" in refusal(lambda: write_whole(nowhere / "x", b"x"))
    assert f"{s3.name}-no" not in {one["Name"] for one in s3.client.list_buckets()["Buckets"]}


def test_a_store_that_accepts_and_never_answers_is_given_up(restart, monkeypatch):
    monkeypatch.setattr(stores, "_SILENCE", 0.05)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "Read timeout on endpoint URL" in refusal(place("s3://bucket/x").is_dir)
        silent.setblocking(False)
        for _ in range(2):
            silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_deadline_without_words_is_said_in_words(monkeypatch):
    def info(self, path, **_):
        raise FSTimeoutError

    monkeypatch.setattr(MemoryFileSystem, "info", info)
    assert "memory://x cannot be used: it does not answer; check" in refusal(place("memory://x").is_dir)


def test_a_silent_store_is_given_up_after_a_minute_or_as_fsspec_is_told(restart, monkeypatch):
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    store = place("s3://bucket/x")._store()
    store.connect()
    config = store.s3.meta.config
    # botocore tries three times in its mode "standard".
    assert (config.retries, store.retries * 3 * config.read_timeout) == ({"mode": "standard"}, 60)
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 300}})
    assert place("s3://bucket/x")._store().config_kwargs == {"read_timeout": 300}
    monkeypatch.setattr(GCSFileSystem, "__init__", lambda self, **options: setattr(self, "options", options))
    assert place("gs://bucket/x")._store().options["requests_timeout"].sock_read == 10
    assert not logging.getLogger("gcsfs.retry").isEnabledFor(logging.ERROR)


def test_a_server_that_is_not_there_is_one_sentence(restart, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert "Could not connect to the endpoint URL" in refusal(place("s3://bucket/x").is_dir)
    assert isinstance(place("s3://bucket/x"), StorePath)
