"""Flags and configuration files become settings, and what is wrong with them becomes one line."""

import argparse
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from cluster.demo import RECIPES
from cluster.options import add_flags, load_settings, read_section
from cluster.settings import PretrainSettings
from pipelines.errors import UsageError
from pipelines.settings import CorpusSettings


class Sample(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(100, ge=1, description="optimizer steps")
    rate: float = Field(0.5, gt=0, le=1, description="share of 100 % kept")
    mode: Literal["fast", "exact"] = Field("exact", description="how")
    shuffle: bool = Field(True, description="whether to shuffle")
    folder: Path | None = Field(None, description="where")
    names: tuple[str, ...] = Field((), description="which")


def parse(*arguments: str, config: Path | None = None) -> Sample:
    parser = argparse.ArgumentParser()
    add_flags(parser, Sample)
    return load_settings(Sample, "pretrain", config, vars(parser.parse_args(arguments)))


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_defaults_then_file_then_flags(tmp_path: Path) -> None:
    config = write(tmp_path, "pretrain:\n  steps: 7\n  rate: 0.25\n  mode: fast\n")
    assert parse() == Sample()
    assert parse(config=config) == Sample(steps=7, rate=0.25, mode="fast")
    assert parse("--steps", "9", "--no-shuffle", config=config) == Sample(
        steps=9, rate=0.25, mode="fast", shuffle=False
    )


def test_dashes_in_keys_lists_and_paths(tmp_path: Path) -> None:
    config = write(tmp_path, "pretrain:\n  names: [a, b]\n  folder: x/y\n")
    assert parse(config=config) == Sample(names=("a", "b"), folder=Path("x/y"))
    assert parse("--names", "c", "d").names == ("c", "d")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pretrain:\n  stesp: 3\n", "did you mean 'steps'?"),
        ("pretain:\n  steps: 3\n", "did you mean 'pretrain'?"),
        ("pretrain:\n  steps: 0\n", "steps = 0"),
        ("pretrain:\n  mode: fats\n", "mode = 'fats': must be one of fast, exact; did you mean 'fast'?"),
        ("pretrain: [1, 2]\n", "must be a mapping"),
        ("- 1\n", "must map section names"),
        ("pretrain: {\n", "not valid YAML"),
        ("pretrain:\n  steps: 1\n  steps: 2\n", "key 'steps' stands there twice"),
        ("corpus: {}\ncorpus: {}\n", "key 'corpus' stands there twice"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(config=write(tmp_path, text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_nearest_key_of_a_nested_mapping(tmp_path: Path) -> None:
    config = write(tmp_path, "pretrain:\n  objectives: {nosie_density: 0.1}\n")
    flags = {"corpus": ["c"], "tokenizer": "t", "out": "o"}
    with pytest.raises(UsageError, match=r"'objectives.nosie_density'; did you mean 'noise_density'\?"):
        load_settings(PretrainSettings, "pretrain", config, flags)


def test_a_window_of_steps_ends_after_it_begins() -> None:
    flags = {"corpus": ["c"], "tokenizer": "t", "out": "o"}
    assert load_settings(PretrainSettings, "pretrain", None, {**flags, "profile_steps": "3:3"}).profile_steps == "3:3"
    with pytest.raises(UsageError, match="profile_steps = '5:3': A is more than B"):
        load_settings(PretrainSettings, "pretrain", None, {**flags, "profile_steps": "5:3"})


def test_one_objective_is_left_on(tmp_path: Path) -> None:
    off = "{denoising: false, token_to_line: false, token_to_grid: false}"
    config = write(tmp_path, f"pretrain:\n  objectives: {off}\n")
    with pytest.raises(UsageError, match="objectives: all three objectives are off; leave"):
        load_settings(PretrainSettings, "pretrain", config, {"corpus": ["c"], "tokenizer": "t", "out": "o"})


def test_a_wrong_flag_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="rate = '2'"):
        parse("--rate", "2")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse(config=tmp_path / "absent.yaml")


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid(recipe: Path) -> None:
    places = {"corpus": "corpus", "out": "run"}
    flags = places if "tokenizer" in read_section(recipe, "pretrain") else {**places, "tokenizer": "tokenizer"}
    settings = load_settings(PretrainSettings, "pretrain", recipe, flags)
    load_settings(CorpusSettings, "corpus", recipe, {})
    assert recipe.stem.startswith("demo") or settings.preset == recipe.stem
    head = recipe.read_text(encoding="utf-8").split("\ncorpus:")[0]
    assert all(f"# {what}:" in head for what in ("Result", "Cost", "Command"))


@pytest.mark.parametrize("flags", [("--steps", "3", "--steps", "4"), ("--shuffle", "--no-shuffle")])
def test_a_flag_given_twice_is_refused(capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(*flags)
    assert stopped.value.code == 2
    assert "given twice" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "low", "high"), [(2, 2, 2), ("3", 3, 3), ("1:4", 1, 4), ("2:2", 2, 2)])
def test_workers_are_a_number_or_a_range(tmp_path: Path, given: object, low: int, high: int) -> None:
    config = write(tmp_path, f"pretrain:\n  workers: {given}\n  corpus: c\n  tokenizer: t\n  out: o\n")
    settings = load_settings(PretrainSettings, "pretrain", config, {})
    assert (settings.min_workers, settings.max_workers) == (low, high)


@pytest.mark.parametrize("given", ["0", "2:1", "0:2", "1:2:3", "two", "-1"])
def test_wrong_workers_are_refused(given: str) -> None:
    with pytest.raises(UsageError, match="workers"):
        load_settings(
            PretrainSettings, "pretrain", None, {"corpus": ["c"], "tokenizer": "t", "out": "o", "workers": given}
        )
