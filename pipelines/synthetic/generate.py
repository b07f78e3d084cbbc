"""A folder of generated documents: every kind in turn, a share of them scanned, and some files that must be refused."""

import random
from collections.abc import Callable
from pathlib import Path

from pipelines.synthetic.articles import draw_article
from pipelines.synthetic.forms import draw_form
from pipelines.synthetic.hostile import HOSTILE
from pipelines.synthetic.invoices import draw_invoice
from pipelines.synthetic.letters import draw_letter
from pipelines.synthetic.pdf import pdf_bytes
from pipelines.synthetic.receipts import draw_receipt
from pipelines.synthetic.scans import FORMATS, scan
from pipelines.synthetic.sheet import Sheet
from pipelines.synthetic.tables import draw_tables
from pipelines.synthetic.truth import DocumentTruth

KINDS: dict[str, Callable[[random.Random], list[Sheet]]] = {
    "invoice": draw_invoice,
    "form": draw_form,
    "table": draw_tables,
    "letter": draw_letter,
    "article": draw_article,
    "receipt": draw_receipt,
}


def generate(folder: Path, documents: int, seed: int, scans: float, hostile: int) -> list[DocumentTruth]:
    """Write documents into `folder`; a document depends on the seed, its number and whether it is scanned.

    Args:
        folder: made where absent.
        documents: good ones, scans among them.
        seed: the same gives the same bytes.
        scans: share of the good documents that are pictures, 0..1, spread evenly.
        hostile: further files that must be quarantined, their kinds in turn.

    Returns:
        The truth about each file, good ones first, in the order of their numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_document(folder, number, seed, scans) for number in range(documents)] + [
        _hostile(folder, number, seed) for number in range(hostile)
    ]


def _document(folder: Path, number: int, seed: int, scans: float) -> DocumentTruth:
    rng = random.Random(f"{seed} document {number}")
    # Each kind once a round, in an order of the round's own: evenly spread scans must not fall on one kind for ever.
    names = list(KINDS)
    random.Random(f"{seed} round {number // len(names)}").shuffle(names)
    kind = names[number % len(names)]
    sheets = KINDS[kind](rng)
    data, pages = pdf_bytes(sheets), [sheet.truth() for sheet in sheets]
    scanned = int((number + 1) * scans) - int(number * scans)
    suffix = "pdf"
    if scanned:
        suffix = FORMATS[int(number * scans) % len(FORMATS)]
        data, pages = scan(rng, data, pages, suffix)
    name = f"{number:05d}-{kind}{'-scan' if scanned else ''}.{suffix}"
    (folder / name).write_bytes(data)
    return DocumentTruth(name, kind, bool(scanned), None, tuple(pages))


def _hostile(folder: Path, number: int, seed: int) -> DocumentTruth:
    rng = random.Random(f"{seed} hostile {number}")
    kind, make, reason = HOSTILE[number % len(HOSTILE)]
    name = f"hostile-{number:03d}-{kind}.pdf"
    (folder / name).write_bytes(make(rng))
    return DocumentTruth(name, kind, False, reason, ())
