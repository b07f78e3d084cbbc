"""What a corpus will take: pages of each kind, what one costs, and from these the time and disk of the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from pipelines.ocr.agreement import is_sampled
from pipelines.schema import page_id
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import Record, plan_jobs

Item = TypeVar("Item")
# Pages with a trusted text layer, those of them that OCR reads too for comparison, those that OCR must read.
Kind = Literal["text", "compared", "ocr"]
KINDS_OF_PAGE: tuple[Kind, ...] = ("text", "compared", "ocr")


@dataclass(frozen=True)
class PageCost:
    """Pages of one kind.

    Attributes:
        pages: of this kind in the sources.
        read: pages of the sample.
        seconds: of a worker for a page, others at work beside it.
        cpu_s: of processors for a page, which other programs on the machine disturb less.
        taken: share of the pages that are taken.
        page_bytes: on disk, of a page that is taken, its facts included.
    """

    pages: float
    read: int
    seconds: float
    cpu_s: float
    taken: float
    page_bytes: float


@dataclass(frozen=True)
class CorpusForecast:
    """A build on this machine, foretold.

    Attributes:
        files, documents: in the sources.
        costs: of each kind of page.
        inventory_s: of a worker for one file.
        load_s: until a worker's engines are loaded.
        start_s: from the command to the first file that is read.
        workers: that read at once here.
        seconds: of the whole build here.
        corpus_bytes: of its output.
        measuring_s: that this forecast took.
    """

    files: int
    documents: float
    costs: dict[Kind, PageCost]
    inventory_s: float
    load_s: float
    start_s: float
    workers: int
    seconds: float
    corpus_bytes: float
    measuring_s: float

    @property
    def pages(self) -> float:
        """Pages of all kinds, taken or not."""
        return sum(cost.pages for cost in self.costs.values())

    @property
    def taken(self) -> float:
        """Pages that the corpus will hold."""
        return sum(cost.pages * cost.taken for cost in self.costs.values())

    def as_settings(self) -> dict[str, float]:
        """The values of `PlanSettings` that this replaces."""
        text, compared, ocr = (self.costs[kind] for kind in KINDS_OF_PAGE)
        layered = max(1.0, text.pages + compared.pages)
        a_page = (text.pages * text.seconds + compared.pages * compared.seconds) / layered
        known: dict[str, float] = {"ocr_share": ocr.pages / max(1.0, self.pages)}
        if a_page > 0:
            known["text_pages_per_core_second"] = 1 / a_page
        if ocr.seconds > 0:
            known["ocr_seconds_per_page"] = ocr.seconds
        return {**known, "bytes_per_page": self.corpus_bytes / max(1.0, self.taken)}


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of `items` at equal distances."""
    if count >= len(items):
        return list(items)
    return [items[int((place + 0.5) * len(items) / count)] for place in range(count)]


def pages_by_kind(
    documents: Sequence[Record], kinds: Mapping[str, str], settings: CorpusSettings
) -> dict[Kind, list[tuple[Record, int]]]:
    """Every page of `documents`, as (document, page), by its kind; `kinds` says "text" or "ocr" of each doc_id."""
    found: dict[Kind, list[tuple[Record, int]]] = {kind: [] for kind in KINDS_OF_PAGE}
    for document in sorted(documents, key=lambda one: one["size"] / max(1, one["pages"])):
        for page in range(document["pages"]):
            kind: Kind = "ocr" if kinds.get(document["doc_id"]) == "ocr" else "text"
            compared = settings.ocr == "auto" and is_sampled(
                page_id(document["doc_id"], page), settings.agreement_share
            )
            found["compared" if kind == "text" and compared else kind].append((document, page))
    return found


def job_seconds(
    documents: Sequence[Record],
    kinds: Mapping[str, str],
    costs: Mapping[Kind, PageCost],
    shard_pages: int,
    scale: float,
) -> list[float]:
    """Seconds of a worker for each job of a build, in order: those of the documents seen, repeated `scale` times."""
    text = costs["text"]
    layered = max(1.0, text.pages + costs["compared"].pages)
    a_page = (text.pages * text.seconds + costs["compared"].pages * costs["compared"].seconds) / layered
    jobs = [
        sum(
            (unit["end"] - unit["first"]) * (costs["ocr"].seconds if kinds.get(unit["doc_id"]) == "ocr" else a_page)
            for unit in job["units"]
        )
        for job in plan_jobs(documents, shard_pages)
    ]
    whole, rest = divmod(scale, 1.0)
    return jobs * int(whole) + evenly(jobs, round(rest * len(jobs)))


def needs_ocr(settings: CorpusSettings, trusted: bool) -> bool:
    """Whether a page is read by OCR under `settings`, by whether its text layer is trusted."""
    return settings.ocr not in ("auto", "text-layer") or (settings.ocr == "auto" and not trusted)
