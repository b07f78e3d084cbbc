"""Reading a corpus: its manifest, its shards, its rows."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import UsageError
from pipelines.folders.address import Place, folder_of
from pipelines.folders.folder import Folder
from pipelines.folders.local import LocalFolder
from pipelines.schema import PAGES, SCHEMA_VERSION

MANIFEST = "manifest.json"
NULLABLE = {"quality"}
READERS = 16  # files that are asked for at once, since a store takes a while to answer


@dataclass(frozen=True)
class Shard:
    """One Parquet file of pages: the folder that it is in, its rows, the rows of each row group, its sha256."""

    name: str
    folder: Folder
    rows: int
    row_groups: tuple[int, ...]
    sha256: str

    def open(self) -> pq.ParquetFile:
        """For reading."""
        return open_parquet(self.folder, self.name)


@dataclass(frozen=True)
class Corpus:
    """A complete corpus; `open` it.

    Attributes:
        path: its folder.
        manifest: the parsed manifest.json.
        shards: of pages, in order of their names.
    """

    path: Folder
    manifest: dict[str, Any]
    shards: tuple[Shard, ...]

    @classmethod
    def open(cls, path: Place) -> "Corpus":
        """Open the corpus in a folder, on disk or in a store.

        Raises:
            UsageError: there is no complete corpus, it is of another schema version, or a shard is missing or damaged.
        """
        folder = folder_of(path)
        manifest = read_manifest(folder)
        with ThreadPoolExecutor(READERS) as pool:
            return cls(folder, manifest, tuple(pool.map(partial(open_shard, folder), manifest["shards"]["pages"])))

    @property
    def digest(self) -> str:
        """Hex sha256 over the rows' digests, whatever the sharding."""
        return str(self.manifest["corpus_digest"])

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """All page rows, shard by shard, as mappings of the given columns (all when None)."""
        for shard in self.shards:
            yield from _rows(shard.folder, shard.name, columns, refuse_nulls)

    def tables(self) -> Iterator[pa.Table]:
        """All pages, as tables of some dozens."""
        for shard in self.shards:
            try:
                for batch in shard.open().iter_batches(batch_size=64):
                    refuse_nulls(batch, f"{shard.folder}/{shard.name}")
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowInvalid, OSError) as error:
                raise UsageError(
                    f"{shard.folder}/{shard.name}: damaged ({_short(error)}); build the corpus again"
                ) from None

    def quarantine_rows(self) -> Iterator[dict[str, Any]]:
        """All rows of the quarantine."""
        for shard in self.manifest["shards"]["quarantine"]:
            yield from _rows(self.path / "quarantine", shard["name"])


def open_shard(corpus: Folder, entry: Mapping[str, Any]) -> Shard:
    """The shard of pages that `entry` of the manifest of `corpus` lists; reads its footer.

    Raises:
        UsageError: it is missing, damaged or another one.
    """
    folder = corpus / "pages"
    file = f"{folder}/{entry['name']}"
    try:
        opened = open_parquet(folder, entry["name"])
    except FileNotFoundError:
        raise UsageError(f"{file}: missing; restore it, or build the corpus again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{file}: damaged ({_short(error)}); build the corpus again") from None
    footer = opened.metadata
    if footer.num_rows != entry["rows"] or not opened.schema_arrow.equals(PAGES):
        raise not_listed(file)
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return Shard(entry["name"], folder, entry["rows"], groups, entry["sha256"])


def not_listed(file: str) -> UsageError:
    """What to raise of a shard whose content is not what was written."""
    return UsageError(f"{file}: not the shard that the manifest lists; build the corpus again")


def refuse_nulls(pages: pa.RecordBatch | pa.Table, file: str) -> None:
    """Raise UsageError when pages of shard `file` lack what every page has: cheap, and all that a reader trips over."""
    for name in set(pages.schema.names) - NULLABLE:
        column = pages[name]
        if column.null_count or (pa.types.is_list(column.type) and pc.list_flatten(column).null_count):
            raise not_listed(file)


def open_parquet(folder: Folder, name: str, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """A shard for reading; of a store, what is read together is asked for together.

    Args:
        folder: that it is in.
        name: of the file.
        footer: of this very file, where it was read before.
    """
    return pq.ParquetFile(folder.open(name), metadata=footer, pre_buffer=not isinstance(folder, LocalFolder))


def read_manifest(path: Place) -> dict[str, Any]:
    """The manifest of the corpus in a folder; raises UsageError as `Corpus.open` does."""
    file = f"{path}/{MANIFEST}"
    try:
        manifest = json.loads(folder_of(path).read_text(MANIFEST))
    except FileNotFoundError:
        raise UsageError(
            f"{file}: not found; {path} holds no complete corpus (build one, or finish with --resume)"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read ({_short(error)}); build the corpus again") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{file}: schema version {version}, this program reads {SCHEMA_VERSION}; build the corpus again"
        )
    return dict(manifest)


def _rows(
    folder: Folder,
    name: str,
    columns: Sequence[str] | None = None,
    check: Callable[[pa.RecordBatch, str], None] = lambda *_: None,
) -> Iterator[dict[str, Any]]:
    try:
        for batch in open_parquet(folder, name).iter_batches(batch_size=64, columns=columns and list(columns)):
            check(batch, f"{folder}/{name}")
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{folder}/{name}: damaged ({_short(error)}); build the corpus again") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
