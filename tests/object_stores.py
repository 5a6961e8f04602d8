"""An S3 of this machine, moto, for tests of what lies on stores."""

import contextlib
import logging
import os
import uuid
from pathlib import Path

import pytest

SECRET = "a-secret-of-tests"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDOFTESTS", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def moto():
    """The address of a running S3, whom the standard variables name to this process and its children."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with contextlib.redirect_stdout(None):
        server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": os.devnull}.items():
            patch.setenv(name, value)
        yield url
    server.stop()


@contextlib.contextmanager
def fresh_clients():
    """Forget the clients of before, which keep their address and credentials; and those of the block after it."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    try:
        yield
    finally:
        S3FileSystem.clear_instance_cache()


class Bucket:
    """A bucket that is empty at first, by a client of its own."""

    def __init__(self, url):
        import boto3

        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client = boto3.client("s3", endpoint_url=url)
        self.client.create_bucket(Bucket=self.name)
        self.address = f"s3://{self.name}"

    def upload(self, folder, prefix):
        """Put all files of a folder below a prefix, and return the address of that."""
        for file in (path for path in Path(folder).rglob("*") if path.is_file()):
            self.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return f"{self.address}/{prefix}"

    def put(self, key, content):
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def files(self, prefix=""):
        """Return all files below a prefix, by their names there."""
        keys = [key for key in self.keys() if key.startswith(prefix)]
        bodies = (self.client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys)
        return {key.removeprefix(prefix).strip("/"): body for key, body in zip(keys, bodies, strict=True)}


@pytest.fixture
def s3(moto):
    """A new bucket."""
    return Bucket(moto)
