"""`docformer plan`: memory, hours, dollars and disk before anything is booked."""

import argparse
import json
from typing import Any

from cluster.commands.command import add_command, add_config, add_json
from cluster.options import add_flags, load_settings, read_section
from cluster.planning.settings import PlanSettings


def register(commands: Any) -> None:
    """Add the `plan` command."""
    plan = add_command(
        commands,
        "plan",
        run,
        "Memory of a GPU, hours, dollars, pages/s and disk of a configuration before anything is booked.",
        "docformer plan --config cluster/recipes/base.yaml --device h200 --pages 64000000",
    )
    plan.add_argument(
        "--measure", action="store_true", help="measure preset tiny and the model's operators on this machine first"
    )
    plan.add_argument(
        "--sources",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="documents: a tenth of their pages is read here, as a build would, to say what a corpus of them takes",
    )
    add_config(plan)
    add_json(plan)
    add_flags(plan, PlanSettings)


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from cluster.launch.fit import launch_fit
    from cluster.planning.pages import planned_pages
    from cluster.planning.plan import Planner
    from cluster.planning.render import as_dict, as_text
    from cluster.settings import PretrainSettings

    written = read_section(args.config, "pretrain") if args.config else {}
    # What says where a run reads and writes is not needed to plan it.
    unnamed = {name: name for name in ("corpus", "tokenizer", "out") if name not in written}
    settings = load_settings(PretrainSettings, "pretrain", args.config, unnamed)
    plan = load_settings(PlanSettings, "plan", args.config, vars(args))
    told = None
    if args.sources:
        told = _told(args, plan.sample_share)
        plan = plan.model_copy(update=told.as_settings())
    pages, origin = planned_pages(plan, settings.corpus, "corpus" in written, told.taken if told else None)
    planner = Planner(settings, plan, pages, settings.max_workers, args.measure, told)
    found = {**as_dict(planner, origin), "launch_files": launch_fit(args.config) if args.config else {}}
    print(json.dumps(found, indent=2) if args.json else as_text(found))
    return 0


def _told(args: argparse.Namespace, share: float) -> Any:
    from cluster.planning.corpus_sample import forecast
    from pipelines.settings import CorpusSettings

    besides = frozenset({"sources", "out"})
    return forecast(args.sources, load_settings(CorpusSettings, "corpus", args.config, {}, besides), share)
