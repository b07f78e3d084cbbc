"""Object stores on this machine: S3 by moto, Google Cloud Storage by a small server of our own."""

import os
import socket
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


def s3_environment() -> dict[str, str]:
    """What says where S3 is: a free port of this machine. For a whole test run, whose Ray knows it from its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", **keys}


@contextmanager
def s3_bucket(name: str) -> Iterator[str]:
    """Address of an empty bucket of a store that speaks S3, where the environment says; skips without moto."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    endpoint = os.environ["AWS_ENDPOINT_URL"]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(endpoint.rpartition(":")[2]), verbose=False)
    server.start()
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
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
