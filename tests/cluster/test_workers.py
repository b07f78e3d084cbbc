"""How a worker ends: a hang leaves what an earlier one left."""

from pathlib import Path

from cluster.training.watchdog import Watchdog


def test_the_stacks_of_a_hang_outlive_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "rank-0.txt"
    left.write_text("stacks of an earlier start\n")
    for rank in (0, 1):
        Watchdog(tmp_path, rank, 100.0, print).close()
    assert [path.name for path in tmp_path.iterdir()] == ["rank-0.txt"], "what holds nothing goes"
    assert left.read_text() == "stacks of an earlier start\n"
