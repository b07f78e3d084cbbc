"""Object stores on this machine: S3 by moto, Google Cloud Storage by a small server of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as the block lasts, also for processes that are started in it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Address of an empty bucket of a store that speaks S3; skips where moto is not installed."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with environment(values):
        boto3.client("s3", endpoint_url=values["AWS_ENDPOINT_URL"]).create_bucket(Bucket=name)
        yield f"s3://{name}"
    server.stop()


@contextmanager
def gcs_bucket() -> Iterator[str]:
    """Address of a bucket of a store that speaks Google's language, with two objects in `in`."""
    command = [sys.executable, "-m", "tests.pipelines.gcs_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        with environment({"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.stdout.readline().strip()}"}):
            yield "gs://docs"
        server.kill()
