"""Archives are read by byte range without unpacking, refuse what would do harm, and lose nothing to damage."""

import gzip
import random
import struct
import zipfile
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.quarantine import DropError
from pipelines.sources.address import SourceFile
from pipelines.sources.archives import read_document, read_source
from pipelines.sources.find import find_files
from pipelines.sources.inventory import inspect
from pipelines.sources.limits import SourceLimits
from pipelines.sources.tars import Unzipped
from tests.pipelines.archives import answer, record, tarred, warc, zip_link, zipped
from tests.pipelines.hostile import plain

LIMITS = SourceLimits(max_ratio=50, free_bytes=1 << 20)
BULKY = {f"a/{number}.pdf": b"%PDF- " + random.Random(number).randbytes(40_000) for number in range(4)}
DOCUMENTS = {f"a/{number}.pdf": plain([f"document {number}"]) for number in range(4)}


def listed(folder: Path, name: str, data: bytes, limits: SourceLimits = LIMITS) -> list[SourceFile]:
    (folder / name).write_bytes(data)
    return find_files([str(folder / name)], limits)


def read(file: SourceFile) -> bytes:
    return read_document(file, LIMITS, 1 << 30)[1]


def reasons(files: list[SourceFile]) -> dict[str, str]:
    return {file.member: file.reason for file in files}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("stored.zip", zipped(DOCUMENTS, stored=True)),
        ("deflated.zip", zipped(DOCUMENTS)),
        ("plain.tar", tarred(DOCUMENTS)),
        ("packed.tar.gz", tarred(DOCUMENTS, mode="w:gz")),
        ("packed.tgz", gzip.compress(b"") + tarred(DOCUMENTS, mode="w:gz")),
        ("pages.warc.gz", warc(DOCUMENTS)),
        ("pages.warc", warc(DOCUMENTS, packed=False)),
    ],
)
def test_members_are_read_in_any_order_and_again_from_the_source_struct_alone(
    tmp_path: Path, name: str, data: bytes
) -> None:
    files = listed(tmp_path, name, data)
    assert {file.member for file in files} == set(DOCUMENTS)
    for file in reversed(files):
        exact, body = read_document(file, LIMITS, 1 << 30)
        assert body == DOCUMENTS[file.member]
        source = exact.as_source()
        assert (source["uri"], source["member"]) == (name, file.member)
        assert read_source(source, str(tmp_path)) == body


@pytest.mark.parametrize(("name", "data"), [("s.zip", zipped(DOCUMENTS, stored=True)), ("p.tar", tarred(DOCUMENTS))])
def test_members_that_are_not_compressed_are_plain_byte_ranges(tmp_path: Path, name: str, data: bytes) -> None:
    for file in listed(tmp_path, name, data):
        exact = read_document(file, LIMITS, 1 << 30)[0]
        assert data[exact.offset : exact.offset + exact.length] == DOCUMENTS[file.member]


def test_a_stored_member_that_begins_like_a_header_is_read_again_too(tmp_path: Path) -> None:
    inside = zipped({"x.pdf": b"%PDF- inside"})
    (file,) = listed(tmp_path, "a.zip", zipped({"x.pdf": inside}, stored=True))
    exact, body = read_document(file, LIMITS, 1 << 30)
    assert body == inside == read_source(exact.as_source(), str(tmp_path))


def test_hidden_members_and_folders_are_passed_over(tmp_path: Path) -> None:
    files = {"./ok.pdf": b"%PDF-", "__MACOSX/._ok.pdf": b"%PDF-", ".git/x.pdf": b"%PDF-"}
    assert {file.member for file in listed(tmp_path, "a.zip", zipped(files))} == {"./ok.pdf"}
    assert {file.member for file in listed(tmp_path, "a.tar", tarred(files))} == {"./ok.pdf"}


UNSAFE = ("../up.pdf", "a/../../up.pdf", "/etc/absolute.pdf", "C:\\windows.pdf", "..\\up.pdf", "a\nb.pdf")


@pytest.mark.parametrize("build", [zipped, tarred])
def test_unsafe_names_are_refused_and_the_rest_goes_on(tmp_path: Path, build: object) -> None:
    data = build([*((name, b"%PDF-") for name in UNSAFE), ("fine.pdf", b"%PDF-"), ("a..b.pdf", b"%PDF-")])  # type: ignore[operator]
    files = listed(tmp_path, "a.zip" if build is zipped else "a.tar", data)
    assert reasons(files) == {**dict.fromkeys(UNSAFE, "unsafe-member"), "fine.pdf": "", "a..b.pdf": ""}
    refused = next(file for file in files if file.reason)
    with pytest.raises(DropError, match="unsafe-member"):
        read(refused)


def test_links_are_refused(tmp_path: Path) -> None:
    files = listed(tmp_path, "a.tar", tarred({"fine.pdf": b"%PDF-"}, links={"link.pdf": "/etc/passwd"}))
    assert reasons(files) == {"fine.pdf": "", "link.pdf": "unsafe-member"}
    assert reasons(listed(tmp_path, "a.zip", zip_link("link.pdf", "/etc/passwd"))) == {"link.pdf": "unsafe-member"}


def test_a_ratio_bomb_is_refused_by_name(tmp_path: Path) -> None:
    data = zipped({"bomb.pdf": bytes(2 << 20), "fine.pdf": DOCUMENTS["a/0.pdf"]})
    assert reasons(listed(tmp_path, "a.zip", data)) == {"bomb.pdf": "archive-bomb", "fine.pdf": ""}
    # One that lies about its size is caught while it is unpacked.
    lying = data.replace(struct.pack("<I", 2 << 20), struct.pack("<I", 100))
    files = listed(tmp_path, "b.zip", lying)
    assert reasons(files) == {"bomb.pdf": "", "fine.pdf": ""}
    with pytest.raises(DropError, match="archive-bomb"):
        read(files[0])


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    data = zipped({"a.pdf": b"%PDF- one", "b.pdf": b"%PDF- two"}, stored=True)
    second = data.index(b"PK\x03\x04", 4)
    directory = data.index(b"PK\x01\x02")
    # The first member claims to reach into the second.
    forged = bytearray(data)
    forged[directory + 20 : directory + 28] = struct.pack("<2I", second, second)
    assert reasons(listed(tmp_path, "a.zip", bytes(forged))) == {"a.pdf": "archive-bomb", "b.pdf": ""}


def test_a_gzipped_tar_bomb_ends_where_it_explodes(tmp_path: Path) -> None:
    files = listed(tmp_path, "a.tar.gz", tarred({"fine.pdf": b"%PDF-", "zeros.bin": bytes(3 << 20)}, mode="w:gz"))
    assert reasons(files) == {"": "archive-bomb", "fine.pdf": "", "zeros.bin": ""}
    with pytest.raises(DropError, match="archive-bomb"):
        read(next(file for file in files if file.member == "zeros.bin"))


def test_limits_on_one_archive(tmp_path: Path) -> None:
    files = listed(tmp_path, "a.zip", zipped(DOCUMENTS), LIMITS.model_copy(update={"max_members": 2}))
    assert [file.reason for file in files] == ["", "", "archive-bomb"]
    files = listed(tmp_path, "a.zip", zipped(DOCUMENTS), LIMITS.model_copy(update={"max_archive_bytes": 1500}))
    assert files[-1].reason == "archive-bomb"


def test_a_nested_archive_is_not_opened_and_named(tmp_path: Path) -> None:
    data = zipped({"inner.zip": zipped(DOCUMENTS), "deep.tar.gz": b"", "fine.pdf": b"%PDF-"})
    assert reasons(listed(tmp_path, "a.zip", data)) == {
        "inner.zip": "nested-archive",
        "deep.tar.gz": "nested-archive",
        "fine.pdf": "",
    }


@pytest.mark.parametrize(
    ("name", "data", "healthy"),
    [
        ("a.zip", zipped(BULKY), 2),
        ("a.tar", tarred(BULKY), 2),
        ("a.tar.gz", tarred(BULKY, mode="w:gz"), 2),
        ("a.warc.gz", warc(BULKY), 2),
        ("a.warc", warc(BULKY, packed=False), 2),
    ],
)
def test_members_before_the_damage_are_kept(tmp_path: Path, name: str, data: bytes, healthy: int) -> None:
    files = listed(tmp_path, name, data[: int(len(data) * 0.6)])
    (damage,) = [file for file in files if file.reason]
    assert (damage.member, damage.reason) == ("", "archive-broken")
    listed_whole = [file for file in files if not file.reason]
    for file in listed_whole[:healthy]:
        assert read(file) == BULKY[file.member]
    for file in listed_whole[healthy:]:  # the member that the damage cuts in two
        with pytest.raises(DropError, match="archive-broken"):
            read(file)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.warc.gz", "a.warc"])
@pytest.mark.parametrize("data", [b"nonsense" * 200, b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_what_is_no_archive_is_one_refused_file(tmp_path: Path, name: str, data: bytes) -> None:
    (file,) = listed(tmp_path, name, data)
    assert file.reason == "archive-broken"


def test_damage_in_the_middle_of_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    data = bytearray(tarred(DOCUMENTS))
    second = data.index(b"a/1.pdf")
    data[second : second + 512] = b"\xff" * 512
    files = listed(tmp_path, "a.tar", bytes(data))
    assert reasons(files) == {"": "archive-broken", "a/0.pdf": ""}


def test_a_damaged_member_is_told_by_its_checksum(tmp_path: Path) -> None:
    data = bytearray(zipped(DOCUMENTS, stored=True))
    data[200] ^= 1
    files = listed(tmp_path, "a.zip", bytes(data))
    with pytest.raises(DropError, match="checksum"):
        read(files[0])
    assert read(files[1]) == DOCUMENTS["a/1.pdf"]


def test_encrypted_and_oddly_compressed_members_have_their_reasons(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.pdf": b"%PDF-"}, stored=True))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + at] |= 1
    assert listed(tmp_path, "a.zip", bytes(data))[0].reason == "encrypted"
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.pdf", b"%PDF-")
    (file,) = find_files([str(tmp_path / "b.zip")], LIMITS)
    assert (file.reason, "method 14" in file.detail) == ("unreadable", True)


def test_one_member_is_a_source(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped([("x.pdf", b"%PDF- 1"), ("x.pdf", b"%PDF- 2"), ("y.pdf", b"%PDF-")])
    (tmp_path / "a.zip").write_bytes(data)
    files = find_files([f"{tmp_path}/a.zip::x.pdf"], LIMITS)
    assert [read(file) for file in files] == [b"%PDF- 1", b"%PDF- 2"], "members of one name never mix"
    assert files[0].origin == f"{tmp_path}/a.zip::x.pdf"
    with pytest.raises(UsageError, match="has no member"):
        find_files([f"{tmp_path}/a.zip::z.pdf"], LIMITS)
    with pytest.raises(UsageError, match="no such file"):
        find_files([f"{tmp_path}/a.pdf::x.pdf"], LIMITS)
    (tmp_path / "odd.zip::name.pdf").write_bytes(b"%PDF-")
    assert [file.uri for file in find_files([f"{tmp_path}/odd.zip::name.pdf"], LIMITS)] == ["odd.zip::name.pdf"]


def test_a_folder_yields_files_and_members_of_its_archives(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.tar").write_bytes(tarred({"x.pdf": b"%PDF-"}))
    (tmp_path / "in" / "b.pdf").write_bytes(b"%PDF-")
    (tmp_path / "in" / "list.csv").write_text("address\nnothing.pdf\n")
    files = find_files([str(tmp_path / "in"), str(tmp_path / "in" / "deep")], LIMITS)
    assert [(file.uri, file.member) for file in files] == [("a.tar", "x.pdf"), ("b.pdf", ""), ("list.csv", "")]


def test_warc_records_that_are_no_documents_are_set_aside_without_reading_them_again(tmp_path: Path) -> None:
    body = DOCUMENTS["a/0.pdf"]
    chunked = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (100, body[:100], len(body) - 100, body[100:])
    records = [
        record("response", "https://x.org/page.html", answer(b"<html>")),
        record("response", "https://x.org/gone.pdf", answer(b"", status=404)),
        record("response", "https://x.org/doc?id=1", answer(body)),
        record("response", "https://x.org/chunks", answer(chunked, "Transfer-Encoding: chunked\r\n")),
        record("response", "https://x.org/packed", answer(gzip.compress(body), "Content-Encoding: gzip\r\n")),
        record("resource", "file:///x", body, "application/pdf"),
    ]
    files = listed(tmp_path, "a.warc.gz", b"".join(map(gzip.compress, records)))
    assert [file.member for file in files if file.other] == ["https://x.org/page.html"]
    documents = [file for file in files if not file.other]
    assert len(documents) == 4
    assert {read(file) for file in documents} == {body}


def test_going_back_in_a_gzipped_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "x.gz").write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]))
    with Unzipped(str(tmp_path / "x.gz"), SourceLimits(free_bytes=1 << 24)) as stream:
        for place, size in ((0, 512), (512, 512), (600, 10), (400_000, 300_000), (100, 5), (len(data) - 3, 10)):
            stream.seek(place)
            assert stream.read(size) == data[place : place + size]
            assert stream.tell() == min(len(data), place + size)


def test_files_that_hold_no_document_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "huge.bin").touch()
    with open(tmp_path / "huge.bin", "wb") as file:
        file.truncate(3 << 30)
    (file_,) = find_files([str(tmp_path)], LIMITS)
    with PageReader(ReaderLimits(), 100, 80) as reader:
        assert inspect(file_, reader)["kind"] == ""
        big = inspect(SourceFile("a.pdf", str(tmp_path / "huge.bin"), 3 << 30), reader)
    assert (big["kind"], big["reason"]) == ("pdf", "too-large")
