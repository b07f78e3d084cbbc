"""A text layer is believed only when it can stand for what the page shows."""

import random
import string

import numpy as np
import pymupdf
import pytest

from pipelines.ocr.engine import OcrPage
from pipelines.pages.coverage import UNCOVERED
from pipelines.pages.isolation import PageReader
from pipelines.pages.reader import Document
from pipelines.pages.readings import WordReader
from pipelines.pages.trust import trust_text_layer
from pipelines.quarantine import DropError, Reason
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import plain

PROSE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it "
    "was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    "Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing."
)
GERMAN = (
    "Jemand mußte Josef K. verleumdet haben, denn ohne daß er etwas Böses getan hätte, wurde er eines Morgens "
    "verhaftet. Die Köchin der Frau Grubach, seiner Zimmervermieterin, die ihm jeden Tag gegen acht Uhr früh das "
    "Frühstück brachte, kam diesmal nicht. Das war noch niemals geschehen. K. wartete noch ein Weilchen."
)
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. " * 5


def judge(words: list[str], ink: bool = True, share: float = 1.0) -> tuple[bool, str]:
    """The verdict on words that stand in rows over bars of ink, the last of them or all over nothing."""
    count = len(words)
    places = np.arange(count)
    x, y = 10 + places % 10 * 50, 10 + places // 10 * 20
    boxes = np.stack([x, y, x + 40, y + 12], 1).astype(np.float32)
    picture = np.full((1200, 600, 3), 255, np.uint8)
    if ink:
        for x0, y0, x1, y1 in boxes.astype(int)[: round(share * count)]:
            picture[y0:y1:2, x0:x1] = 0
    return trust_text_layer(words, boxes, picture, 600, 1200)


@pytest.mark.parametrize("text", [PROSE, GERMAN, RUSSIAN, "a 1", "東京都 千代田区 " * 30, "7 " * 100 + "total"])
def test_text_over_ink_is_trusted(text: str) -> None:
    assert judge(text.split()) == (True, "")


def test_nothing_is_not_trusted() -> None:
    assert judge([]) == (False, "no text layer")


def test_words_where_the_page_shows_nothing_are_not_trusted() -> None:
    trusted, detail = judge(PROSE.split(), ink=False)
    assert not trusted
    assert "shows nothing" in detail


@pytest.mark.parametrize(("share", "trusted"), [(0.75, True), (0.55, False)])
def test_some_words_may_stand_beside_the_ink(share: float, trusted: bool) -> None:
    assert judge(PROSE.split(), share=share)[0] == trusted


@pytest.mark.parametrize("letter", ["\ufffd", "\ue021", "\x02"])
def test_glyphs_without_meaning_are_not_trusted(letter: str) -> None:
    words = PROSE.split()
    assert judge([*words[:-1], letter])[0], "one in hundreds may be a bullet"
    assert not judge([word.replace("e", letter) for word in words])[0]


def test_letters_that_no_language_has_are_not_trusted() -> None:
    """A subset font without a map back to letters: each glyph's code stands for a letter, and the wrong one."""
    shifted = "".join(chr(ord(letter) - 29) if letter.isascii() and ord(letter) > 62 else letter for letter in PROSE)
    caught = not judge(shifted.split())[0]
    letters = string.ascii_lowercase
    for seed in range(20):
        mixed = str.maketrans(letters, "".join(random.Random(seed).sample(letters, 26)))
        caught += not judge(PROSE.lower().translate(mixed).split())[0]
    assert caught >= 18


def test_single_letters_are_not_trusted() -> None:
    assert not judge(list("Whenspacesgowherelettersare"))[0]


def test_a_broken_font_map_in_a_real_pdf_is_seen() -> None:
    """The same page with a ToUnicode map that says nothing useful, as broken producers write it."""
    with pymupdf.open(stream=plain([PROSE])) as pdf:
        font = pdf[0].get_fonts()[0][0]
        cmap = pdf.get_new_xref()
        pdf.update_object(cmap, "<<>>")
        pdf.update_stream(
            cmap,
            b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
            b"1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfrange <21> <7E> <E021> endbfrange "
            b"endcmap end end",
        )
        pdf.xref_set_key(font, "ToUnicode", f"{cmap} 0 R")
        broken = bytes(pdf.tobytes())
    limits = {"max_pages": 10, "max_side": 10_000}
    assert Document(plain([PROSE]), "pdf", [], limits).read(0, 600, 80)[0]["trusted"]
    header, _ = Document(broken, "pdf", [], limits).read(0, 600, 80)
    assert not header["trusted"]
    assert "no meaning" in header["detail"]


def scan(stamp: str, body: str = "", dots: int = 0) -> bytes:
    """A page that is a picture of `body` or of dots, with a text layer of `stamp` alone, which it shows too."""
    with pymupdf.open() as drawn, pymupdf.open() as pdf:
        page = drawn.new_page(width=400, height=500)
        page.insert_textbox((30, 60, 370, 480), body, fontsize=11)
        pick = random.Random(4)
        for _ in range(dots):
            page.draw_circle((pick.uniform(30, 370), pick.uniform(60, 480)), pick.uniform(1, 5), fill=(0, 0, 0))
        scanned = pdf.new_page(width=400, height=500)
        scanned.insert_image(scanned.rect, pixmap=page.get_pixmap(dpi=150))
        scanned.insert_text((30, 30), stamp, fontsize=10)
        return bytes(pdf.tobytes())


@pytest.mark.parametrize(
    ("document", "trusted"),
    [
        (scan("Received 12 March 1998", PROSE), False),
        (scan(PROSE[:60], PROSE), False),
        (scan("Figure 7 of the report", dots=400), True),
        (scan("Received 12 March 1998", "Two words"), True),
    ],
)
def test_a_stamp_does_not_stand_for_the_scan_under_it(document: bytes, trusted: bool) -> None:
    limits = {"max_pages": 10, "max_side": 10_000}
    header, _ = Document(document, "pdf", [], limits).read(0, 768, 80)
    assert header["trusted"] == trusted, header["detail"]
    assert trusted or header["detail"] == UNCOVERED


class FixedEngine:
    """An engine that reads these words, or fails."""

    name, version = "fixed", "fixed 1"

    def __init__(self, words: list[str] | None, confidence: float = 0.9) -> None:
        self.words, self.confidence = words, confidence

    def load(self) -> None: ...
    def close(self) -> None: ...

    def read(self, picture: object) -> OcrPage:
        if self.words is None:
            raise DropError(Reason.OCR_FAILED)
        return OcrPage.of(self.words, [[0.1, 0.1, 0.2, 0.2]] * len(self.words), [self.confidence] * len(self.words))


def test_ocr_takes_the_place_of_a_stamp_where_it_reads_more() -> None:
    settings = CorpusSettings(ocr="auto")
    with PageReader(settings.limits, 768, 80) as reader:
        reader.open(scan("Received 12 March 1998", PROSE), "pdf")
        content = reader.read(0)
        for words, source in ((PROSE.split(), "fixed"), (["Two"], "text-layer")):
            reading = WordReader(settings, reader, FixedEngine(words)).read(content, 0, "0" * 64)
            assert reading.text_source == source
        for engine in (FixedEngine(None), None):  # the stamp alone would be a guess
            with pytest.raises(DropError):
                WordReader(settings, reader, engine).read(content, 0, "0" * 64)


@pytest.mark.parametrize(
    ("words", "confidence", "source", "quality"),
    [
        (PROSE.split(), 0.9, "text-layer", 1.0),
        (GERMAN.split(), 0.9, "fixed", 0.0),
        (GERMAN.split(), 0.7, "text-layer", 0.0),  # an engine that is not sure overrules nothing
        ([], 0.9, "text-layer", 0.0),
        (None, 0.9, "text-layer", None),
        (GERMAN.split(), 0.4, "text-layer", None),  # too poor to say anything
    ],
)
def test_a_text_layer_gives_way_to_ocr_that_is_sure_of_something_else(
    words: list[str] | None, confidence: float, source: str, quality: float | None
) -> None:
    settings = CorpusSettings(ocr="auto", agreement_share=1.0)
    with PageReader(settings.limits, 200, 80) as reader:
        reader.open(plain([PROSE]), "pdf")
        reading = WordReader(settings, reader, FixedEngine(words, confidence)).read(reader.read(0), 0, "0" * 64)
    assert reading.text_source == source
    assert reading.quality == (quality if quality is None else pytest.approx(quality, abs=0.2))


@pytest.mark.parametrize(("confidence", "taken"), [(0.51, True), (0.49, False)])
def test_a_page_that_ocr_reads_poorly_is_left_out(confidence: float, taken: bool) -> None:
    settings = CorpusSettings(ocr="tesseract")
    with PageReader(settings.limits, 200, 80) as reader:
        reader.open(plain([PROSE]), "pdf")
        reads = WordReader(settings, reader, FixedEngine(PROSE.split(), confidence))
        if taken:
            assert reads.read(reader.read(0), 0, "0" * 64).words == PROSE.split()
            return
        with pytest.raises(DropError, match=r"mean confidence 0\.49") as poor:
            reads.read(reader.read(0), 0, "0" * 64)
    assert (poor.value.reason, poor.value.stage) == (Reason.POOR_OCR, "ocr")
