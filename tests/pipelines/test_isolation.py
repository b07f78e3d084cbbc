"""Hostile documents cost a page or a document, never the reader, and leave no process behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.pages.isolation import PageReader, ReaderLimits, twice
from pipelines.pages.rows import PageMaker
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import BOMBS, TEXT, bomb, encrypted, endless, plain


def reader(passwords: Sequence[str] = (), **limits: float) -> PageReader:
    return PageReader(ReaderLimits.model_validate(limits), image_long_side=200, jpeg_quality=80, passwords=passwords)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended; it only waits for its parent to look.
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


@pytest.fixture(scope="module")
def shared() -> Iterator[PageReader]:
    with reader() as one:
        yield one


def reason_of_opening(one: PageReader, data: bytes) -> Reason:
    with pytest.raises(DropError) as caught:
        one.open(data, "pdf")
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        pytest.param(b"", {Reason.BROKEN}, id="empty"),
        pytest.param(b"%PDF-1.7\nnothing", {Reason.BROKEN, Reason.NO_PAGES}, id="no objects"),
        pytest.param(plain()[:300], {Reason.BROKEN, Reason.NO_PAGES}, id="truncated"),
        pytest.param(encrypted("x"), {Reason.ENCRYPTED}, id="encrypted"),
    ],
)
def test_what_cannot_be_opened_has_a_reason(shared: PageReader, data: bytes, reasons: set[Reason]) -> None:
    assert reason_of_opening(shared, data) in reasons
    assert shared.open(plain(), "pdf") == 1, "the next document is not touched by it"
    assert shared.read(0).words == TEXT.split()


def test_a_broken_picture_has_a_reason(shared: PageReader) -> None:
    shared.open(b"\x89PNG\r\n\x1a\n" + bytes(20), "png")
    with pytest.raises(DropError) as caught:
        shared.read(0)
    assert caught.value.reason == Reason.PAGE_BROKEN


def test_a_truncated_document_gives_the_pages_that_are_left(shared: PageReader) -> None:
    assert shared.open(plain([TEXT] * 5)[:-400], "pdf") == 5
    assert shared.read(4).words == TEXT.split()


def test_a_password_opens_a_document() -> None:
    with reader(passwords=["no", "x"]) as one:
        assert one.open(encrypted("x"), "pdf") == 1
        assert one.read(0).words == ["secret"]
        assert reason_of_opening(one, encrypted("other")) == Reason.ENCRYPTED


def test_a_page_without_end_costs_that_page_only() -> None:
    with reader(page_timeout_s=1) as one:
        assert one.open(endless(pages=2), "pdf") == 2
        first = one.child_pid
        started = time.monotonic()
        with pytest.raises(DropError) as caught:
            one.read(0)
        assert caught.value.reason == Reason.TIMEOUT
        assert time.monotonic() - started < 20
        assert first is not None
        assert not is_alive(first)
        assert one.read(1).words == TEXT.split(), "a fresh child opens the document again and goes on"


def test_processor_time_over_its_limit_costs_that_page_only() -> None:
    with reader(page_cpu_s=1) as one:
        one.open(endless(pages=2), "pdf")
        with pytest.raises(DropError) as caught:
            one.read(0)
        assert caught.value.reason == Reason.CPU_LIMIT
        for _ in range(3):
            assert one.read(1).words == TEXT.split(), "each page has its own second"


def test_a_child_killed_in_the_middle_of_a_page_costs_that_page_only() -> None:
    with reader(page_timeout_s=20) as one:
        one.open(endless(pages=2), "pdf")
        pid = one.child_pid
        assert pid is not None
        killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(DropError, match="SIGKILL") as caught:
            one.read(0)
        assert caught.value.reason == Reason.CRASHED
        assert one.read(1).words == TEXT.split()
        assert one.child_pid != pid


def test_memory_over_its_limit_costs_that_page_only() -> None:
    with reader(memory_bytes=1 << 29, max_raster_pixels=1 << 30) as one:
        one.open(plain(width=2000, height=2000), "pdf")
        pid = one.child_pid
        with pytest.raises(DropError) as caught:
            one.read_raster(0, 600)
        assert caught.value.reason == Reason.MEMORY_LIMIT
        assert one.child_pid == pid, "the library reported it; the child lives on"
        assert one.read(0).words == TEXT.split()


def test_a_picture_bomb_is_drawn_within_the_memory_limit(shared: PageReader) -> None:
    with reader(memory_bytes=1 << 28) as one:
        one.open(bomb(8000), "pdf")
        assert max(one.read(0).image_width, one.read(0).image_height) == 200


def test_sizes_over_their_limits_have_a_reason() -> None:
    with reader(max_bytes=100_000, max_pages=2, max_side=1000, max_raster_pixels=10_000) as one:
        assert reason_of_opening(one, bytes(100_001)) == Reason.TOO_LARGE
        assert reason_of_opening(one, plain([TEXT] * 3)) == Reason.TOO_LARGE
        assert one.open(plain([TEXT] * 2), "pdf") == 2
        one.open(plain(width=1001), "pdf")
        with pytest.raises(DropError, match="1001 x 600") as caught:
            one.read(0)
        assert caught.value.reason == Reason.TOO_LARGE
        one.open(plain(), "pdf")
        assert one.read_raster(0, 300).size <= 3 * 10_200, "drawn smaller, as the limit allows"


def test_one_child_serves_a_limited_number_of_documents_and_none_is_left() -> None:
    pids = []
    with reader(documents_per_child=2) as one:
        for _ in range(5):
            one.open(plain(), "pdf")
            pids.append(one.child_pid or 0)
    assert [len({*pids[start : start + 2]}) for start in (0, 2)] == [1, 1]
    assert len(set(pids)) == 3
    assert not any(map(is_alive, pids))


def test_the_child_dies_with_its_parent() -> None:
    code = (
        "import time\nfrom tests.pipelines.hostile import endless\n"
        "from pipelines.pages.isolation import PageReader, ReaderLimits\n"
        "one = PageReader(ReaderLimits(), 200, 80)\none.open(endless(), 'pdf')\n"
        "print(one.child_pid, flush=True)\none.read(0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def test_a_page_does_not_pay_for_a_child_that_was_killed() -> None:
    with reader() as one:
        for work in (partial(one.open, plain(), "pdf"), partial(one.read, 0)):
            twice(partial(one.open, plain(), "pdf"))
            assert one.child_pid is not None
            os.kill(one.child_pid, signal.SIGKILL)
            twice(work)
        assert one.read(0).words == TEXT.split()


def test_a_timeout_and_a_death_are_tried_again_and_nothing_else() -> None:
    calls: list[Reason] = []

    def fail(reason: Reason) -> None:
        calls.append(reason)
        raise DropError(reason)

    for reason in (Reason.TIMEOUT, Reason.CRASHED, Reason.CPU_LIMIT):
        with pytest.raises(DropError):
            twice(lambda reason=reason: fail(reason))  # type: ignore[misc]
    assert calls == [Reason.TIMEOUT, Reason.TIMEOUT, Reason.CRASHED, Reason.CRASHED, Reason.CPU_LIMIT]


def test_real_malformed_documents_never_end_the_reader(shared_data: Path) -> None:
    files = sorted((shared_data / "hostile").glob("*.pdf"))[::6]
    reasons, pages = [], 0
    with reader(page_timeout_s=5) as one:
        for file in files:
            try:
                for page in range(min(one.open(file.read_bytes(), "pdf"), 2)):
                    one.read(page)
                    pages += 1
            except DropError as error:
                reasons.append(error.reason)
        one.open(plain(), "pdf")
        assert one.read(0).words == TEXT.split()
    assert pages > 10
    assert Reason.INTERNAL not in reasons


def test_passwords_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("no\n\nx\n")
    settings = CorpusSettings(ocr="text-layer", password_file=str(tmp_path / "passwords"))
    assert settings.passwords() == ["no", "x"]
    assert settings.fingerprint() == CorpusSettings(ocr="text-layer").fingerprint()
    maker = PageMaker(settings)
    assert maker.reader.open(encrypted("x"), "pdf") == 1
    maker.close()
    with pytest.raises(UsageError, match="absent"):
        CorpusSettings(password_file=str(tmp_path / "absent")).passwords()


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_cost_themselves_only(kind: str) -> None:
    """Each is read, or has a reason, within its time and memory; the next document is read whole."""
    reason: object = None
    with reader(page_cpu_s=3, page_timeout_s=60, memory_bytes=1 << 30) as one:
        try:
            for page in range(min(2, one.open(BOMBS[kind](), "pdf"))):
                one.read(page)
        except DropError as error:
            reason = error.reason
        assert one.open(plain(), "pdf") == 1
        assert one.read(0).words == TEXT.split()
    assert reason not in (Reason.INTERNAL, Reason.TIMEOUT)


def test_reading_ahead_gives_the_same_pages() -> None:
    texts = [f"{TEXT} {number}" for number in range(4)]
    with reader() as one:
        one.open(plain(texts), "pdf")
        assert one.read(0, ahead=1).words == texts[0].split()
        assert one.read(3).words == texts[3].split(), "another page comes in between"
        assert one.read_raster(0, 50).ndim == 3
        assert one.read(1, ahead=2).words == texts[1].split()
        one.open(plain(["another document"] * 3), "pdf")
        assert one.read(2, ahead=9).words == ["another", "document"]
        with pytest.raises(DropError) as caught:
            one.read(9)
        assert caught.value.reason == Reason.PAGE_BROKEN
        assert one.read(0).words == ["another", "document"]


def test_a_page_that_hangs_while_it_is_read_ahead_costs_itself_only() -> None:
    with reader(page_timeout_s=1) as one:
        one.open(endless(pages=3), "pdf")
        assert one.read(1, ahead=0).words == TEXT.split()
        assert one.read_raster(1, 50).ndim == 3, "by a fresh child"
        with pytest.raises(DropError) as caught:
            one.read(0, ahead=2)
        assert caught.value.reason == Reason.TIMEOUT
        assert one.read(2).words == TEXT.split()
        assert one.read(1, ahead=0).words == TEXT.split()
    assert one.child_pid is None
