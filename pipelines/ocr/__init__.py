"""OCR engines behind one small interface: a picture in, words with boxes and confidence out."""

from pipelines.ocr.engine import OcrEngine, OcrPage, available, engine

__all__ = ["OcrEngine", "OcrPage", "available", "engine"]
