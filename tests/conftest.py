"""Fixtures shared by all tests: the optional folder of real documents and one Ray for the whole run."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

from tests.stores import s3_environment

os.environ |= s3_environment()  # never a real store

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real documents beside a development checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no folder of real documents beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two CPUs, started once for the whole test run."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
