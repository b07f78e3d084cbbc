"""Documents that the project writes itself, with the truth about every word: for the demo and the tests."""

from pipelines.synthetic.generate import KINDS, generate
from pipelines.synthetic.truth import DocumentTruth, PageTruth

__all__ = ["KINDS", "DocumentTruth", "PageTruth", "generate"]
