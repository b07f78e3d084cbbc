"""`corpus verify` finds every change of a corpus's files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.cli import main
from cluster.samples.corpora import Corpora
from cluster.samples.page_index import PageIndex
from cluster.samples.pages import PageStore
from pipelines.building.build import build
from pipelines.corpus.reader import Corpus, read_manifest
from pipelines.corpus.shards import file_sha256
from pipelines.corpus.verify import verify
from pipelines.errors import UsageError
from pipelines.folders.address import folder_of
from pipelines.schema import PAGES
from pipelines.settings import CorpusSettings
from tests.pipelines.hostile import TEXT, encrypted, plain


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "in").mkdir()
    for number in range(3):
        (folder / "in" / f"{number}.pdf").write_bytes(plain([f"{TEXT} {number}"] * 4))
    (folder / "in" / "locked.pdf").write_bytes(encrypted("x"))
    build([str(folder / "in")], folder / "corpus", CorpusSettings(ocr="text-layer", image_long_side=100))
    return folder / "corpus"


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "corpus"))


def shard(corpus: Path, kind: str = "pages") -> Path:
    return sorted((corpus / kind).glob("*.parquet"))[0]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def change_manifest(corpus: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((corpus / "manifest.json").read_text())
    change(manifest)
    (corpus / "manifest.json").write_text(json.dumps(manifest))


def with_column(table: pa.Table, name: str, values: list[str]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values))


def forge(corpus: Path, kind: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard and what the manifest says of it."""
    path = shard(corpus, kind)
    table = change(pq.read_table(path))
    pq.write_table(table, path)

    def repair(manifest: dict[str, Any]) -> None:
        entry = next(entry for entry in manifest["shards"][kind] if entry["name"] == path.name)
        entry.update(sha256=file_sha256(path), rows=len(table))

    change_manifest(corpus, repair)


def test_an_untouched_corpus_agrees(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(corpus) == []
    assert main(["corpus", "verify", str(corpus), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mismatches"] == 0


@pytest.mark.parametrize("kind", ["pages", "quarantine", "index/pages", "index/files"])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.999])
def test_one_flipped_bit_is_found(corpus: Path, kind: str, place: float) -> None:
    path = shard(corpus, kind)
    flip(path, int(place * path.stat().st_size))
    assert any(path.name in problem for problem in verify(corpus))
    assert main(["corpus", "verify", str(corpus)]) == 1


def test_a_missing_and_an_added_shard_are_found(corpus: Path) -> None:
    path = shard(corpus)
    path.rename(path.with_name("part-other.parquet"))
    problems = verify(corpus)
    assert f"pages/{path.name}: missing" in problems
    assert "pages/part-other.parquet: not in the manifest" in problems


def test_wrong_counts_are_found(corpus: Path) -> None:
    change_manifest(corpus, lambda manifest: manifest["totals"].update(words=1))
    assert any(problem.startswith("words:") for problem in verify(corpus))
    change_manifest(corpus, lambda manifest: manifest["totals"]["documents"].update(taken=99))
    assert any(problem.startswith("documents:") for problem in verify(corpus))


def test_rows_changed_with_their_shards_digest_are_found(corpus: Path) -> None:
    """A forger who repairs the shard's sha256 is caught by the digest over the rows."""
    forge(corpus, "pages", lambda table: with_column(table, "language", ["xx"] * len(table)))
    problems = verify(corpus)
    assert "corpus digest differs from the manifest's" in problems
    assert "the pages are not those that the index lists" in problems


def test_pages_of_other_documents_and_pages_twice_are_found(corpus: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(corpus, tmp_path / "other"))
    forge(corpus, "pages", lambda table: with_column(table, "page_id", ["0" * 64, *table["page_id"].to_pylist()[1:]]))
    assert any("is not of its document and page" in problem for problem in verify(corpus))
    forge(other, "pages", lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    assert any(problem.endswith("is stored 2 times") for problem in verify(other))


def test_an_index_of_other_pages_is_found(corpus: Path) -> None:
    forge(corpus, "index/pages", lambda table: with_column(table, "digest", ["0" * 64] * len(table)))
    assert "the pages are not those that the index lists" in verify(corpus)


def test_a_shard_of_other_rows_is_not_read(corpus: Path) -> None:
    """One from another build, say, whose name is the same."""
    path = shard(corpus)
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(UsageError, match=f"{path.name}: not the shard that the manifest lists"):
        Corpus.open(corpus)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def test_a_shard_of_foreign_schema_is_found(corpus: Path) -> None:
    path = shard(corpus)
    rewrite(path, lambda table: table.drop_columns(["boxes"]))
    assert f"pages/{path.name}: its columns are not those of pages" in verify(corpus)
    assert main(["corpus", "verify", str(corpus)]) == 1


@pytest.mark.parametrize("empty", [None, [None]])
def test_readers_name_a_shard_whose_pages_have_no_words(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], empty: list[str | None] | None
) -> None:
    path = shard(corpus)
    place = PAGES.get_field_index("words")
    kind = PAGES.field("words").type
    rewrite(path, lambda table: table.set_column(place, "words", pa.array([empty] * len(table), kind)))
    for command in (["corpus", "report"], ["tokenizer", "train"]):
        assert main([*command, str(corpus), "--out", str(tmp_path / command[1])]) == 2
        assert f"{path}: not the shard that the manifest lists" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not the shard that the manifest lists"):
        PageStore(
            Corpora((folder_of(corpus),), (1.0,), (read_manifest(corpus),)),
            PageIndex.of_sizes([len(pq.read_table(path))]),
        )._fetch([0])
    assert any(path.name in problem for problem in verify(corpus))


def test_no_corpus_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "verify", str(tmp_path)]) == 2
    assert "holds no complete corpus" in capsys.readouterr().err
