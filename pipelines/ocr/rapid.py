"""RapidOCR: PP-OCR's detection and recognition on ONNX Runtime, weights in the package; reads Latin and Chinese."""

import logging
from importlib import metadata

import numpy as np

from pipelines.ocr.engine import OcrPage, Picture

# Text is found on a small copy of the page and read from the full one. On FUNSD's test scans (tests/benchmarks/ocr.py),
# against the library's own settings half the time a page and higher recall, since large letters are found whole again.
DETECTION_SIDE = 960


class Rapid:
    """RapidOCR with word boxes, upright text.

    Args:
        threads: of ONNX Runtime in this process.
    """

    name = "rapidocr"

    def __init__(self, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._read = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECTION_SIDE,
                # Line by line, with little padding: what is read does not depend on what else is on the page.
                "Rec.rec_batch_num": 1,
                "Rec.rec_img_shape": [3, 48, 160],
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
            }
        )
        self.version = f"rapidocr {metadata.version('rapidocr')}, side {DETECTION_SIDE}"

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB."""
        height, width = picture.shape[:2]
        result = self._read(np.ascontiguousarray(picture[:, :, ::-1]), return_word_box=True)
        words, boxes, confidence = [], [], []
        for line in result.word_results if result.txts else ():
            for text, score, corners in line:
                stripped = text.strip()
                if stripped and corners is not None:
                    corner = np.asarray(corners, np.float64).reshape(-1, 2)
                    (x0, y0), (x1, y1) = corner.min(0), corner.max(0)
                    words.append(stripped)
                    boxes.append((x0 / width, y0 / height, x1 / width, y1 / height))
                    confidence.append(score)
        return OcrPage.of(words, boxes, confidence)
