"""RapidOCR's networks: PP-OCR's detection and recognition on ONNX Runtime, weights in the package; Latin and Chinese.

The library finds lines and reads them; the words, their boxes and confidence are worked out here, from the letters'
places and the ink, since the library's own word boxes are as high as the detector's region and its word confidence is
that of another letter. Figures of both are in BENCHMARKS.md.
"""

import logging
from collections.abc import Iterator
from importlib import metadata
from itertools import accumulate, pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.ocr.ctc import Alphabet, Letter, in_its_company, split_at_spaces, without_doubtful_accents
from pipelines.ocr.engine import OcrPage, Picture
from pipelines.ocr.ink import Ink, around_ink, ink_of, line_band, widest_blank
from pipelines.ocr.spelling import Spelling

# Text is found on a smaller copy of the page and read from the full one. On FUNSD's training scans a side of 1280 finds
# 0.7 % more of the words than one of 960, in 8 % more time.
DETECTION_SIDE = 1280
READING_HEIGHT = 48
COLUMN = 8  # pixels of the line that one column of the network's answer stands for
MIN_LINE_CONFIDENCE = 0.5
# Where the network is less sure of the line itself, all of its region is read too, and what it is surer of is taken: on
# 40 of FUNSD's training scans 0.3 % more of the words; one line in seven.
SURE_OF_LINE = 0.97
# A space that is this likely parts words, though another class was likelier, at a blank this much of the line's height
# and this many times the usual one between its letters (typewriters and headings set letters far apart). On 40 of
# FUNSD's training scans 0.5 % more of the words than by the blanks alone, and 0.3 % better ones.
SPACE = 0.01
WORD_GAP = 0.15
WORD_GAP_TIMES = 3.0
TALL = 1.5  # a region this much higher than wide is a line that runs upwards
Word = tuple[list[Letter], NDArray[np.float32]]


class Rapid:
    """PP-OCR, upright text.

    Args:
        threads: of ONNX Runtime in this process.
    """

    name = "rapidocr"

    def __init__(self, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        networks = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECTION_SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
            }
        )
        self._find = networks._load_det_model()
        recogniser = networks._load_rec_model()
        self._recognise = recogniser.session
        self._alphabet = Alphabet(recogniser.postprocess_op.character)
        self._spelling = Spelling()
        self.version = (
            f"rapidocr {metadata.version('rapidocr')}, side {DETECTION_SIDE}, words 5, "
            f"spelling {metadata.version('pyspellchecker')}"
        )

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB."""
        height, width = picture.shape[:2]
        blue_first = np.ascontiguousarray(picture[:, :, ::-1])
        found = self._find(blue_first).boxes
        words = [word for region in ([] if found is None else found) for word in self._words(blue_first, region)]
        plain = without_doubtful_accents([word for word, _ in words])
        boxes = [[*corners.min(0), *corners.max(0)] for _, corners in words]
        size = np.array([width, height] * 2, np.float32)
        return OcrPage.of(
            ["".join(letter.text for letter in word) for word in self._spelling.corrected(plain)],
            np.asarray(boxes, np.float32).reshape(-1, 4) / size,
            [float(np.mean([letter.probability for letter in word])) for word, _ in words],
        )

    def _words(self, picture: Picture, region: NDArray[np.float32]) -> Iterator[Word]:
        """Letters of each word of a region (four corners), and its corners in pixels of the page [4, 2]."""
        crop, back = _upright(picture, region)
        ink = ink_of(crop)
        top, bottom = line_band(ink)
        letters, confidence = self._line(crop[top:bottom])
        if confidence < SURE_OF_LINE and bottom - top < len(crop):
            whole, surer = self._line(crop)
            if surer > confidence:
                letters, confidence, top, bottom = whole, surer, 0, len(crop)
        if confidence < MIN_LINE_CONFIDENCE:
            return
        ink = ink[top:bottom]
        for word, box in place_words(letters, ink, COLUMN * ink.shape[1] / _across(ink)):
            x0, y0, x1, y1 = box
            corners = np.array([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], np.float32) + np.array([0, top], np.float32)
            yield word, cv2.perspectiveTransform(corners, back)[0]

    def _line(self, crop: NDArray[np.uint8]) -> tuple[list[Letter], float]:
        """Letters and spaces of a line's picture, and the mean probability of its letters; 0 where there are none."""
        line = cv2.resize(crop, (_across(crop), READING_HEIGHT)).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
        letters = self._alphabet.letters(self._recognise(line[None])[0])
        seen = [letter.probability for letter in letters if not letter.text.isspace()]
        return letters, float(np.mean(seen)) if seen else 0.0


def _across(line: NDArray[np.uint8]) -> int:
    """Width in pixels of a line's picture at the height at which it is read."""
    return int(max(-(-READING_HEIGHT * line.shape[1] // line.shape[0]), 2 * COLUMN))


def place_words(
    letters: list[Letter], ink: Ink, pixels_a_column: float
) -> Iterator[tuple[list[Letter], tuple[float, float, float, float]]]:
    """The words of a line, each with the box x0, y0, x1, y1 around its ink, pixels of the line's picture.

    Args:
        letters: of the line, spaces among them.
        ink: uint8 [H, W], 1 where there is some.
        pixels_a_column: by which the letters' places are measured.
    """
    given = split_at_spaces(letters)
    if not given:
        return
    columns = ink.sum(0, dtype=np.int64)
    row = [letter for word in given for letter in word]
    places = [letter.place * pixels_a_column for letter in row]
    blanks = [widest_blank(columns, *pair) for pair in pairwise(places)]
    spaces = set(accumulate(map(len, given)))  # before which letters of the row the network gave one
    inside = [end - begin for place, (begin, end) in enumerate(blanks, 1) if place not in spaces]
    least = max(WORD_GAP * len(ink), WORD_GAP_TIMES * float(np.median(inside)) if inside else 0.0)
    words, cuts = [[row[0]]], [0.0]
    for place, (begin, end) in enumerate(blanks, 1):
        if place in spaces or (row[place - 1].space > SPACE and end - begin > least):
            cuts.append((begin + end) / 2)
            words.append([])
        words[-1].append(row[place])
    cuts.append(float(ink.shape[1]))
    for word, (first, end) in zip(words, pairwise(cuts), strict=True):
        yield in_its_company(word), around_ink(ink, first, end)


def _upright(picture: Picture, region: NDArray[np.float32]) -> tuple[NDArray[np.uint8], Any]:
    """The region as an upright picture, lines that run upwards turned to the right, and the matrix back to the page."""
    corners = region.astype(np.float32)
    if _apart(corners, 0, 3) >= TALL * max(_apart(corners, 0, 1), 1.0):
        corners = np.roll(corners, -1, axis=0)
    width = round(max(_apart(corners, 0, 1), _apart(corners, 2, 3), 1.0))
    height = round(max(_apart(corners, 0, 3), _apart(corners, 1, 2), 1.0))
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    crop = cv2.warpPerspective(
        picture,
        cv2.getPerspectiveTransform(corners, flat),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
        flags=cv2.INTER_CUBIC,
    )
    return np.asarray(crop, np.uint8), cv2.getPerspectiveTransform(flat, corners)


def _apart(corners: NDArray[np.float32], one: int, other: int) -> float:
    return float(np.linalg.norm(corners[one] - corners[other]))
