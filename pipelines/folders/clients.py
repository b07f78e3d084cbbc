"""Clients of object stores: S3 and what speaks its language, Google Cloud Storage; both come with Arrow.

Credentials come from where those stores' own tools look. AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_S3) names another S3
than Amazon's, AWS_NO_SIGN_REQUEST=1 reads public buckets without credentials, STORAGE_EMULATOR_HOST names another GCS.
"""

import os
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

SCHEMES = ("s3", "gs")
ATTEMPTS = 5
TIMEOUT_S = 60.0


def client(scheme: str, attempts: int = ATTEMPTS, timeout_s: float = TIMEOUT_S) -> Any:
    """The `pyarrow.fs.FileSystem` of a store, as the environment says now; one a process for each such answer.

    Args:
        scheme: `s3` or `gs`.
        attempts: times that a request to S3 is tried.
        timeout_s: for how long one to Google is tried, seconds.
    """
    if scheme == "gs":
        return _gcs(os.environ.get("STORAGE_EMULATOR_HOST", ""), timeout_s)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _s3(endpoint, region, bool(os.environ.get("AWS_NO_SIGN_REQUEST")), attempts)


@cache
def _s3(endpoint: str, region: str | None, anonymous: bool, attempts: int) -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    options: dict[str, Any] = {"retry_strategy": AwsStandardS3RetryStrategy(max_attempts=attempts)}
    if endpoint:
        options |= {"endpoint_override": urlsplit(endpoint).netloc, "scheme": urlsplit(endpoint).scheme}
    if anonymous:
        options["anonymous"] = True
    return S3FileSystem(region=region, **options)


@cache
def _gcs(endpoint: str, timeout_s: float) -> Any:
    from pyarrow.fs import GcsFileSystem

    options: dict[str, Any] = {"retry_time_limit": timedelta(seconds=timeout_s)}
    if endpoint:
        options |= {"endpoint_override": urlsplit(endpoint).netloc, "scheme": urlsplit(endpoint).scheme}
        options["anonymous"] = True
    return GcsFileSystem(**options)
