"""`docformer corpus`: build, verify, look at and compare corpora."""

import argparse
from pathlib import Path
from typing import Any

from cluster.commands.command import add_command, add_config, add_json, at_least, print_result
from cluster.options import add_flags, load_settings, read_section, read_sources
from pipelines.building.changes import table as touches
from pipelines.errors import UsageError
from pipelines.settings import CorpusSettings
from pipelines.stopping import hint_when_stopped

SOURCES = """docformer corpus build ~/pdfs --out corpus

  ~/pdfs  '~/pdfs/**/*.pdf'  a.pdf  a.png         a folder (archives in it too), a glob, a file
  a.zip  a.tar  a.tar.gz  a.warc.gz               an archive, read where it is; 'a.zip::dir/x.pdf' is one member
  list.csv  list.jsonl  list.parquet              a manifest: address (also uri, url, path or file), and optionally
                                                  sha256, licence, corpus, offset and length
  s3://bucket/folder  gs://bucket/a.zip  https://host/list.csv   any of these elsewhere; the web has no folders
  docformer corpus build ~/pdfs --out s3://bucket/corpus        the corpus, too, may lie in a store: s3:// or gs://
  docformer corpus build s3://bucket/zipfiles metadata/cc-provenance-20230303.csv.gz --adapter safedocs --out corpus

S3: AWS_ENDPOINT_URL names another store, AWS_NO_SIGN_REQUEST=1 reads public buckets. Limits on archives and patience
with remote stores: source_limits in the --config file."""


def register(commands: Any) -> None:
    """Add the `corpus` commands."""
    parser = commands.add_parser("corpus", help="Documents to words, boxes, labels and pictures in Parquet")
    group = parser.add_subparsers(title="corpus commands", required=True, metavar="COMMAND")

    build = add_command(
        group,
        "build",
        run_build,
        "Turn documents into a corpus of labelled pages in Parquet.",
        SOURCES,
    )
    build.add_argument("sources", nargs="*", metavar="SOURCE", help="files, folders, archives or manifests; see below")
    build.add_argument("--out", metavar="CORPUS", help="folder of the new corpus, also s3:// or gs:// (required)")
    build.add_argument("--resume", action="store_true", help="finish an unfinished build in the same folder")
    build.add_argument("--overwrite", action="store_true", help="replace the corpus that is in the folder")
    build.add_argument("--strict", action="store_true", help="exit 1 when anything was quarantined")
    add_config(build)
    add_json(build)
    add_flags(build, CorpusSettings)

    update = add_command(
        group,
        "update",
        run_update,
        "Add sources to a corpus or change its settings; only what that touches is done again.",
        "docformer corpus update corpus ~/more-pdfs\n  docformer corpus update corpus --grid-rows 8 --grid-columns 8 "
        "--out corpus8\n\nSettings that are not given stay. What a changed one touches:\n" + touches(),
    )
    update.add_argument("corpus", metavar="CORPUS", help="a complete corpus")
    update.add_argument("sources", nargs="*", metavar="SOURCE", help="to add; files that are known are not read again")
    update.add_argument("--out", metavar="NEW", help="folder for the new corpus; absent: CORPUS itself")
    update.add_argument("--resume", action="store_true", help="finish an update that was cut off")
    update.add_argument("--strict", action="store_true", help="exit 1 when anything was quarantined")
    add_config(update)
    add_json(update)
    add_flags(update, CorpusSettings)

    for name, run, description in (
        ("verify", run_verify, "Recompute every digest and count; exit 1 on any mismatch."),
        ("stats", run_stats, "Pages, words, languages, what was left out and why, and stage speeds."),
    ):
        command = add_command(group, name, run, description, f"docformer corpus {name} corpus")
        command.add_argument("corpus", metavar="CORPUS")
        add_json(command)

    report = add_command(
        group,
        "report",
        run_report,
        "Write a self-contained page with page pictures, word boxes, lines and grid.",
        "docformer corpus report corpus --out report.html",
    )
    report.add_argument("corpus", metavar="CORPUS")
    report.add_argument("--out", type=Path, required=True, metavar="report.html")
    report.add_argument(
        "--pages", type=at_least(0), default=24, metavar="N", help="page pictures to show (default: 24)"
    )

    diff = add_command(
        group,
        "diff",
        run_diff,
        "Which pages of two corpora differ, and in which columns; exit 1 when any does.",
        "docformer corpus diff corpus-a corpus-b",
    )
    diff.add_argument("a", metavar="A")
    diff.add_argument("b", metavar="B")
    add_json(diff)


def run_build(args: argparse.Namespace) -> int:
    """Build a corpus and print its account."""
    from pipelines.building.build import build
    from pipelines.building.output import BUILD

    settings = load_settings(CorpusSettings, "corpus", args.config, vars(args), besides=frozenset({"sources", "out"}))
    section = read_section(args.config, "corpus") if args.config else {}
    sources = args.sources or (read_sources(args.config) if args.config else [])
    out = args.out or section.get("out")
    if not sources:
        raise UsageError(
            "no SOURCE given; name a folder, glob or file, or set corpus.sources in the configuration file"
        )
    if out is None:
        raise UsageError("no output folder given; add --out CORPUS")
    with hint_when_stopped(lambda: _go_on(out, BUILD)):
        summary = build(sources, str(out), settings, resume=args.resume, overwrite=args.overwrite)
    print_result(summary.as_dict(), args.json)
    return 1 if args.strict and summary.quarantined else 0


def run_update(args: argparse.Namespace) -> int:
    """Update a corpus and print its account."""
    from pipelines.building.output import UPDATE, read_marker
    from pipelines.building.update import update
    from pipelines.corpus.reader import read_manifest

    before = read_manifest(args.corpus)
    flags = {name: value for name, value in vars(args).items() if name in CorpusSettings.model_fields}
    section = read_section(args.config, "corpus") if args.config else {}
    sources, kept = args.sources or (read_sources(args.config) if args.config else []), before["settings"]
    if args.resume and (unfinished := read_marker(args.out or args.corpus, UPDATE)):
        # What the update was to do is on record; saying it again is allowed and not needed.
        sources, kept = sources or unfinished["sources"], unfinished["asked"]
    elif args.resume:
        raise UsageError(f"{args.out or args.corpus}: no update was cut off here; there is nothing to resume")
    written = {name: value for name, value in section.items() if name in CorpusSettings.model_fields}
    given = {**{name: value for name, value in kept.items() if name != "workers"}, **written, **flags}
    settings = load_settings(CorpusSettings, "corpus", args.config, given, besides=frozenset({"sources", "out"}))
    with hint_when_stopped(lambda: _go_on(args.out or args.corpus, UPDATE)):
        summary = update(args.corpus, sources, settings, args.out, resume=args.resume)
    print_result(summary.as_dict(), args.json)
    return 1 if args.strict and summary.quarantined else 0


def _go_on(out: str, marker: str) -> str:
    """What to do after a build or update was stopped."""
    from pipelines.folders.address import folder_of

    if not folder_of(out).exists(marker):
        return "nothing was written"
    return f"{out} keeps what is done; go on with the same command and --resume"


def run_verify(args: argparse.Namespace) -> int:
    """Verify a corpus; 1 on any mismatch."""
    from pipelines.corpus.verify import verify

    problems = verify(args.corpus)
    print_result({"corpus": str(args.corpus), "mismatches": len(problems), "first": problems[:5]}, args.json)
    return 1 if problems else 0


def run_stats(args: argparse.Namespace) -> int:
    """Print a corpus's statistics."""
    from pipelines.corpus.stats import stats

    print_result(stats(args.corpus), args.json)
    return 0


def run_report(args: argparse.Namespace) -> int:
    """Write a corpus's report."""
    from pipelines.corpus.reader import Corpus
    from pipelines.report.corpus_report import write_report

    write_report(Corpus.open(args.corpus), args.out, pages=args.pages)
    print(f"wrote {args.out}; open it in a browser")
    return 0


def run_diff(args: argparse.Namespace) -> int:
    """Compare two corpora; 1 when they differ."""
    from pipelines.corpus.diff import diff

    differences = diff(args.a, args.b)
    print_result(differences.as_dict(), args.json)
    return 1 if differences else 0
