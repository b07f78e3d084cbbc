"""`docformer export`: a run's newest model as a folder that `from_pretrained` loads."""

import argparse
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command


def register(commands: Any) -> None:
    """Add the `export` command."""
    export = add_command(
        commands,
        "export",
        run,
        "Write config.json, model.safetensors and the tokenizer of a run's newest checkpoint.",
        "docformer export run --out model",
    )
    export.add_argument("run_folder", type=Path, metavar="RUN")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Export a run."""
    from transformers.utils.logging import disable_progress_bar

    from cluster.export import export_run

    disable_progress_bar()

    export_run(args.run_folder, args.out)
    print(f"wrote {args.out}; load it with DocFormerV2ForConditionalGeneration.from_pretrained({str(args.out)!r})")
    return 0
