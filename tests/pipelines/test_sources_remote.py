"""Sources on other machines: HTTP with and without ranges, S3; errors that pass and errors that stay."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.sources.archives import read_document, read_source
from pipelines.sources.find import find_files
from pipelines.sources.inventory import inspect
from pipelines.sources.limits import SourceLimits
from pipelines.sources.places import _place
from tests.pipelines.archives import tarred, warc, zipped
from tests.pipelines.hostile import plain
from tests.stores import gcs_bucket, s3_bucket

LIMITS = SourceLimits(attempts=3, timeout_s=5)
DOCUMENTS = {f"{number}.pdf": plain([f"document {number}"]) + bytes(300_000) for number in range(4)}


class Files(BaseHTTPRequestHandler):
    """Serves `files` by path; `fails` says how often a path answers 503, `ranges` whether ranges are known."""

    files: ClassVar[dict[str, bytes]] = {}
    fails: ClassVar[Counter[str]] = Counter()
    cut: ClassVar[Counter[str]] = Counter()
    status: ClassVar[dict[str, int]] = {}
    ranges: ClassVar[bool] = True
    sent: ClassVar[Counter[str]] = Counter()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        data, status, headers = self.files.get(path, b""), 200 if path in self.files else 404, {}
        if self.fails[path] > 0:
            self.fails[path] -= 1
            data, status, headers = b"", 503, {"Retry-After": "0"}
        status = self.status.get(path, status)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.ranges and wanted and status == 200:
            first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.cut[path] > 0:
            self.cut[path] -= 1
            data = data[: len(data) // 2]
            self.close_connection = True
        try:
            for start in range(0, len(data), 1 << 16):
                self.wfile.write(data[start : start + (1 << 16)])
                self.sent[path] += len(data[start : start + (1 << 16)])
        except OSError:  # the reader had enough
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _place.cache_clear()
    for kept in (Files.files, Files.fails, Files.cut, Files.status, Files.sent):
        kept.clear()
    Files.ranges = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.zip", zipped(DOCUMENTS, stored=True)),
        ("b.zip", zipped(DOCUMENTS)),
        ("c.tar", tarred(DOCUMENTS)),
        ("d.tar.gz", tarred(DOCUMENTS, mode="w:gz")),
        ("e.warc.gz", warc(DOCUMENTS)),
    ],
)
def test_archives_on_the_web(server: str, name: str, data: bytes, ranges: bool) -> None:
    Files.files[f"/{name}"], Files.ranges = data, ranges
    address = f"{server}/{name}?version=1"
    files = find_files([address], LIMITS)
    assert {file.member for file in files} == set(DOCUMENTS)
    for file in files:
        exact, body = read_document(file, LIMITS, 1 << 30)
        assert body == DOCUMENTS[file.member]
        assert exact.uri == address
        assert read_source(exact.as_source(), limits=LIMITS) == body
    if not ranges:
        assert Files.sent[f"/{name}"] < 2.2 * len(data), "asked once whether there are ranges, then fetched once"


def test_one_member_costs_its_own_bytes(server: str) -> None:
    big = {**DOCUMENTS, "big.bin": os.urandom(20 << 20)}
    Files.files["/a.zip"] = zipped(big, stored=True)
    Files.files["/a.tar"] = tarred(big)
    for path in ("/a.zip", "/a.tar"):
        files = find_files([f"{server}{path}::2.pdf"], LIMITS)
        assert read_document(files[0], LIMITS, 1 << 30)[1] == DOCUMENTS["2.pdf"]
        assert Files.sent[path] < 4 << 20


def test_a_document_is_fetched_once_and_at_most_to_its_limit(server: str) -> None:
    Files.files["/a.pdf"] = DOCUMENTS["0.pdf"]
    (file,) = find_files([f"{server}/a.pdf"], LIMITS)
    with PageReader(ReaderLimits(), 100, 80) as reader:
        found = inspect(file, reader, LIMITS)
    assert (found["pages"], found["reason"], found["size"]) == (1, "", len(DOCUMENTS["0.pdf"]))
    assert Files.sent["/a.pdf"] == len(DOCUMENTS["0.pdf"])
    Files.files["/huge.pdf"] = bytes(50 << 20)
    with PageReader(ReaderLimits(max_bytes=1 << 20), 100, 80) as reader:
        assert inspect(find_files([f"{server}/huge.pdf"], LIMITS)[0], reader, LIMITS)["reason"] == "too-large"
    assert Files.sent["/huge.pdf"] < 50 << 20


def test_errors_that_pass_are_tried_again(server: str) -> None:
    Files.files["/a.pdf"] = DOCUMENTS["0.pdf"]
    (file,) = find_files([f"{server}/a.pdf"], LIMITS)
    Files.fails["/a.pdf"] = 1
    Files.cut["/a.pdf"] = 1
    assert read_document(file, LIMITS, 1 << 30)[1] == DOCUMENTS["0.pdf"]
    Files.fails["/a.pdf"] = 9
    with pytest.raises(OSError, match="HTTP 503, 3 attempts"):
        read_document(file, LIMITS, 1 << 30)


@pytest.mark.parametrize(("status", "says"), [(403, "HTTP 403: not allowed"), (404, "HTTP 404: no such file")])
def test_errors_that_stay_are_quarantined(server: str, status: int, says: str) -> None:
    Files.files["/a"], Files.status["/a"] = b"", status
    with PageReader(ReaderLimits(), 100, 80) as reader:
        found = inspect(find_files([f"{server}/a"], LIMITS)[0], reader, LIMITS)
    assert (found["kind"], found["reason"], found["detail"]) == ("unknown", "unreadable", says)
    Files.files["/a.zip"], Files.status["/a.zip"] = b"", status
    (file,) = find_files([f"{server}/a.zip"], LIMITS)
    assert (file.reason, file.detail) == ("unreadable", says)


def test_manifests_on_the_web_and_what_is_refused(server: str) -> None:
    Files.files["/list/all.csv"] = f"url,licence\nx.pdf,CC0\n{server}/y.pdf,\n".encode()
    files = find_files([f"{server}/list/all.csv"], LIMITS)
    assert {(file.uri, file.licence) for file in files} == {(f"{server}/list/x.pdf", "CC0"), (f"{server}/y.pdf", "")}
    with pytest.raises(UsageError, match="no folders"):
        find_files([f"{server}/list/"], LIMITS)
    with pytest.raises(UsageError, match="netrc"):
        find_files(["https://me:secret@example.org/a.pdf"], LIMITS)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    objects = {
        "in/a.zip": zipped(DOCUMENTS),
        "in/deep/b.tar": tarred(DOCUMENTS),
        "in/c.pdf": DOCUMENTS["0.pdf"],
        "in/.hidden/d.pdf": b"%PDF-",
        "list.jsonl": b'{"address": "in/c.pdf", "license": "CC BY"}\n{"address": "in/gone.pdf"}\n',
    }
    with s3_bucket("documents") as address:
        for key, data in objects.items():
            folder_of(address).write(key, data)
        yield address


def test_folders_archives_and_globs_on_s3(bucket: str) -> None:
    files = find_files([f"{bucket}/in"], LIMITS)
    assert [(file.uri, file.member) for file in files] == [
        *((f"{bucket}/in/a.zip", name) for name in DOCUMENTS),
        (f"{bucket}/in/c.pdf", ""),
        *((f"{bucket}/in/deep/b.tar", name) for name in DOCUMENTS),
    ]
    for file in files:
        exact, body = read_document(file, LIMITS, 1 << 30)
        assert body == DOCUMENTS[file.member or "0.pdf"]
        assert read_source(exact.as_source(), limits=LIMITS) == body
    assert [file.uri for file in find_files([f"{bucket}/in/*.pdf"], LIMITS)] == [f"{bucket}/in/c.pdf"]
    assert len(find_files([f"{bucket}/in/a.zip::1.pdf"], LIMITS)) == 1


def test_manifests_and_missing_objects_on_s3(bucket: str) -> None:
    files = find_files([f"{bucket}/list.jsonl"], LIMITS)
    with PageReader(ReaderLimits(), 100, 80) as reader:
        found = {file.uri: inspect(file, reader, LIMITS) for file in files}
    assert found[f"{bucket}/in/c.pdf"]["licence"] == "CC BY"
    assert found[f"{bucket}/in/gone.pdf"]["reason"] == "unreadable"
    for missing in (f"{bucket}/nothing.pdf", "s3://no-such-bucket/a.pdf"):
        with pytest.raises(UsageError, match=re.escape(missing)):
            find_files([missing], LIMITS)


@pytest.fixture
def google() -> Iterator[str]:
    with gcs_bucket() as address:
        yield address


def test_google_cloud_storage(google: str) -> None:
    files = find_files([f"{google}/in"], LIMITS)
    assert [(file.uri, file.member) for file in files] == [(f"{google}/in/a.pdf", ""), (f"{google}/in/b.zip", "x.pdf")]
    assert [read_document(file, LIMITS, 1 << 30)[1] for file in files] == [b"%PDF- alone", b"%PDF- in a zip"]
    with pytest.raises(UsageError, match="no such object"):
        find_files([f"{google}/no.pdf"], LIMITS)
