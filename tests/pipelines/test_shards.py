"""Shards appear whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corpus.shards import ROW_GROUP_PAGES, file_sha256, shard_names, write_shard, write_text

SCHEMA = pa.schema([("number", pa.int32()), ("text", pa.string())])


def test_a_shard_holds_its_rows_in_small_groups(tmp_path: Path) -> None:
    rows = [{"number": number, "text": "x"} for number in range(70)]
    write_shard(tmp_path, "part-a.parquet", rows, SCHEMA)
    file = pq.ParquetFile(tmp_path / "part-a.parquet")
    assert file.read().to_pylist() == rows
    assert file.metadata.num_row_groups == -(-70 // ROW_GROUP_PAGES)
    write_shard(tmp_path, "part-b.parquet", rows, SCHEMA)
    assert file_sha256(tmp_path / "part-a.parquet") == file_sha256(tmp_path / "part-b.parquet")


def test_an_empty_shard_keeps_its_columns(tmp_path: Path) -> None:
    write_shard(tmp_path, "part-a.parquet", [], SCHEMA)
    assert pq.read_schema(tmp_path / "part-a.parquet").names == SCHEMA.names


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path, "part-a.parquet", [{"number": 1, "text": "before"}], SCHEMA)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pipelines.corpus.shards.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path, "part-a.parquet", [], SCHEMA)
    assert shard_names(tmp_path) == ["part-a.parquet"], "an unfinished file has no shard's name"
    assert pq.read_table(tmp_path / "part-a.parquet").to_pylist() == [{"number": 1, "text": "before"}]


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "first")
    write_text(tmp_path / "a.json", "second")
    assert (tmp_path / "a.json").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_names_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert shard_names(tmp_path / "none") == []
