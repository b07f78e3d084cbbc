"""A checkpoint as a folder that `from_pretrained` loads: config.json, model.safetensors and the tokenizer."""

import shutil
from pathlib import Path

from cluster.checkpoints.checkpoint import Checkpoint, newest_good
from cluster.runs.folder import RunFolder
from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.processor import DocFormerV2Processor
from model.tokenizer import load_tokenizer
from pipelines.corpus.shards import sync_folder
from pipelines.errors import UsageError
from pipelines.folders.blame import beside


def export_run(run_path: Path, out: Path) -> int:
    """Export the newest good checkpoint of the run in `run_path` to the new folder `out`; returns its step.

    Raises:
        UsageError: there is no run or no good checkpoint, or `out` holds something.
    """
    run = RunFolder(run_path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already holds something; give --out a new folder")
    if not run.config.is_file():
        raise UsageError(f"{run.path} holds no run; give the folder of a `docformer pretrain` run")
    checkpoint, complaints = newest_good(run.checkpoints)
    if checkpoint is None:
        why = complaints[0] if complaints else "the run has not reached its first"
        raise UsageError(f"{run.path}: no complete checkpoint ({why})")
    export_checkpoint(checkpoint, run.tokenizer, out)
    return checkpoint.step


def export_checkpoint(checkpoint: Checkpoint, tokenizer: Path, out: Path) -> None:
    """Write a checkpoint's model (fp32) and its processor to `out`, which appears whole or not at all."""
    config = DocFormerV2Config.from_dict(checkpoint.index["model"])
    model = DocFormerV2ForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(checkpoint.weights(), strict=False)
    model.tie_weights()
    lost = [name for name in missing if name not in model._tied_weights_keys]
    if lost or unexpected:
        difference = f"lost {lost}, unknown {unexpected}"
        raise UsageError(f"{checkpoint.folder}: its parameters are not this model's ({difference})")
    out = out.absolute()
    with beside(out) as temporary:
        model.save_pretrained(temporary)
        DocFormerV2Processor.for_model(config, load_tokenizer(tokenizer)).save_pretrained(temporary)
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)
    sync_folder(out.parent)
