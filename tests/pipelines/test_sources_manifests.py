"""Manifests in each format: addresses, digests, licences, byte ranges; what is wrong is one clear line or one row."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UsageError
from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.sources.find import find_files
from pipelines.sources.inventory import distinct, inspect
from tests.pipelines.archives import answer, record, zipped
from tests.pipelines.hostile import plain

DOCUMENT = plain()
DIGEST = hashlib.sha256(DOCUMENT).hexdigest()


def write(file: Path, rows: list[dict[str, Any]]) -> str:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        file.write_text("\n".join(lines), encoding="utf-8-sig")
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def inspected(source: str) -> dict[str, dict[str, Any]]:
    with PageReader(ReaderLimits(), 100, 80) as reader:
        return {file.origin.partition("::")[2]: inspect(file, reader) for file in find_files([source])}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.pdf").write_bytes(DOCUMENT)
    (tmp_path / "b.pdf").write_bytes(plain(["other"]))
    (tmp_path / "all.zip").write_bytes(zipped({"x.pdf": plain(["x"]), "y.pdf": plain(["y"])}))
    (tmp_path / "crawl.warc.gz").write_bytes(
        b"before" + (packed := gzip.compress(record("response", "http://x/1", answer(plain(["crawled"]))))) + b"after"
    )
    empty = {"sha256": None, "licence": None, "corpus": None, "offset": None, "length": None}
    rows = [
        {"address": "deep/a.pdf", **empty, "sha256": DIGEST, "licence": "CC0", "corpus": "mine"},
        {"address": "b.pdf", **empty, "sha256": DIGEST},
        {"address": "gone", **empty},
        {"address": "", **empty},
        {"address": "all.zip::x.pdf", **empty, "licence": "MIT"},
        {"address": "all.zip::no.pdf", **empty},
        {"address": "crawl.warc.gz", **empty, "offset": 6, "length": len(packed)},
        {"address": str(tmp_path / "b.pdf"), **empty, "licence": "again"},
    ]
    found = inspected(write(tmp_path / f"list{suffix}", rows))
    first = found["deep/a.pdf"]
    assert (first["uri"], first["licence"], first["corpus"], first["reason"]) == ("deep/a.pdf", "CC0", "mine", "")
    assert found["b.pdf"]["reason"] == "digest-mismatch"
    assert (found["gone"]["reason"], found["gone"]["kind"]) == ("unreadable", "unknown")
    assert (found[""]["reason"], found[""]["detail"]) == ("unreadable", "row 4 of the manifest has no address")
    assert (found["all.zip::x.pdf"]["licence"], found["all.zip::x.pdf"]["pages"]) == ("MIT", 1)
    assert found["all.zip::no.pdf"]["reason"] == "unreadable"
    assert (found["crawl.warc.gz"]["pages"], found["crawl.warc.gz"]["kind"]) == (1, "pdf")
    assert (found[str(tmp_path / "b.pdf")]["reason"], found[str(tmp_path / "b.pdf")]["licence"]) == ("", "again")
    documents, duplicates, others = distinct(found.values())
    assert (len(documents), duplicates, others) == (8, {}, 0), "a mismatch does not stand for the healthy file"


def test_a_row_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "b.pdf").write_bytes(DOCUMENT)
    manifest = write(tmp_path / "list.csv", [{"path": "b.pdf", "sha256": "00"}, {"path": "c.pdf", "sha256": ""}])
    (file,) = find_files([f"{manifest}::b.pdf"])
    assert (file.uri, file.sha256, file.origin) == ("b.pdf", "00", f"{manifest}::b.pdf")
    state = (tmp_path / "b.pdf").stat()
    assert (file.size, file.changed) == (state.st_size, str(state.st_mtime_ns)), "the file's own, not the manifest's"
    with pytest.raises(UsageError, match="no row of address"):
        find_files([f"{manifest}::z.pdf"])


def test_an_archive_in_a_manifest_is_listed(tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(zipped({"x.pdf": DOCUMENT, "y.pdf": DOCUMENT}))
    files = find_files([write(tmp_path / "list.csv", [{"url": "all.zip", "license": "CC0"}])])
    assert [(file.member, file.licence) for file in files] == [("x.pdf", "CC0"), ("y.pdf", "CC0")]
    with pytest.raises(UsageError, match="leave it empty for an archive"):
        find_files([write(tmp_path / "list.csv", [{"url": "all.zip", "sha256": DIGEST}])])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "name,size\nx,1\n", "no column of addresses among name, size"),
        ("a.csv", "address\n", "has no rows"),
        ("a.jsonl", '{"address": "x"}\n{"address"', "row 2 cannot be read"),
        ("a.jsonl", "[1]\n", "row 1 cannot be read"),
        ("a.parquet", "no parquet", "a.parquet"),
        ("a.csv", "address,offset,length\nx.pdf,-1,5\n", "row 1: offset -1"),
        ("a.csv", "address,offset,length\nx.pdf,a,5\n", "row 1: invalid literal"),
        ("a.csv", "address,offset,length\nx.tar.gz,1,5\n", "has no byte ranges"),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=says):
        find_files([str(tmp_path / name)])
