"""Hostile files among healthy ones, through a whole build: each is accounted for, and the healthy ones are complete."""

import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pipelines.building.build import build
from pipelines.corpus.manifest import read_records
from pipelines.corpus.reader import Corpus
from pipelines.corpus.verify import verify
from pipelines.folders.address import folder_of
from pipelines.quarantine import Reason
from pipelines.settings import CorpusSettings
from pipelines.sources.inventory import distinct
from pipelines.synthetic.generate import generate
from pipelines.synthetic.hostile import HOSTILE
from tests.pipelines.hostile import BOMBS

MINUTES = 10  # for all of them on two cores
READER = "pipelines.pages.reader"


def mix(folder: Path, healthy: int, hostile: int) -> dict[str, int]:
    """Write bombs and generated documents, healthy and hostile, under shuffled names; pages of each healthy one."""
    pages = {}
    for place, truth in enumerate(generate(folder, healthy, 0, 0.0, hostile)):
        name = f"{place * 7 % 100:02}-{truth.name}"
        (folder / truth.name).rename(folder / name)
        if truth.reason is None:
            pages[name] = len(truth.pages)
    for place, (name, make) in enumerate(BOMBS.items()):
        (folder / f"{place * 31 % 100:02}-{name.replace(' ', '-')}.pdf").write_bytes(make())
    return pages


def account(corpus: Path, healthy: dict[str, int]) -> Counter[str]:
    """Check that every file is on record once, and the healthy ones with all pages; the quarantine's reasons."""
    opened = Corpus.open(corpus)
    assert verify(corpus) == []
    taken = Counter((row["source"]["uri"], row["doc_id"]) for row in opened.rows(["source", "doc_id"]))
    for name, pages in healthy.items():
        assert [count for (uri, _), count in taken.items() if Path(uri).name == name] == [pages], name
    records = read_records(folder_of(corpus), opened.manifest)
    documents, duplicates, others = distinct(records)
    totals = opened.manifest["totals"]
    assert len(documents) + sum(map(len, duplicates.values())) + others == len(records)
    assert (totals["documents"]["found"], totals["not-pdf"]) == (len(documents), others)
    quarantine = list(opened.quarantine_rows())
    on_record = {doc for _, doc in taken} | {row["doc_id"] for row in quarantine}
    assert {document["doc_id"] for document in documents} <= on_record
    reasons = Counter(row["reason"] for row in quarantine)
    assert Reason.INTERNAL not in reasons
    return reasons


@pytest.mark.usefixtures("ray_session")
def test_hostile_files_cost_themselves_only(tmp_path: Path) -> None:
    healthy = mix(tmp_path / "in", 6, len(HOSTILE))
    settings = CorpusSettings.model_validate(
        {"ocr": "text-layer", "image_long_side": 100, "limits": {"page_cpu_s": 2, "memory_bytes": 1 << 30}}
    )
    summary = build([str(tmp_path / "in")], tmp_path / "out", settings)
    reasons = account(tmp_path / "out", healthy)
    assert summary.found == len(healthy) + len(HOSTILE) + len(BOMBS)
    assert {Reason.CPU_LIMIT, Reason.ENCRYPTED, Reason.TOO_LARGE, Reason.BROKEN} <= reasons.keys()
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if READER in (process.info["cmdline"] or ()):
            assert process.info["ppid"] > 1, "a reading child has outlived its worker"


@pytest.mark.slow
@pytest.mark.timeout(60 * MINUTES + 60)
def test_real_hostile_files_through_the_command(tmp_path: Path, shared_data: Path) -> None:
    healthy = mix(tmp_path / "in", 24, 2 * len(HOSTILE))
    real = shared_data / "hostile"
    command = ["corpus", "build", str(real), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    run_id = uuid.uuid4().hex
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", *command, "--ocr", "text-layer", "--workers", "2"],
        env={**os.environ, "DOCFORMER_RUN_ID": run_id, "RAY_ADDRESS": "local"},
        capture_output=True,
        timeout=60 * MINUTES,
    )
    print(f"{time.monotonic() - started:.0f} s", done.stdout.decode())
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    print(account(tmp_path / "out", healthy))
    files = [path for path in real.rglob("*") if path.is_file()]
    assert len(read_records(folder_of(tmp_path / "out"), Corpus.open(tmp_path / "out").manifest)) >= len(files)
    assert not [pid for pid in psutil.pids() if run_id in environment(pid)], "a process is left over"


def environment(pid: int) -> str:
    """The environment with which a process was started; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""
