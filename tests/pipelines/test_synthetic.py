"""Generated documents are the same for a seed, hold every kind, tell the truth, and are refused where due."""

import io
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.pages.isolation import PageReader, ReaderLimits
from pipelines.quarantine import DropError, Reason
from pipelines.sources.sniff import sniff
from pipelines.synthetic import KINDS, DocumentTruth, PageTruth, generate
from pipelines.synthetic.hostile import HOSTILE
from pipelines.synthetic.invoices import draw_invoice
from pipelines.synthetic.pdf import pdf_bytes

Folder = tuple[Path, list[DocumentTruth]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("documents")
    return path, generate(path, documents=48, seed=4, scans=0.2, hostile=len(HOSTILE))


@pytest.fixture(scope="module")
def reader() -> Iterator[PageReader]:
    with PageReader(ReaderLimits(), image_long_side=400, jpeg_quality=60) as opened:
        yield opened


def same(a: PageTruth, b: PageTruth) -> bool:
    return a.words == b.words and np.array_equal(a.boxes, b.boxes) and np.array_equal(a.line_ids, b.line_ids)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> list[DocumentTruth]:
        return generate(tmp_path / name, documents=18, seed=seed, scans=0.25, hostile=len(HOSTILE))

    first, again, other = made("first", 1), made("again", 1), made("other", 2)
    assert [truth.name for truth in first] == [truth.name for truth in again]
    for one, two in zip(first, again, strict=True):
        assert (tmp_path / "first" / one.name).read_bytes() == (tmp_path / "again" / two.name).read_bytes(), one.name
        assert all(same(a, b) for a, b in zip(one.pages, two.pages, strict=True))
    for one, two in zip(first, other, strict=True):
        assert (tmp_path / "first" / one.name).read_bytes() != (tmp_path / "other" / two.name).read_bytes(), one.name


def test_a_document_does_not_depend_on_how_many_there_are(tmp_path: Path, folder: Folder) -> None:
    path, truths = folder
    few = generate(tmp_path, documents=7, seed=4, scans=0.2, hostile=0)
    assert [t.name for t in few] == [t.name for t in truths[:7]]
    assert all((tmp_path / t.name).read_bytes() == (path / t.name).read_bytes() for t in few)


def test_every_kind_format_and_fault_is_there(folder: Folder) -> None:
    path, truths = folder
    good = [truth for truth in truths if not truth.hostile]
    assert len(good) == 48
    assert {truth.name for truth in truths} == {file.name for file in path.iterdir()}
    assert {truth.kind for truth in good if not truth.scan} == set(KINDS)
    scans = [truth for truth in good if truth.scan]
    assert len(scans) == 9
    assert {Path(truth.name).suffix for truth in scans} == {".pdf", ".png", ".jpg", ".tiff"}
    assert len({truth.kind for truth in scans}) >= 4
    assert all(abs(page.skew) <= np.tan(np.radians(2)) for truth in scans for page in truth.pages)
    assert {truth.kind for truth in truths if truth.hostile} == {name for name, *_ in HOSTILE}
    words = [word.strip(".,:;").lower() for truth in good for page in truth.pages for word in page.words]
    assert len({word for word in words if word.isalpha()}) > 600, "enough for a vocabulary to learn from"


def test_pages_are_stored_turned_staggered_and_in_several_sizes() -> None:
    pages = [page.truth() for draw in KINDS.values() for seed in range(60) for page in draw(random.Random(seed))]
    assert {page.rotation for page in pages} == {0, 90, 180, 270}
    assert len({(page.width, page.height) for page in pages}) > 5
    assert any(staggered(page) for page in pages)


def staggered(page: PageTruth) -> bool:
    """Whether words overlap a third of the height of words in another line."""
    top, bottom = page.boxes[:, 1], page.boxes[:, 3]
    overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    share = overlap / np.minimum((bottom - top)[:, None], bottom - top)
    return bool(((share > 0.33) & (page.line_ids[:, None] != page.line_ids)).sum() > 100)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_layer_says_what_the_truth_says(kind: str) -> None:
    for seed in range(8):
        sheets = KINDS[kind](random.Random(seed))
        with pymupdf.open(stream=pdf_bytes(sheets), filetype="pdf") as pdf:
            assert len(pdf) == len(sheets)
            for page, sheet in zip(pdf, sheets, strict=True):
                truth = sheet.truth()
                assert (page.rect.width, page.rect.height, page.rotation) == pytest.approx(
                    (truth.width, truth.height, truth.rotation)
                )
                found = [
                    (word, pymupdf.Rect(box) * page.rotation_matrix) for *box, word, _, _, _ in page.get_text("words")
                ]
                assert sorted(word for word, _ in found) == sorted(truth.words)
                boxes = np.array([tuple(box) for _, box in found])
                nearest = np.abs(truth.boxes[:, None] - boxes).max(axis=2).argmin(axis=1)
                np.testing.assert_allclose(boxes[nearest], truth.boxes, atol=0.05)
                assert tuple(found[place][0] for place in nearest) == truth.words


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_leaves_the_page_or_stands_on_another(kind: str) -> None:
    for seed in range(40):
        for sheet in KINDS[kind](random.Random(seed)):
            page = sheet.truth()
            x0, y0, x1, y1 = page.boxes.T
            assert (x0 >= 0).all()
            assert (y0 >= 0).all()
            assert (x1 <= page.width).all()
            assert (y1 <= page.height).all()
            order = np.lexsort((x0, page.line_ids))
            beside = page.line_ids[order][1:] == page.line_ids[order][:-1]
            assert (x0[order][1:] >= x1[order][:-1])[beside].all(), (kind, seed)


def test_amounts_of_an_invoice_add_up() -> None:
    amount = re.compile(r"-?[\d,]+\.\d\d")
    checked = 0
    for seed in range(20):
        (page,) = (sheet.truth() for sheet in draw_invoice(random.Random(seed)))
        lines = [
            [page.words[i] for i in np.flatnonzero(page.line_ids == line)] for line in range(page.line_ids.max() + 1)
        ]
        head = next(place for place, line in enumerate(lines) if "Quantity" in line)
        sums = next(place for place, line in enumerate(lines) if line[0] == "Subtotal")
        last = [line[-1] for line in lines[head + 1 : sums + 1]]
        *items, subtotal = [round(float(word.replace(",", "")) * 100) for word in last if amount.fullmatch(word)]
        assert sum(items) == subtotal
        checked += len(items)
    assert checked > 40


def test_hostile_files_are_refused_for_the_reason_expected(folder: Folder, reader: PageReader) -> None:
    path, truths = folder
    expected = {truth.kind: truth.reason for truth in truths if truth.hostile}
    assert {truth.kind: refusal(reader, path / truth.name) for truth in truths if truth.hostile} == expected
    assert {Reason.BROKEN, Reason.ENCRYPTED, Reason.NO_PAGES, Reason.NO_TEXT, Reason.TOO_LARGE} <= set(
        expected.values()
    )


def refusal(reader: PageReader, file: Path) -> Reason | None:
    data = file.read_bytes()
    kind = sniff(file.name, data)
    assert kind is not None
    try:
        words = [word for page in range(reader.open(data, kind)) for word in reader.read(page).words]
    except DropError as error:
        return error.reason
    return None if words else Reason.NO_TEXT


def test_the_reader_trusts_and_reads_every_text_layer(folder: Folder, reader: PageReader) -> None:
    path, truths = folder
    rotations = set()
    for truth in truths:
        if truth.hostile or truth.scan:
            continue
        assert reader.open((path / truth.name).read_bytes(), "pdf") == len(truth.pages)
        for index, page in enumerate(truth.pages):
            content = reader.read(index)
            assert content.text_layer_trusted, (truth.name, content.trust_detail)
            assert sorted(content.words) == sorted(page.words), truth.name
            np.testing.assert_allclose(sorted_boxes(content.boxes), sorted_boxes(page.boxes), atol=0.05)
            rotations.add(page.rotation)
    assert rotations > {0}


def sorted_boxes(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    rounded = np.round(boxes.astype(np.float64), 1)
    return boxes[np.lexsort(rounded.T)]


def test_scans_have_no_text_layer_and_ink_where_the_truth_says(folder: Folder, reader: PageReader) -> None:
    path, truths = folder
    for truth in truths:
        if not truth.scan:
            continue
        data = (path / truth.name).read_bytes()
        kind = sniff(truth.name, data)
        assert kind is not None
        assert reader.open(data, kind) == len(truth.pages)
        for index, page in enumerate(truth.pages):
            content = reader.read(index)
            assert not content.words
            assert (content.width, content.height) == pytest.approx((page.width, page.height), abs=0.6)
            grey = np.asarray(Image.open(io.BytesIO(content.image)).convert("L"), np.float32)
            middle, edges = darkness(grey, page, 0.33, 0.67), darkness(grey, page, 0.9, 1.1)
            assert middle > 2 * edges, truth.name


def darkness(grey: NDArray[np.float32], page: PageTruth, first: float, last: float) -> float:
    """How much darker than the paper the boxes are between two shares of their height, on average."""
    scale = np.array([grey.shape[1] / page.width, grey.shape[0] / page.height] * 2)
    paper, values = float(np.median(grey)), []
    for x0, y0, x1, y1 in page.boxes * scale:
        tall = y1 - y0
        patch = grey[int(y0 + first * tall) : int(y0 + last * tall) + 1, int(x0) : int(x1) + 1]
        values.append(paper - float(patch.mean()) if patch.size else 0.0)
    return float(np.mean(values))
