"""The inventory of many files at once, as a Ray Data job; files seen before are recognised without reading them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pipelines.building.jobs import page_maker
from pipelines.progress import Progress
from pipelines.settings import CorpusSettings
from pipelines.sources.address import SourceFile
from pipelines.sources.inventory import Record, inspect
from pipelines.stream import on_ray

GROUP = 16


def survey(files: Sequence[SourceFile], settings: CorpusSettings) -> list[Record]:
    """The record of each of `files`, with its `stamp`, in their order."""
    groups = [[asdict(file) for file in files[start : start + GROUP]] for start in range(0, len(files), GROUP)]
    items = [json.dumps({"first": place * GROUP, "files": group}) for place, group in enumerate(groups)]
    records: dict[int, Record] = {}
    with Progress("inventory", len(files), "file") as progress:
        for result in on_ray(items, partial(_inspect, settings.model_dump_json()), settings.workers):
            some = json.loads(result["records"])
            records.update(enumerate(some, result["first"]))
            progress.advance(len(some))
    return [{**records[place], "stamp": stamp(file)} for place, file in enumerate(files)]


def stamp(file: SourceFile) -> str:
    """What tells a file from another, or from itself once changed, without reading it: place, size, time of change."""
    return json.dumps([file.path, file.member, file.offset, file.size, file.changed, file.sha256, file.reason])


def again(record: Record) -> SourceFile | None:
    """The file of a document that could not be taken, to be read once more; None when it must not be read at all."""
    refused = json.loads(record["stamp"])[-1]
    return None if refused else SourceFile.of({**record, "reason": "", "detail": ""})


def _inspect(settings: str, item: str) -> dict[str, Any]:
    task, maker = json.loads(item), page_maker(settings, 0)
    limits = maker.settings.source_limits
    records = [inspect(SourceFile(**file), maker.reader, limits) for file in task["files"]]
    return {"first": task["first"], "records": json.dumps(records)}
