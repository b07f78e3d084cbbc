"""Reading a corpus: its manifest, its shards, its rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UsageError
from pipelines.schema import PAGES, SCHEMA_VERSION

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """One Parquet file of pages: where it is, its rows, the rows of each row group, its sha256."""

    name: str
    path: Path
    rows: int
    row_groups: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """A complete corpus; `open` it.

    Attributes:
        path: its folder.
        manifest: the parsed manifest.json.
        shards: of pages, in order of their names.
    """

    path: Path
    manifest: dict[str, Any]
    shards: tuple[Shard, ...]

    @classmethod
    def open(cls, path: Path | str) -> "Corpus":
        """Open the corpus in folder `path`.

        Raises:
            UsageError: there is no complete corpus, it is of another schema version, or a shard is missing or damaged.
        """
        path = Path(path)
        manifest = read_manifest(path)
        return cls(path, manifest, tuple(open_shard(path, entry) for entry in manifest["shards"]["pages"]))

    @property
    def digest(self) -> str:
        """Hex sha256 over the rows' digests, whatever the sharding."""
        return str(self.manifest["corpus_digest"])

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """All page rows, shard by shard, as mappings of the given columns (all when None)."""
        yield from _rows([shard.path for shard in self.shards], columns)

    def tables(self) -> Iterator[pa.Table]:
        """All pages, as tables of some dozens."""
        for shard in self.shards:
            try:
                for batch in open_parquet(shard.path).iter_batches(batch_size=64):
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowInvalid, OSError) as error:
                raise UsageError(f"{shard.path}: damaged ({_short(error)}); build the corpus again") from None

    def quarantine_rows(self) -> Iterator[dict[str, Any]]:
        """All rows of the quarantine."""
        yield from _rows([self.path / "quarantine" / entry["name"] for entry in self.manifest["shards"]["quarantine"]])


def open_shard(path: Path, entry: Mapping[str, Any]) -> Shard:
    """The shard of pages that `entry` of the manifest of the corpus in `path` lists; reads its footer.

    Raises:
        UsageError: it is missing, damaged or another one.
    """
    file = path / "pages" / entry["name"]
    try:
        footer = open_parquet(file).metadata
    except FileNotFoundError:
        raise UsageError(f"{file}: missing; restore it, or build the corpus again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{file}: damaged ({_short(error)}); build the corpus again") from None
    if footer.num_rows != entry["rows"] or footer.schema.to_arrow_schema().names != PAGES.names:
        raise UsageError(f"{file}: not the shard that the manifest lists; build the corpus again")
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return Shard(entry["name"], file, entry["rows"], groups, entry["sha256"])


def open_parquet(file: Path) -> pq.ParquetFile:
    """A shard for reading."""
    return pq.ParquetFile(file)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the corpus in `path`; raises UsageError as `Corpus.open` does."""
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
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


def _rows(files: Sequence[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            for batch in open_parquet(file).iter_batches(batch_size=64, columns=columns and list(columns)):
                yield from batch.to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"{file}: damaged ({_short(error)}); build the corpus again") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
