"""`docformer launch`: checked launch files for KubeRay, SkyPilot and Anyscale."""

import argparse
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command
from cluster.launch.settings import LaunchSettings
from cluster.options import add_flags, load_settings, read_section

TARGETS = {
    "kuberay": "a RayJob and a RayCluster for Kubernetes",
    "skypilot": "a SkyPilot task for any cloud",
    "anyscale": "an Anyscale job",
}


def register(commands: Any) -> None:
    """Add the `launch` commands."""
    parser = commands.add_parser("launch", help="Write checked launch files for KubeRay, SkyPilot and Anyscale")
    group = parser.add_subparsers(title="targets", required=True, metavar="TARGET")
    for target, what in TARGETS.items():
        command = add_command(
            group,
            target,
            run,
            f"Write {what}, checked against the run's workers, its places and what is safe.",
            f"docformer launch {target} --config run.yaml --image registry/docformer:0.1.0-cuda --out launch",
        )
        command.set_defaults(target=target)
        command.add_argument(
            "words", nargs="*", metavar="COMMAND", help="docformer command, after --; default: run or pretrain"
        )
        command.add_argument(
            "--config", type=Path, required=True, metavar="run.yaml", help="the run, and section launch"
        )
        command.add_argument("--out", type=Path, default=Path("launch"), metavar="DIR", help="default: launch")
        command.add_argument("--overwrite", action="store_true", help="replace files that are there")
        command.add_argument("--workers", metavar="N", help="N or MIN:MAX training workers; default: pretrain.workers")
        command.add_argument("--check", type=Path, metavar="DIR", help="write nothing, check the files in this folder")
        if target == "kuberay":
            command.add_argument(
                "--crd",
                type=Path,
                action="append",
                default=[],
                metavar="FILE",
                help="check against this definition too (kubectl get crd rayjobs.ray.io -o yaml); may repeat",
            )
        add_flags(command, LaunchSettings)


def run(args: argparse.Namespace) -> int:
    """Make and check the files, then write them; or check those of a folder."""
    from cluster.launch.files import check_definitions, check_folder, make, write
    from cluster.launch.job import command_of
    from cluster.launch.nodes import workers_of

    settings = load_settings(LaunchSettings, "launch", args.config, vars(args))
    crds = getattr(args, "crd", [])
    words = list(args.words)
    if args.check is not None and not words:  # the files hold their own command
        workers = workers_of(read_section(args.config, "pretrain"), args.workers)
    else:
        words, workers = command_of(words, args.config, settings.mount, args.workers)
    if args.check is not None:
        names = check_folder(args.target, args.check, settings, workers)
        texts = {name: (args.check / name).read_text(encoding="utf-8") for name in names}
        if crds:
            check_definitions(texts, crds)
        print(f"{args.check}: {', '.join(names)} fit the run ({workers} workers)")
        return 0
    files = make(args.target, settings, workers, words, _job_config(args), args.out)
    if crds:
        check_definitions(files, crds)
    write(files, args.out, args.overwrite)
    print(f"wrote {args.out}: {', '.join(files)} ({workers} workers); the first lines of each say how to use it")
    return 0


def _job_config(args: argparse.Namespace) -> str:
    """The configuration as the job gets it: without what only this machine needs, with the workers asked for."""
    import yaml

    from cluster.jobs.project import job_config

    sections = yaml.safe_load(job_config(args.config)) or {}
    if args.workers is not None:
        sections.setdefault("pretrain", {})["workers"] = int(args.workers) if args.workers.isdigit() else args.workers
    return yaml.safe_dump(sections, sort_keys=False)
