"""`corpus diff`: which pages of two corpora differ, and in which columns."""

from dataclasses import asdict, dataclass
from typing import Any

from pipelines.corpus.digests import row_digests
from pipelines.corpus.reader import Corpus
from pipelines.folders.address import Place
from pipelines.schema import NOT_IN_DIGEST, PAGES


@dataclass(frozen=True)
class Differences:
    """Pages only in A, only in B, and in both but different, with how often each column differs."""

    only_a: list[str]
    only_b: list[str]
    changed: list[str]
    columns: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.only_a or self.only_b or self.changed)

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def diff(a: Place, b: Place) -> Differences:
    """Compare two corpora page by page; where a page was found (`source`) does not count.

    Only digests are held in memory; the rows of changed pages are read a second time.

    Raises:
        UsageError: one of the two is no complete corpus.
    """
    first, second = Corpus.open(a), Corpus.open(b)
    digests_a, digests_b = _digests(first), _digests(second)
    changed = sorted(page for page in digests_a.keys() & digests_b.keys() if digests_a[page] != digests_b[page])
    columns: dict[str, int] = {}
    wanted = set(changed)
    rows_a = {row["page_id"]: row for row in first.rows() if row["page_id"] in wanted}
    for row in second.rows():
        if row["page_id"] in wanted:
            for name in PAGES.names:
                if name not in NOT_IN_DIGEST and row[name] != rows_a[row["page_id"]][name]:
                    columns[name] = columns.get(name, 0) + 1
    return Differences(
        sorted(digests_a.keys() - digests_b.keys()), sorted(digests_b.keys() - digests_a.keys()), changed, columns
    )


def _digests(corpus: Corpus) -> dict[str, str]:
    digests: dict[str, str] = {}
    for table in corpus.tables():
        digests.update(zip(table["page_id"].to_pylist(), row_digests(table), strict=True))
    return digests
