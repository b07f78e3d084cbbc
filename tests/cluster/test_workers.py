"""How a worker ends: a lost peer is told from an error of its own, a hang leaves what an earlier one left."""

from pathlib import Path

import pytest

from cluster.training.watchdog import Watchdog
from cluster.workers.worker import lost_peer
from pipelines.errors import JobError

UNWRITTEN = "/data/nccl-1/run/checkpoints: a checkpoint could not be written: Connection timed out; put that right"


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.7]:4711"), True),
        (RuntimeError("NCCL error: unhandled system error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (JobError(UNWRITTEN), False),
        (ConnectionResetError("Connection reset by peer"), False),
    ],
)
def test_a_lost_peer_is_told_from_an_error(error: Exception, lost: bool) -> None:
    assert lost_peer(error) == lost


def test_the_stacks_of_a_hang_outlive_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "rank-0.txt"
    left.write_text("stacks of an earlier start\n")
    for rank in (0, 1):
        Watchdog(tmp_path, rank, 100.0, print).close()
    assert [path.name for path in tmp_path.iterdir()] == ["rank-0.txt"], "what holds nothing goes"
    assert left.read_text() == "stacks of an earlier start\n"
