"""Listing of sources: archives opened side by side, by Ray where they are many; the corpus's tables applied."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any

from pipelines.progress import Progress
from pipelines.settings import CorpusSettings
from pipelines.sources.adapters import adapter_of
from pipelines.sources.adapters.adapter import Adapter, Fact
from pipelines.sources.address import SourceFile
from pipelines.sources.find import Root, files_of, find_roots, in_order
from pipelines.sources.limits import SourceLimits
from pipelines.sources.tables import table_rows
from pipelines.stream import in_threads, on_ray

IN_THREADS_ARCHIVES = 64  # fewer archives are listed sooner than Ray has started


def list_files(sources: Sequence[str], settings: CorpusSettings) -> list[SourceFile]:
    """All files of the SOURCEs, members of archives included, in order, each place once.

    Raises:
        UsageError: a SOURCE does not exist, matches nothing or cannot be read.
    """
    limits, adapter = settings.source_limits, adapter_of(settings.adapter)
    roots = find_roots(sources, settings.adapter, limits)
    archives = [root for root in roots if root.is_archive and not root.only]
    others = [root for root in roots if not root.is_archive or root.only]
    files = [file for root in others for file in files_of(root, adapter.name, limits)]
    if archives:
        files += _members(archives, settings)
    tables = [file for file in files if adapter.is_table(file.name) and not file.member]
    return in_order(with_facts(files, tables, adapter, limits))


def with_facts(
    files: Sequence[SourceFile], tables: Iterable[SourceFile], adapter: Adapter, limits: SourceLimits
) -> list[SourceFile]:
    """`files` with what the corpus's tables say; these are read row by row, and only what is asked for is kept.

    Raises:
        UsageError: a table cannot be read.
    """
    keys = [adapter.key(file) for file in files]
    wanted, facts = set(keys) - {""}, dict[str, Fact]()
    for table in tables:
        for _, row in table_rows(table, limits):
            fact = adapter.fact(row)
            if fact is not None and fact.key in wanted:
                facts[fact.key] = fact
    said = [facts.get(key, Fact("")) for key in keys]
    return [
        replace(file, licence=fact.licence or file.licence, sha256=file.sha256 or fact.sha256)
        for file, fact in zip(files, said, strict=True)
    ]


def _members(archives: Sequence[Root], settings: CorpusSettings) -> list[SourceFile]:
    work = partial(_list_one, settings.model_dump_json(include={"adapter", "source_limits"}))
    stream = on_ray if len(archives) > IN_THREADS_ARCHIVES else in_threads
    files: list[SourceFile] = []
    with Progress("listing", len(archives), "archive") as progress:
        for result in stream([json.dumps(asdict(root.file)) for root in archives], work, settings.workers):
            files += [SourceFile(**values) for values in json.loads(result["files"])]
            progress.advance(1, f"{len(files)} files")
    return files


def _list_one(settings_text: str, item: str) -> dict[str, Any]:
    settings = CorpusSettings.model_validate_json(settings_text)
    files = files_of(Root(SourceFile(**json.loads(item))), settings.adapter, settings.source_limits)
    return {"files": json.dumps([_short(file) for file in files])}


def _short(file: SourceFile) -> dict[str, Any]:
    """The fields that are not as they are by default: an archive can have millions of members."""
    return {
        field.name: getattr(file, field.name) for field in fields(file) if getattr(file, field.name) != field.default
    }
