"""What sources hold: every file counted once under one heading, every page of every document in one job."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UsageError
from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.sources.address import SourceFile
from pipelines.sources.find import find_files
from pipelines.sources.inventory import distinct, inspect, plan_jobs
from pipelines.sources.sniff import sniff
from tests.pipelines.hostile import TEXT, encrypted, plain


def record(uri: str, identity: str, pages: int = 1, kind: str = "pdf", reason: str = "") -> dict[str, Any]:
    base = {"uri": uri, "path": f"/in/{uri}", "size": 10, "doc_id": identity, "kind": kind, "pages": pages}
    return {**base, "reason": reason, "detail": ""}


def test_each_content_is_one_document_under_its_first_name() -> None:
    records = [record("b", "1"), record("a", "1"), record("c", "2"), record("note", "3", kind=""), record("d", "1")]
    documents, duplicates, others = distinct(records)
    assert [document["uri"] for document in documents] == ["a", "c"]
    assert duplicates == {"1": ["b", "d"]}
    assert others == 1
    assert distinct(reversed(records)) == (documents, duplicates, others), "in whatever order they were read"


def test_unreadable_files_are_documents_of_their_own() -> None:
    documents, _, _ = distinct([record("a", "", reason="unreadable"), record("b", "", reason="unreadable")])
    assert len(documents) == 2


@pytest.mark.parametrize("shard_pages", [1, 7, 256])
@pytest.mark.parametrize("pages", [[1], [3] * 50, [500, 1, 1, 40], []])
def test_jobs_hold_every_page_once_in_even_portions(pages: list[int], shard_pages: int) -> None:
    documents = [record(f"{number}.pdf", f"id{number}", count) for number, count in enumerate(pages)]
    documents.append(record("broken.pdf", "x", 0, reason="broken"))
    jobs = plan_jobs(documents, shard_pages)
    seen = Counter(
        (unit["doc_id"], page) for job in jobs for unit in job["units"] for page in range(unit["first"], unit["end"])
    )
    assert seen == Counter((f"id{number}", page) for number, count in enumerate(pages) for page in range(count))
    sizes = [sum(unit["end"] - unit["first"] for unit in job["units"]) for job in jobs]
    assert max(sizes, default=0) <= shard_pages
    assert len(set(sizes[:-1])) <= 1
    assert len({job["name"] for job in jobs}) == len(jobs)
    assert jobs == plan_jobs(documents, shard_pages)


def test_jobs_are_small_where_there_is_little_and_named_by_what_they_depend_on() -> None:
    def names(pages: int, key: str = "") -> list[str]:
        return [job["name"] for job in plan_jobs([record("a.pdf", "a", pages)], 256, key)]

    assert [len(names(pages)) for pages in (1, 16, 640, 64_000)] == [1, 2, 64, 250]
    assert names(640) == names(640)
    assert not set(names(640)) & set(names(640, "other settings"))


def test_files_are_inspected(tmp_path: Path) -> None:
    (tmp_path / "two.pdf").write_bytes(plain([TEXT] * 2))
    (tmp_path / "locked.pdf").write_bytes(encrypted("x"))
    (tmp_path / "note.txt").write_text("no document")
    (tmp_path / "disguised.txt").write_bytes(plain())
    (tmp_path / "page.pdf").write_text("<html><body><p>a web page</p></body></html>")
    (tmp_path / "drawing.pdf").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (tmp_path / ".hidden.pdf").write_bytes(plain())
    with PageReader(ReaderLimits(), 100, 80) as reader:
        found = {file.uri: inspect(file, reader) for file in find_files([str(tmp_path)])}
        gone = inspect(SourceFile("gone.pdf", str(tmp_path / "gone.pdf"), 1), reader)
    wrong = {"page.pdf", "drawing.pdf"}
    assert set(found) == {"two.pdf", "locked.pdf", "note.txt", "disguised.txt"} | wrong
    assert {(found[name]["kind"], found[name]["reason"]) for name in wrong} == {("pdf", "broken")}
    assert (found["two.pdf"]["pages"], found["two.pdf"]["reason"]) == (2, "")
    assert found["locked.pdf"]["reason"] == "encrypted"
    assert found["note.txt"]["kind"] == ""
    assert found["disguised.txt"]["kind"] == "pdf", "by its bytes, not by its name"
    assert (gone["kind"], gone["reason"]) == ("pdf", "unreadable")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a", b"%PDF-1.4", "pdf"),
        ("a", bytes(1019) + b"%PDF-", "pdf"),
        ("a", bytes(1020) + b"%PDF-", None),
        ("A.PDF", b"nothing", "pdf"),
        ("a.pdf.txt", b"nothing", None),
        ("a.png", b"nothing", None),
        ("a", b"\x89PNG\r\n\x1a\n", "png"),
        ("a", b"\xff\xd8\xff\xe0", "jpeg"),
        ("a", b"II*\x00", "tiff"),
        ("a", b"MM\x00*", "tiff"),
    ],
)
def test_kinds(name: str, data: bytes, kind: str | None) -> None:
    assert sniff(name, data) == kind


def test_sources_are_folders_globs_and_files(tmp_path: Path) -> None:
    for name in ("a/1.pdf", "a/b/2.pdf", "c/3.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"%PDF-")

    def uris(*sources: str) -> list[str]:
        return [file.uri for file in find_files([str(tmp_path / source) for source in sources])]

    assert uris("a") == ["1.pdf", "b/2.pdf"]
    assert uris("c/3.pdf") == ["3.pdf"]
    assert uris("*/*.pdf") == ["a/1.pdf", "c/3.pdf"]
    assert uris("**/*.pdf") == ["a/1.pdf", "a/b/2.pdf", "c/3.pdf"]
    assert uris("a", "a/1.pdf") == ["1.pdf", "b/2.pdf"], "the same file twice is one file"
    for missing in ("nothing", "*.docx"):
        with pytest.raises(UsageError, match="give a folder, a glob or a file"):
            uris(missing)
