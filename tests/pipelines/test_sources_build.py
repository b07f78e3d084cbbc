"""A build accounts for members of archives and refused ones, and each row says how to meet it again."""

import hashlib
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from cluster.cli import main
from pipelines.building.build import build
from pipelines.building.update import update
from pipelines.corpus.reader import Corpus, read_manifest
from pipelines.corpus.verify import verify
from pipelines.settings import CorpusSettings
from pipelines.sources.archives import read_source
from tests.pipelines.archives import tarred, warc, zipped
from tests.pipelines.hostile import TEXT, encrypted, plain

SETTINGS = CorpusSettings(ocr="text-layer", image_long_side=100)


def quarantined(corpus: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    return [row for file in sorted(corpus.glob("quarantine/*.parquet")) for row in pq.read_table(file).to_pylist()]


@pytest.mark.usefixtures("ray_session")
def test_every_member_is_accounted_for_and_can_be_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in put"
    folder.mkdir()
    same, other = plain([TEXT]), plain([TEXT, "second page of it"])
    (folder / "a.zip").write_bytes(
        zipped({"x.pdf": same, "../up.pdf": same, "locked.pdf": encrypted("x"), "note.txt": b"none", "in.zip": b""})
    )
    (folder / "b.tar").write_bytes(tarred({"x.pdf": other, "again.pdf": same}))
    (folder / "c.tar.gz").write_bytes(tarred({"p/z.pdf": plain(["in a package"])}, mode="w:gz"))
    (folder / "d.warc.gz").write_bytes(warc({"https://x.org/w.pdf": plain(["from the web"])}))
    (folder / "e.pdf").write_bytes(b"<html>no pdf</html>")

    summary = build([str(folder)], tmp_path / "out", SETTINGS)
    assert (summary.found, summary.taken, summary.quarantined) == (8, 4, 4)
    assert (summary.duplicate, summary.not_pdf, summary.pages) == (1, 1, 5)
    assert summary.reasons == {"broken": 1, "encrypted": 1, "nested-archive": 1, "unsafe-member": 1}
    manifest = read_manifest(tmp_path / "out")
    assert manifest["duplicates"] == {hashlib.sha256(same).hexdigest(): ["b.tar::again.pdf"]}
    places = set()
    for row in Corpus.open(tmp_path / "out").rows():
        places.add((row["source"]["uri"], row["source"]["member"]))
        data = read_source(row["source"], str(folder))
        assert hashlib.sha256(data).hexdigest() == row["doc_id"], "read again from the struct alone"
    assert places == {
        *(("a.zip", "x.pdf"), ("b.tar", "x.pdf"), ("c.tar.gz", "p/z.pdf"), ("d.warc.gz", "https://x.org/w.pdf")),
    }

    monkeypatch.chdir(tmp_path)
    for number, row in enumerate(quarantined(tmp_path / "out")):
        words = shlex.split(str(row["command"]).replace("--out again", f"--out again{number}"))
        assert words[0] == "docformer"
        assert main([*words[1:], "--image-long-side", "100"]) == 1, "nothing else is taken"
        assert "not one page was taken of 1 documents" in capsys.readouterr().err
        (again,) = quarantined(tmp_path / f"again{number}")
        assert (again["reason"], again["detail"]) == (row["reason"], row["detail"])


@pytest.mark.usefixtures("ray_session")
def test_the_same_documents_give_the_same_corpus_from_any_container(tmp_path: Path) -> None:
    documents = {f"{number}.pdf": plain([f"{TEXT} {number}"]) for number in range(3)}
    (tmp_path / "files").mkdir()
    for name, data in documents.items():
        (tmp_path / "files" / name).write_bytes(data)
    (tmp_path / "a.zip").write_bytes(zipped(documents))
    (tmp_path / "list.csv").write_text("address\n" + "".join(f"files/{name}\n" for name in documents))
    digests = {
        build([str(tmp_path / source)], tmp_path / f"out-{source}", SETTINGS).corpus_digest
        for source in ("files", "a.zip", "list.csv")
    }
    assert len(digests) == 1


@pytest.mark.usefixtures("ray_session")
def test_names_that_are_not_utf8_cost_nothing(tmp_path: Path) -> None:
    folder, out = os.fsencode(tmp_path / "in"), tmp_path / "out"
    (tmp_path / "in").mkdir()
    for name, data in ((b"bad\xff.pdf", plain([TEXT])), (b"it's\xfe.pdf", encrypted("x"))):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(data)
    packed = tarred({os.fsdecode(b"in\xff.pdf"): plain([f"{TEXT} packed"])})
    (tmp_path / "in" / "a.tar").write_bytes(packed)
    summary = build([str(tmp_path / "in")], out, SETTINGS)
    assert (summary.found, summary.taken, summary.quarantined) == (3, 2, 1)
    for row in Corpus.open(out).rows(["doc_id", "source"]):
        assert row["source"]["uri"] + (row["source"]["member"] or "") in ("bad\\xff.pdf", "a.tarin\\xff.pdf")
        data = read_source(row["source"], str(tmp_path / "in"))
        assert hashlib.sha256(data).hexdigest() == row["doc_id"]
    (row,) = quarantined(out)
    command = str(row["command"]).replace("docformer corpus build", "printf %s").partition(" --out")[0]
    said = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert said == folder + b"/it's\xfe.pdf"

    again = update(out, [str(tmp_path / "in")], SETTINGS)
    assert (again.found, again.read_pages) == (3, 0), "known by their names"
    fresh = update(out, [], CorpusSettings.model_validate({**SETTINGS.model_dump(), "jpeg_quality": 50}))
    assert (fresh.found, fresh.taken, fresh.read_pages) == (3, 2, 2), "read again by their names"
    assert verify(out) == []
