"""Revising a part without reading documents: rows left out, labels and fingerprints anew, pictures copied."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.building.jobs import filter_rows
from pipelines.corpus.facts import decided, replaced
from pipelines.corpus.parts import Part, write_part
from pipelines.filters.keep_out import overlap
from pipelines.filters.shingles import word_hashes
from pipelines.folders.address import folder_of
from pipelines.labels.grid import grid_cells
from pipelines.settings import CorpusSettings


def revise(settings_text: str, out: str, item: str) -> dict[str, Any]:
    """Write the part `new` of folder `out` from an earlier part.

    Args:
        settings_text: the new settings, as JSON.
        out: folder of the new part; the earlier one's may be another.
        item: JSON of folder and name of the earlier part, name `new`, `gone` (pages [doc_id, page_index] that are read
            again elsewhere), `reasons` (one a fact, why the page is left out, empty when taken; those of gone pages do
            not count), `relabel` (whether to label anew), `overlap` (with the evaluation pages, one a fact,
            or None for that of before), `records` (of the documents with pages that are left out).
    """
    task = json.loads(item)
    settings = CorpusSettings.model_validate_json(settings_text)
    old, new = Part(folder_of(task["folder"]), task["old"]), Part(folder_of(out), task["new"])
    if new.done:
        return {"pages": len(task["reasons"])}
    gone = {(doc_id, page) for doc_id, page in task["gone"]}
    facts, pages = old.facts(), old.pages()
    if task["overlap"] is not None:
        facts = replaced(facts, "overlap", pa.array(task["overlap"], pa.float32()))
    stays = _outside(facts, gone)
    reasons = np.array(task["reasons"], object)
    stored = facts["digest"].is_valid().to_numpy()
    pages = pages.filter((stays & (reasons == ""))[stored])
    facts, reasons = facts.filter(stays), reasons[stays]
    if task["relabel"]:
        pages = relabel(pages, settings)
    facts = decided(facts, reasons, pages)
    quarantine = old.quarantine()
    failed = quarantine.filter(_outside(quarantine, gone) & pc.not_equal(quarantine["stage"], "filter").to_numpy())
    rows = failed.to_pylist() + filter_rows(facts, task["records"], settings)
    write_part(new, pages, rows, facts)
    return {"pages": len(task["reasons"])}


def overlaps_of(kept_out: NDArray[np.uint64], part: Part) -> pa.Array:
    """Overlap of a part's pages with the evaluation pages: float32, one a fact, null where the words are not stored."""
    facts = part.facts(["digest"])
    stored = facts["digest"].is_valid().to_numpy()
    found = np.full(len(facts), None if len(kept_out) else 0.0, object)
    if stored.any() and len(kept_out):
        words = part.pages(["words"])["words"]
        found[stored] = [overlap(word_hashes(page.as_py()), kept_out) for page in words]
    return pa.array(found, pa.float32())


def relabel(pages: pa.Table, settings: CorpusSettings) -> pa.Table:
    """`pages` with the grid cells and the fingerprint of `settings`, from their stored boxes."""
    offsets, cells = [np.zeros(1, np.int32)], []
    for chunk in pages["boxes"].chunks:
        boxes = chunk.flatten().flatten().to_numpy().reshape(-1, 4)
        cells.append(grid_cells(boxes, settings.grid_rows, settings.grid_columns, settings.grid_anchor))
        offsets.append(chunk.offsets.to_numpy()[1:] - chunk.offsets[0].as_py() + offsets[-1][-1])
    flat = np.concatenate(cells) if cells else np.empty(0, np.uint8)
    column = pa.ListArray.from_arrays(pa.array(np.concatenate(offsets), pa.int32()), pa.array(flat, pa.uint8()))
    prints = pa.array([settings.fingerprint()] * len(pages), pa.string())
    return replaced(replaced(pages, "grid_cells", column), "fingerprint", prints)


def _outside(table: pa.Table, gone: set[tuple[str, int]]) -> NDArray[np.bool_]:
    keys = zip(table["doc_id"].to_pylist(), table["page_index"].to_pylist(), strict=True)
    return np.array([key not in gone for key in keys], bool)
