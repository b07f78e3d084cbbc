"""`docformer run`: a configuration from sources to an exported model; what is complete and unchanged is skipped."""

from pathlib import Path

from cluster.options import load_settings, read_section
from cluster.stages import Stages
from cluster.workflow.settings import RunSettings
from cluster.workflow.stages import CorpusStage, EvaluateStage, ExportStage, PretrainStage, Stage, TokenizerStage
from cluster.workflow.state import State
from pipelines.errors import UsageError

NAMES = ("corpus", "tokenizer", "pretrain", "evaluate", "export")


def workflow(config: Path) -> tuple[Path, list[Stage]]:
    """The folder and the stages of a configuration, in order; the tokenizer stage is left out where one is named.

    Everything is written below `run.out`: corpus, tokenizer, run, scores.json and report.html, model.

    Raises:
        UsageError: the configuration is bad.
    """
    out = Path(load_settings(RunSettings, "run", config, {}).out).expanduser().absolute()
    for name in ("corpus", "out"):
        if name in read_section(config, "pretrain"):
            raise UsageError(f"{config}, section pretrain: {name} is set by `docformer run`; leave it out")
    run = out / "run"
    stages: list[Stage] = [CorpusStage(config, out / "corpus")]
    tokenizer = None
    if "tokenizer" not in read_section(config, "pretrain"):
        tokenizer = out / "tokenizer"
        stages.append(TokenizerStage(config, out / "corpus", tokenizer))
    stages.append(PretrainStage(config, out / "corpus", tokenizer, run))
    return out, [*stages, EvaluateStage(run, out / "scores"), ExportStage(run, out / "model")]


def run_workflow(config: Path, start: str | None = None) -> dict[str, str]:
    """Run every stage that is not complete and unchanged; from stage `start` on, every one anew.

    Returns:
        For each stage "skipped" or what it made.

    Raises:
        UsageError: the configuration is bad, or a run that is there was started otherwise.
        JobError: a stage failed; the stages before it stay, and the next start goes on there.
        StoppedError: a signal ended the pretraining; the next start goes on with it.
    """
    out, stages = workflow(config)
    names = [stage.name for stage in stages]
    if start is not None and start not in names:
        raise UsageError(f"--from {start}: no such stage; this configuration has {', '.join(names)}")
    for stage in stages:
        stage.check()
    out.mkdir(parents=True, exist_ok=True)
    state = State(out)
    again = names[names.index(start) :] if start else []
    state.forget(again)
    shown, results = Stages(names), {}
    for stage in stages:
        with shown.stage(stage.name):
            inputs = stage.inputs()
            if state.is_current(stage.name, inputs, stage.output):
                results[stage.name] = "skipped"
                shown.wrote(f"{stage.output}: complete and unchanged")
                continue
            try:
                results[stage.name] = stage.make(anew=stage.name in again)
            except UsageError as error:  # an earlier start's output does not go with what it is made from now
                if stage.name in again or not stage.output.exists():
                    raise
                raise UsageError(f"{error}; to make it anew, add --from {stage.name}") from None
            state.note(stage.name, inputs, stage.output)
            shown.wrote(f"{stage.output}: {results[stage.name]}")
    return results
