"""Every command in README.md and docs/ is run, on a few documents and with a small model; pages and links are current.

What a command needs is made small here and nowhere else (`_small`); commands of other programs are followed as far as
the files that they are given. Commands that measure are only parsed, but by the slow test.
"""

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import build_parser, main
from pipelines.synthetic import generate
from tests.cluster.conftest import OBJECTIVES, TINY

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[ ]?([\w.]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")
SMALL_RUN = {
    "model": TINY,
    "objectives": OBJECTIVES,
    "ray": False,
    "workers": 1,
    "steps": 2,
    "global_batch_pages": 2,
    "micro_batch_pages": 2,
    "warmup_steps": 1,
    "held_out": 0.2,
    "eval_pages": 2,
    "eval_every": 100,
    "feed_processes": 0,
}
OTHER_PROGRAMS = {"kubectl apply -f": "yaml", "sky jobs launch": "yaml", "ray start --head": "", "ray stop": ""}


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, second word and text of each fenced block that has a language."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found[1], found[2], found[3]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


@pytest.fixture
def home(tmp_path: Path, small_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the pages take for granted: documents, an archive, lists, the project's recipes."""
    generate(tmp_path / "papers", documents=8, seed=3, scans=0.0, hostile=0)
    first = min((tmp_path / "papers").rglob("*.pdf"), key=lambda path: path.stat().st_size)
    shutil.copy(first, tmp_path / "papers" / "first.pdf")
    generate(tmp_path / "more", documents=2, seed=9, scans=0.0, hostile=0)
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "more")
    (tmp_path / "list.csv").write_text("path\npapers/first.pdf\n")
    (tmp_path / "eval.jsonl").write_text('{"text": "a page that is kept out"}\n')
    (tmp_path / "run.yaml").write_text("pretrain: {corpus: corpus, tokenizer: tokenizer, out: run}\n")
    (tmp_path / "cluster").symlink_to(ROOT / "cluster")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(page: Path, home: Path, capsys: pytest.CaptureFixture[str], measure: bool = False) -> int:
    """Do what a page says, from its first block to its last; returns how many commands were run."""
    ran = 0
    for language, word, text in blocks(page):
        if language == "yaml" and word:
            (home / word).write_text(_small_config(text))
        elif language == "sh":
            for words in commands(text):
                _run(words, home, capsys, measure)
                ran += 1
    return ran


def _small_config(text: str) -> str:
    if "\nlaunch:" in text:  # planned and launched, not run
        return text
    sections = yaml.safe_load(text)
    sections["pretrain"] = {**sections["pretrain"], **SMALL_RUN}
    sections["corpus"]["image_long_side"] = 128
    sections["tokenizer"]["vocab_size"] = 300
    return yaml.safe_dump(sections)


def _run(words: list[str], home: Path, capsys: pytest.CaptureFixture[str], measure: bool) -> None:
    line = shlex.join(words)
    if words[0] == "docformer":
        if "--measure" in words and not measure:
            build_parser().parse_args(words[1:])
            return
        code, said = main(_small(words[1:], home)), capsys.readouterr().err
        if words[1] == "submit":  # no cluster here: as far as it goes without, which is to the network
            assert code == 2, said
            assert "nothing answers" in said.splitlines()[-1], line
        else:
            differ = words[1:3] == ["corpus", "diff"] and words[3] != words[4]
            assert code == int(differ), f"{line}: {said}"
    elif words[0] == "make":
        assert subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True).returncode == 0, line
    elif words[0] == "export":
        assert {word.partition("=")[0] for word in words[1:]} <= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}
    elif words[:2] == ["docker", "build"]:
        (device,) = re.findall(r"DEVICE=(\w+)", line)
        assert f" AS {device}\n" in (ROOT / "Dockerfile").read_text()
    else:
        known = next((start for start in OTHER_PROGRAMS if line.startswith(start)), None)
        assert known is not None, f"{line}: no test knows what becomes of it"
        if OTHER_PROGRAMS[known]:
            assert (home / words[-1]).is_file(), line


def _small(words: list[str], home: Path) -> list[str]:
    """A command with a small model and few steps, on this machine."""
    if words[0] == "submit":
        return ["http://127.0.0.1:1" if word.startswith("http://") else word for word in words]
    if words[:2] == ["tokenizer", "train"]:
        return _with(words, "--vocab-size", "300")
    if words[:2] == ["corpus", "build"]:
        return [*words, "--image-long-side", "128"]
    if words[0] != "pretrain":
        return words
    resumed = "--resume" in words
    words = _with(words, "--steps", "3" if resumed else "2")
    if resumed:
        return words
    given: dict[str, Any] = {"pretrain": {"preset": "tiny"}}
    if "--config" in words:
        given = yaml.safe_load((home / words[words.index("--config") + 1]).read_text())
    given["pretrain"].update(SMALL_RUN)
    (home / "small.yaml").write_text(yaml.safe_dump(given))
    return _with(_with(words, "--workers", "1"), "--config", "small.yaml")


def _with(words: list[str], flag: str, value: str) -> list[str]:
    if flag not in words:
        return [*words, flag, value]
    at = words.index(flag)
    return [*words[: at + 1], value, *words[at + 2 :]]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "training.md"], ids=lambda page: page.name)
@pytest.mark.usefixtures("ray_session")
def test_every_command_runs(page: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(page, home, capsys) >= page.read_text().count("\ndocformer ")


def test_every_command_about_training_runs(
    home: Path, small_corpus: Path, small_tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_corpus, home / "corpus")
    shutil.copytree(small_corpus, home / "few")
    shutil.copytree(small_tokenizer, home / "tokenizer")
    assert follow(ROOT / "docs" / "training.md", home, capsys) > 6


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_walk_through_with_its_measurements(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(ROOT / "docs" / "walkthrough.md", home, capsys, measure=True) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for place, _ in LINK.findall(text):
        assert (page.parent / place).exists(), f"{page.name}: {place}"
    for named in re.findall(r"`((?:tests|cluster|model|pipelines|scripts)/[\w/.-]+)`", text):
        assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_reference_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert written == text, f"docs/reference/{name} is not what the code says now; run `make docs`"
