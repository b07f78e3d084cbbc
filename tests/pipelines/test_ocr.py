"""OCR engines read what was printed, where it was printed; a page that harms one costs that page only."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pymupdf
import pytest

from pipelines.errors import UsageError
from pipelines.ocr import OcrPage, available, engine
from pipelines.ocr.auto import is_sure
from pipelines.ocr.engine import Picture
from pipelines.ocr.isolated import IsolatedEngine
from pipelines.quarantine import DropError, Reason

LINES = (
    "The quarterly report of the river board was sent to every member.",
    "Members voted on the budget of 4200 dollars and on new bridges.",
    "Nobody spoke against the plan to repair the northern harbour wall.",
)


def printed(dpi: float = 200, noise: float = 0.0) -> tuple[Picture, list[tuple[str, np.ndarray]]]:
    """A page with LINES, and each true word with its box as shares of the page."""
    with pymupdf.open() as pdf:
        sheet = pdf.new_page(width=420, height=300)
        for row, line in enumerate(LINES):
            sheet.insert_text((30, 60 + 80 * row), line, fontsize=11)
        size = np.array([420, 300, 420, 300])
        truth = [(word[4], np.array(word[:4]) / size) for word in sheet.get_text("words")]
        pixmap = sheet.get_pixmap(dpi=int(dpi), colorspace=pymupdf.csRGB)
    picture = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
    grain = np.random.default_rng(0).normal(0, noise, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8), truth


def recall(page: OcrPage, truth: list[tuple[str, np.ndarray]]) -> float:
    return (Counter(page.words) & Counter(word for word, _ in truth)).total() / len(truth)


@pytest.mark.parametrize("name", ["tesseract", "rapidocr", "auto"])
def test_print_is_read_where_it_stands(name: str) -> None:
    picture, truth = printed()
    page = engine(name).read(picture)
    assert recall(page, truth) > 0.9
    assert len(page.words) == len(page.boxes) == len(page.confidence)
    assert page.boxes.dtype == page.confidence.dtype == np.float32
    where = dict(zip(page.words, page.boxes, strict=True))
    off = [np.abs(where[word] - box).max() for word, box in truth if word in where]
    assert np.median(off) < 0.03, "boxes are shares of the page, from its top left"
    assert page.confidence.mean() > 0.8


@pytest.mark.parametrize("name", ["tesseract", "rapidocr", "auto"])
def test_an_empty_page_has_no_words(name: str) -> None:
    page = engine(name).read(np.full((400, 300, 3), 255, np.uint8))
    assert page.words == []
    assert page.boxes.shape == (0, 4)


def test_auto_says_which_engine_read(monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine("auto")
    picture, truth = printed()
    one.read(picture)
    assert one.name == "tesseract"
    monkeypatch.setattr("pipelines.ocr.auto.is_sure", lambda page: False)
    monkeypatch.setattr("pipelines.ocr.auto.weight", lambda page: float(len(page.words) == len(truth)))
    monkeypatch.setattr(one, "_fast", _Unsure())
    assert recall(one.read(picture), truth) > 0.9
    assert one.name == "rapidocr"
    assert "rapidocr" in one.version


class _Unsure:
    name, version = "tesseract", "0"

    def read(self, picture: Picture) -> OcrPage:
        return OcrPage.of(["smudge"], [[0, 0, 1, 1]], [0.2])


def test_sureness_is_of_the_whole_page() -> None:
    assert is_sure(OcrPage.of(["word"] * 10, [[0, 0, 1, 1]] * 10, [0.95] * 10))
    assert not is_sure(OcrPage.of(["word"] * 10, [[0, 0, 1, 1]] * 10, [0.97] * 8 + [0.3] * 2))
    assert not is_sure(OcrPage.of(["word"] * 4, [[0, 0, 1, 1]] * 4, [0.99] * 4))


def test_boxes_are_clamped_to_the_picture() -> None:
    assert OcrPage.of(["a"], [[-0.1, 0.2, 1.5, 0.3]], [1.2]).boxes.tolist()[0][::2] == [0, 1]


def test_an_unknown_engine_is_refused() -> None:
    assert set(available()) >= {"tesseract", "rapidocr", "auto"}
    with pytest.raises(UsageError, match="use one of tesseract"):
        engine("tesserakt")


def test_a_killed_engine_costs_one_page() -> None:
    picture, truth = printed()
    one = IsolatedEngine("tesseract", {}, timeout_s=60)
    try:
        assert recall(one.read(picture), truth) > 0.9
        assert one.name == "tesseract"
        pid = one.child_pid
        assert pid is not None
        large = np.tile(picture, (6, 4, 1))
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(DropError, match="SIGKILL") as caught:
            one.read(large)
        assert caught.value.reason == Reason.CRASHED
        assert recall(one.read(picture), truth) > 0.9
    finally:
        one.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_page_over_its_time_is_dropped() -> None:
    picture, _ = printed()
    one = IsolatedEngine("tesseract", {}, timeout_s=0.2)
    try:
        one.load()
        with pytest.raises(DropError) as caught:
            one.read(np.tile(picture, (6, 4, 1)))
        assert caught.value.reason == Reason.TIMEOUT
    finally:
        one.close()


DOCTR = {"detection": "db_mobilenet_v3_large", "recognition": "crnn_mobilenet_v3_small"}


def save_doctr_weights(folder: Path) -> None:
    """Untrained weights, such that detection marks the whole page as text."""
    import torch
    from doctr.models import detection, recognition

    torch.manual_seed(0)
    for module, name in ((detection, DOCTR["detection"]), (recognition, DOCTR["recognition"])):
        network = getattr(module, name)(pretrained=False, pretrained_backbone=False)
        torch.save(network.state_dict(), folder / f"{name}.pt")


def test_doctr_reads_with_weights_from_a_folder(tmp_path: Path) -> None:
    save_doctr_weights(tmp_path)
    one = engine("doctr", **DOCTR, weights=str(tmp_path))
    picture, _ = printed(dpi=50)
    pages = one.read_batch([picture, picture[:100]])  # type: ignore[attr-defined]
    assert len(pages) == 2
    for page in pages:
        assert len(page.words) == len(page.boxes) == len(page.confidence)
        assert all(word.strip() for word in page.words)
        assert np.all((page.boxes >= 0) & (page.boxes <= 1))
    alone = one.read(picture[:100])
    assert pages[1].words == alone.words
    np.testing.assert_allclose(pages[1].boxes, alone.boxes, atol=1e-4)
    assert "db_mobilenet_v3_large + crnn_mobilenet_v3_small, weights " in one.version
    broken = tmp_path / f"{DOCTR['detection']}.pt"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"db_mobilenet_v3_large\.pt: no weights"):
        engine("doctr", **DOCTR, weights=str(tmp_path))


def test_doctr_without_weights_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"db_mobilenet_v3_large\.pt: not found"):
        engine("doctr", **DOCTR, weights=str(tmp_path))
    with pytest.raises(UsageError, match="use one of db_resnet34"):
        engine("doctr", detection="nope", recognition="crnn_vgg16_bn", weights=str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("DOCTR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UsageError, match=r"cannot be had .*no network.*DOCTR_CACHE_DIR.*doctr_weights"):
        engine("doctr", **DOCTR)
