"""DocFormerV2 and its pretraining objectives; names are imported on first use, because torch is slow to import."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.config import DocFormerV2Config
    from model.docformer import DocFormerV2ForConditionalGeneration, DocFormerV2Output
    from model.errors import ModelInputError
    from model.processor import DocFormerV2Processor

__all__ = [
    "DocFormerV2Config",
    "DocFormerV2ForConditionalGeneration",
    "DocFormerV2Output",
    "DocFormerV2Processor",
    "ModelInputError",
]

_HOME = {
    "DocFormerV2Config": "model.config",
    "DocFormerV2ForConditionalGeneration": "model.docformer",
    "DocFormerV2Output": "model.docformer",
    "DocFormerV2Processor": "model.processor",
    "ModelInputError": "model.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'model' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
