"""The order of samples: how well it shuffles, what a worker reads, and what position and index cost.

    python tests/benchmarks/order.py

Shuffle quality is measured on a generated corpus (documents of 1 to 40 pages that lie together, row groups of 32 pages)
beside a full shuffle of all pages: how far a page is moved from its place in the corpus, and how often two pages of a
batch are of one document. Reads count the row groups that a worker opens, at several numbers of workers.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.samples.order import SampleOrder, share  # noqa: E402
from cluster.samples.page_index import PageIndex  # noqa: E402
from pipelines.folders.address import folder_of  # noqa: E402

GROUP = 32
Ints = NDArray[np.int64]


def shuffle_quality(pages: int, batch: int, windows: Sequence[int], seed: int = 0) -> None:
    """Print displacement and pairs of one document, for several numbers of row groups mixed, and for a full shuffle."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(0.15, pages), 40)
    document = np.repeat(np.arange(pages), lengths)[:pages]
    orders = {"as stored": np.arange(pages), "full shuffle": rng.permutation(pages)}
    for window in windows:
        order = SampleOrder(PageIndex.of_sizes([GROUP] * (pages // GROUP)), [1], seed, window)
        orders[f"{window} row groups"] = np.array([p.group * GROUP + p.row for p in order.places(0, pages)])
    full = np.abs(orders["full shuffle"] - np.arange(pages)).mean()
    print(f"{pages} pages, mean document {pages / (document[-1] + 1):.1f} pages, batch {batch}")
    print("mixed              displacement   next is of the same document   pages with a sibling in their batch")
    for name, order in orders.items():
        moved = np.abs(order - np.arange(pages)).mean() / full
        own = document[order]
        following = (own[1:] == own[:-1]).mean()
        print(f"{name:18s} {moved:12.3f} {following:30.4%} {siblings(own, batch):37.2%}")


def siblings(documents: Ints, batch: int) -> float:
    """Share of pages that have another page of their document in their batch."""
    found = 0
    batches = documents[: len(documents) // batch * batch].reshape(-1, batch)
    for row in batches:
        _, counts = np.unique(row, return_counts=True)
        found += int(counts[counts > 1].sum())
    return found / batches.size


def reads(pages: int, batch: int) -> None:
    """Print the row groups that each worker reads, as a share of those that hold its samples at the least."""
    order = SampleOrder(PageIndex.of_sizes([GROUP] * (pages // GROUP)), [1], seed=0)
    batches = [order.batch(first, batch) for first in range(0, pages - batch, batch)]
    for world in (1, 2, 4, 8, 16):
        opened = [
            {(place.epoch, place.turn) for places in batches for place in places[slice(*share(batch, rank, world))]}
            for rank in range(world)
        ]
        total = sum(map(len, opened))
        print(f"{world:3d} workers, batch {batch}: each row group is read by {total / (pages // GROUP):.2f} of them")


def position(pages: int) -> None:
    """Print what a worker needs to find its place in a large corpus."""
    sizes = np.full(pages // GROUP, GROUP, np.int32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pages.npz"
        PageIndex.of_sizes(sizes).save(file, "")
        started = time.perf_counter()
        index = PageIndex.load(file, "")
        assert index is not None
        loaded = time.perf_counter()
        order = SampleOrder(index, [1], seed=0)
        order.batch(5 * pages // 2, 1024)
        first = time.perf_counter()
        order.batch(5 * pages // 2 + 1024, 1024)
        print(
            f"{pages:,} pages: index of {file.stat().st_size / 1e6:.0f} MB loaded in {loaded - started:.2f} s, "
            f"a batch of 1,024 amid epoch 2 after {first - loaded:.2f} s more, "
            f"the next one in {1000 * (time.perf_counter() - first):.1f} ms"
        )


def index_cost(pages: int) -> None:
    """Print what it takes to decide of every page of a corpus whether it is held out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cluster.samples.corpora import Corpora
    from cluster.samples.page_index import make_index
    from pipelines.schema import PAGES

    rows = 8192
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pages").mkdir()
        shards = []
        for shard in range(-(-pages // rows)):
            ids = [hashlib.sha256(f"{(shard * rows + row) // 6}".encode()).hexdigest() for row in range(rows)]
            columns = [pa.array(ids) if f.name == "doc_id" else pa.nulls(rows, f.type) for f in PAGES]
            file = f"part-{shard:05d}.parquet"
            table = pa.Table.from_arrays(columns, schema=PAGES)
            pq.write_table(table, folder / "pages" / file, row_group_size=GROUP)
            shards.append({"name": file, "rows": rows, "sha256": ""})
        manifest = {"shards": {"pages": shards}, "corpus_digest": ""}
        started, cpu = time.perf_counter(), time.process_time()
        index = make_index(Corpora((folder_of(folder),), (1.0,), (manifest,)), 0.01)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    count = len(shards) * rows
    print(
        f"index of {count:,} pages in {len(shards)} shards: {wall * 1e6 / count:.1f} s a million pages "
        f"({cpu * 1e6 / count:.1f} s of CPU), {index.held_out_pages / count:.2%} held out"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=262_144, help="of the corpus that is shuffled")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--large", type=int, default=100_000_000, help="pages of the corpus in which a place is found")
    args = parser.parse_args()
    shuffle_quality(args.pages, args.batch, (16, 64, 128, 256, 512))
    reads(args.pages // 4, args.batch)
    position(args.large)
    index_cost(500_000)


if __name__ == "__main__":
    main()
