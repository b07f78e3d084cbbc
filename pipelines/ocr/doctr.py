"""docTR: a detection and a recognition network by name, on PyTorch; weights from its cache, download or local files."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.corpus.shards import file_sha256
from pipelines.errors import UsageError
from pipelines.ocr.engine import OcrPage, Picture

CACHE = "$DOCTR_CACHE_DIR/models (by default ~/.cache/doctr/models)"


class Doctr:
    """docTR's predictor over straight pages.

    Args:
        detection: name of a detection architecture, e.g. fast_base or db_resnet50.
        recognition: name of a recognition architecture, e.g. crnn_vgg16_bn or parseq.
        weights: folder with DETECTION.pt and RECOGNITION.pt; empty: docTR's own, from its cache or its download.
        batch_pages: pages that detection takes at once; the word crops of all of them share recognition's batches.

    Raises:
        UsageError: no such architecture, or its weights cannot be had.
    """

    name = "doctr"

    def __init__(self, detection: str, recognition: str, weights: str = "", batch_pages: int = 2) -> None:
        import torch
        from doctr.models import detection as detections
        from doctr.models import ocr_predictor
        from doctr.models import recognition as recognitions
        from doctr.models.detection.fast import reparameterize
        from doctr.models.detection.zoo import ARCHS as DETECTIONS
        from doctr.models.recognition.zoo import ARCHS as RECOGNITIONS

        finder = _network(detections, detection, DETECTIONS, "doctr_detection", weights)
        reader = _network(recognitions, recognition, RECOGNITIONS, "doctr_recognition", weights)
        if isinstance(finder, detections.FAST):
            finder = reparameterize(finder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._predict = ocr_predictor(
            finder,
            reader,
            pretrained=False,
            pretrained_backbone=False,
            resolve_blocks=False,
            det_bs=batch_pages,
            reco_bs=64 * batch_pages,
        ).to(device)
        self.version = f"python-doctr {metadata.version('python-doctr')}, {detection} + {recognition}"
        if weights:
            both = (file_sha256(weights_file(weights, name))[:12] for name in (detection, recognition))
            self.version += f", weights {' + '.join(both)}"

    def read(self, picture: Picture) -> OcrPage:
        """The words of a picture uint8 [H, W, 3] RGB."""
        return self.read_batch([picture])[0]

    def read_batch(self, pictures: Sequence[Picture]) -> list[OcrPage]:
        """The words of each picture uint8 [H, W, 3] RGB; the word crops of all of them share the network's batches."""
        pages = self._predict([np.ascontiguousarray(picture) for picture in pictures]).pages
        return [_page([word for block in page.blocks for line in block.lines for word in line.words]) for page in pages]


def weights_file(folder: str, architecture: str) -> Path:
    """Where the weights of an architecture are in a folder of weights."""
    return Path(folder).expanduser() / f"{architecture}.pt"


def _network(module: Any, name: str, known: Sequence[str], setting: str, weights: str) -> Any:
    if name not in known:
        raise UsageError(f"{setting} = {name!r}: docTR has no such network; use one of {', '.join(known)}")
    if not weights:
        try:
            return getattr(module, name)(pretrained=True, pretrained_backbone=False).eval()
        except Exception as error:
            raise UsageError(
                f"docTR's weights of {name} cannot be had ({_short(error)}); connect to the internet once, put the "
                f"file into {CACHE}, or give doctr_weights a folder with {name}.pt"
            ) from None
    file = weights_file(weights, name)
    network = getattr(module, name)(pretrained=False, pretrained_backbone=False)
    try:
        network.from_pretrained(str(file))
    except FileNotFoundError:
        raise UsageError(f"{file}: not found; put the weights of {name} there, or leave doctr_weights out") from None
    except Exception as error:
        raise UsageError(f"{file}: no weights of {name} ({_short(error)}); save its state_dict there") from None
    return network.eval()


def _page(words: Sequence[Any]) -> OcrPage:
    kept = [word for word in words if word.value.strip()]
    boxes = [[*word.geometry[0], *word.geometry[1]] for word in kept]
    return OcrPage.of([word.value.strip() for word in kept], boxes, [word.confidence for word in kept])


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
