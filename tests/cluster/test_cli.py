"""Bad input ends in one line on standard error and exit code 2, and destroys nothing."""

import io
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from cluster.cli import build_parser, main
from cluster.commands import export


def fails(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """Run the command line, check its exit code, return its one line of standard error."""
    try:
        result = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        result = int(stop.code or 0)
    error = capsys.readouterr().err
    assert result == code, error
    lines = [line for line in error.splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]


def test_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = fails(capsys, "corpus", "build", tmp_path, "--out", tmp_path / "c", "--gird-rows", "3")
    assert "--gird-rows" in line
    assert "did you mean --grid-rows" in line


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown command 'corpsu'; did you mean corpus?" in fails(capsys, "corpsu")
    assert "unknown target 'kubray'; did you mean kuberay?" in fails(capsys, "launch", "kubray")
    assert "unknown command 'zzz'; known: demo, run, corpus" in fails(capsys, "zzz")


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys)


def test_unknown_configuration_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("corpus:\n  grid_row: 4\n")
    line = fails(capsys, "corpus", "build", tmp_path, "--out", tmp_path / "c", "--config", config)
    assert "did you mean 'grid_rows'" in line
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("written", "known"), [("souces: [a]", "sources"), ("outt: c", "out")])
def test_misspelt_sources(capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str, known: str) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"corpus:\n  {written}\n")
    assert f"did you mean {known!r}" in fails(capsys, "corpus", "build", "--out", tmp_path / "c", "--config", config)


def test_one_source_in_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"corpus:\n  sources: {tmp_path / 'absent'}\n")
    words = ("corpus", "build", "--out", tmp_path / "c", "--config", tmp_path / "run.yaml")
    assert f"{tmp_path / 'absent'}: no such file" in fails(capsys, *words)
    (tmp_path / "run.yaml").write_text("corpus:\n  sources: 5\n")
    assert "sources = 5: must be a SOURCE or a list" in fails(capsys, *words)


def test_missing_source_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = fails(capsys, "corpus", "build", tmp_path / "absent", "--out", tmp_path / "c")
    assert "absent" in line
    assert not (tmp_path / "c").exists()


@pytest.mark.usefixtures("ray_session")
def test_folder_without_documents(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "note.txt").write_text("not a document")
    assert main(["corpus", "build", str(tmp_path / "in"), "--out", str(tmp_path / "c")]) == 2
    assert f"{tmp_path / 'in'}: holds no PDF" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "c").exists()


def test_what_can_be_told_at_once_is_said_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "file").touch()

    def read(*_: object) -> None:
        raise AssertionError("read before it was refused")

    monkeypatch.setattr("pipelines.building.build.list_files", read)
    monkeypatch.setattr("pipelines.building.update.list_files", read)
    words = ("corpus", "build", tmp_path / "in", "--out")
    assert "did you mean 'en' (English)?" in fails(capsys, *words, tmp_path / "c", "--languages", "english")
    assert "file" in fails(capsys, *words, tmp_path / "file")
    assert f"{tmp_path / 'file'}: Not a directory" in fails(capsys, *words, tmp_path / "file" / "c")
    assert "cannot be written (/proc:" in fails(capsys, *words, "/proc/c")
    assert "already holds something" in fails(capsys, *words, tmp_path / "in")


def test_grid_of_more_than_256_cells(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fails(capsys, "corpus", "build", tmp_path, "--out", tmp_path / "c", "--grid-rows", "32", "--grid-columns", "32")


def test_output_folder_that_holds_something_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("keep me")
    fails(capsys, "corpus", "build", tmp_path / "in", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "precious.txt").read_text() == "keep me"


@pytest.mark.parametrize("command", ["stats", "verify"])
def test_corpus_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    assert "manifest.json" in fails(capsys, "corpus", command, tmp_path)


def test_corpus_of_another_schema_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 999}))
    assert "999" in fails(capsys, "corpus", "stats", tmp_path)


def test_pretrain_without_a_corpus(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = fails(
        capsys, "pretrain", "--corpus", tmp_path / "absent", "--tokenizer", tmp_path, "--out", tmp_path / "run"
    )
    assert "absent" in line
    assert not (tmp_path / "run").exists()


def test_resuming_a_run_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "absent: holds no run to resume" in fails(capsys, "pretrain", "--resume", "--out", tmp_path / "absent")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"docformer {metadata.version('docformer')}\n"


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
        groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        return [leaf for g in groups for child in g.choices.values() for leaf in leaves(child)] or [parser]

    commands = leaves(build_parser())
    assert len(commands) >= 9
    for command in commands:
        assert f"example:\n  {command.prog}" in command.format_help(), command.prog


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("corpus", "report", "c", "--out", "r.html", "--pages", "-3"),
            "--pages: '-3': give a whole number, 0 or more",
        ),
        (("corpus", "report", "c", "--out", "r.html", "--pages", "many"), "--pages: 'many': give a whole number"),
        (("tokenizer", "train", "c", "--out", "t", "--vocab-size", "0"), "--vocab-size: '0': give a whole number, 1"),
        (("runs", "r", "--follow", "--every", "-1"), "--every: '-1': give a number, 0.1 or more"),
        (("runs", "r", "--follow", "--every", "nan"), "--every: 'nan': give a number"),
    ],
)
def test_counts_have_a_lower_limit(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    assert says in fails(capsys, *words)


def test_an_empty_source_is_not_the_working_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "an empty SOURCE" in fails(capsys, "corpus", "build", "", "--out", tmp_path / "c")


def test_what_the_terminal_has_no_letters_for_is_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    monkeypatch.setattr(export, "run", lambda args: print(f"wrote {args.out}") or 0)
    assert main(["export", "run", "--out", "mödel"]) == 0
    assert written.getvalue() == b"wrote m\\xf6del\n"


def test_the_work_goes_on_when_nobody_watches() -> None:
    """As in `docformer corpus build papers --out corpus 2>&1 | head -1`."""
    script = "from pipelines.log_line import log_line\nfor n in range(9): log_line('build', 'x' * 9999)\nprint('done')"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=write, check=False)
    os.close(write)
    assert (done.returncode, done.stdout) == (0, b"done\n")
