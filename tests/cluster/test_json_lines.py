"""Files of JSON lines, as kills leave them and as others read them while they grow."""

from pathlib import Path

import pytest

from cluster.runs.folder import RunFolder
from cluster.runs.json_lines import JsonLines
from pipelines.errors import UsageError


def test_a_half_written_line_costs_that_line_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.note("launch", "1 workers")
    with run.events.open("a") as file:
        file.write('{"time": 1.5, "ki')  # a kill
    assert [event["kind"] for event in run.noted()] == ["launch"]
    run.note("start", "goes on")
    run.note("end", "complete")
    assert [event["kind"] for event in run.noted()] == ["launch", "start", "end"]
    with pytest.raises(UsageError, match="line 2 is no JSON object"):
        JsonLines(run.events).all(strict=True)


def test_a_reader_sees_each_line_once_until_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file, reader = JsonLines(path), JsonLines(path)
    assert reader.new() == []
    file.append({"step": 1})
    with path.open("a") as other:
        other.write('{"step": ')
    assert reader.new() == [{"step": 1}]
    with path.open("a") as other:
        other.write("2}\n[]\n")
    assert reader.new() == [{"step": 2}]
    file.append({"step": 3})
    file.keep(lambda line: line["step"] > 1)
    assert reader.new() == JsonLines(path).all() == [{"step": 2}, {"step": 3}]


def test_a_full_disk_is_said_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "lines").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'lines'}'"):
        JsonLines(tmp_path / "lines").append({"step": 1})
