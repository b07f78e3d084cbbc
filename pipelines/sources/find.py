"""SOURCEs to files: folders, globs, single files, archives and manifests, on this machine or another."""

import fnmatch
import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import UsageError
from pipelines.quarantine import Reason
from pipelines.sources.adapters import adapter_of
from pipelines.sources.address import SourceFile
from pipelines.sources.archives import members
from pipelines.sources.limits import SourceLimits
from pipelines.sources.manifests import manifest_rows
from pipelines.sources.names import MANIFESTS, archive_kind, hidden, split_member
from pipelines.sources.places import Cloud, place_of, scheme_of

GIVE = "give a folder, a glob or a file of documents, an archive or a manifest"


@dataclass(frozen=True)
class Root:
    """A file or archive that a SOURCE names.

    Attributes:
        file: it.
        only: the one member that is wanted of an archive, else empty.
        asked: whether the SOURCE itself says so, rather than a manifest's row.
    """

    file: SourceFile
    only: str = ""
    asked: bool = False

    @property
    def is_archive(self) -> bool:
        """Whether it holds members that are to be listed."""
        return self.file.length < 0 and not self.file.reason and bool(archive_kind(self.file.name))


def find_roots(sources: Sequence[str], adapter: str, limits: SourceLimits) -> list[Root]:
    """All files and archives of the SOURCEs, each once, in order; archives are not opened yet.

    A SOURCE ending in `::MEMBER` is that member of an archive, or the row of a manifest with that address. Hidden files
    and folders are passed over.

    Raises:
        UsageError: a SOURCE does not exist, matches nothing or cannot be read.
    """
    found: dict[tuple[str, int, str, str], Root] = {}
    for source in sources:
        if not source.strip():
            raise UsageError(f"an empty SOURCE; {GIVE}")
        whole = not scheme_of(source) and Path(source).expanduser().exists()
        place, only = (source, "") if whole else split_member(source)
        for root in _roots(place, only, adapter, limits):
            file = root.file
            key = (file.path, file.offset, root.only or (file.reason and file.uri), file.sha256)
            known = found.get(key)
            if known is None or file.place < known.file.place:
                found[key] = root
    if not found:
        raise UsageError(f"{', '.join(sources)}: holds no file; {GIVE}")
    return sorted(found.values(), key=lambda root: (root.file.place, root.only))


def files_of(root: Root, adapter: str, limits: SourceLimits) -> Iterator[SourceFile]:
    """The files of a root: itself, or its members, as the corpus's adapter sees them.

    Raises:
        UsageError: the archive has no member of the name asked for.
    """
    if not root.is_archive:
        yield from adapter_of(adapter).members([root.file])
        return
    if not root.only:
        yield from adapter_of(adapter).members(members(root.file, limits))
        return
    said: dict[str, Any] = {"origin": root.file.origin, "licence": root.file.licence, "sha256": root.file.sha256}
    archive = replace(root.file, origin="", licence="", sha256="")
    found = _by_member(archive, adapter, limits).get(root.only)
    if found:
        yield from (replace(file, **said) for file in found)
    elif not root.asked:
        text = f"the archive has no member {root.only}"
        yield replace(root.file, member=root.only, reason=str(Reason.UNREADABLE), detail=text)
    else:
        raise UsageError(f"{archive.path}: has no member {root.only!r}; name one as the archive lists it")


@lru_cache(maxsize=1)
def _by_member(archive: SourceFile, adapter: str, limits: SourceLimits) -> dict[str, list[SourceFile]]:
    """The members of an archive by name; kept, since a manifest may name many of one archive, one after the other."""
    named: dict[str, list[SourceFile]] = {}
    for file in adapter_of(adapter).members(members(archive, limits)):
        named.setdefault(file.member, []).append(file)
    return named


def in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Files sorted, each place once."""
    ordered = sorted(files, key=_identity)
    return [next(same) for _, same in groupby(ordered, key=_identity)]


def _identity(file: SourceFile) -> tuple[object, ...]:
    return *file.place, file.sha256  # two manifest rows may claim different things of one file


def find_files(sources: Sequence[str], limits: SourceLimits | None = None, adapter: str = "none") -> list[SourceFile]:
    """All files of the SOURCEs, members of archives included, sorted by uri and member, each place once.

    Raises:
        UsageError: as `find_roots`.
    """
    limits = limits or SourceLimits()
    return in_order(file for root in find_roots(sources, adapter, limits) for file in files_of(root, adapter, limits))


def _roots(place: str, only: str, adapter: str, limits: SourceLimits) -> list[Root]:
    try:
        files = list(_remote(place, limits) if scheme_of(place) else _local(place))
    except OSError as error:
        raise UsageError(f"{place}: cannot be read ({error.strerror or error}); {GIVE}") from None
    if not files:
        raise UsageError(f"{place}: holds no file; {GIVE}")
    first = files[0]
    single = len(files) == 1 and first.named
    if single and first.name.lower().endswith(MANIFESTS) and not adapter_of(adapter).is_table(first.name):
        rows = [file for file in manifest_rows(first, limits) if not only or file.origin == f"{first.origin}::{only}"]
        if not rows:
            raise UsageError(f"{place}: " + (f"has no row of address {only!r}" if only else "has no rows"))
        return [Root(replace(file, member="") if file.length < 0 else file, file.member) for file in rows]
    if only and not (single and archive_kind(first.name)):
        raise UsageError(f"{place}::{only}: only an archive or a manifest has members; {GIVE}")
    return [Root(replace(file, origin=f"{file.origin}::{only}") if only else file, only, bool(only)) for file in files]


def _local(source: str) -> Iterator[SourceFile]:
    path = Path(source).expanduser()
    if path.is_dir():
        root = path
        files = [file for file in path.rglob("*") if file.is_file() and not hidden(str(file.relative_to(path)))]
    elif path.is_file():
        root, files = path.parent, [path]
    elif glob.has_magic(source):
        plain = next(place for place, part in enumerate(path.parts) if glob.has_magic(part))
        root = Path(*path.parts[:plain])
        files = [file for file in root.glob("/".join(path.parts[plain:])) if file.is_file()]
    else:
        raise UsageError(f"{source}: no such file or folder; {GIVE}")
    for file in files:
        uri = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
        real = str(file.resolve())
        state = file.stat()
        yield SourceFile(uri, real, state.st_size, origin=real, named=path.is_file(), changed=str(state.st_mtime_ns))


def _remote(source: str, limits: SourceLimits) -> Iterator[SourceFile]:
    parts = urlsplit(source)
    if "@" in parts.netloc and scheme_of(source) in ("http", "https"):
        raise UsageError(f"{parts.scheme}://...@...: an address with a password ends in the corpus; put it in ~/.netrc")
    if scheme_of(source) in ("http", "https"):
        if parts.path.endswith("/") or not parts.path:
            raise UsageError(f"{source}: the web has no folders to list; name files, or give a manifest of them")
        yield SourceFile(source, source, origin=source, named=True)
        return
    store = place_of(source, limits)
    assert isinstance(store, Cloud)
    folder = source.partition("*")[0].partition("?")[0].partition("[")[0]
    folder = folder if folder == source else folder.rpartition("/")[0]
    found = [file for file in store.walk(folder) if not hidden(file[0][len(folder) :])]
    if folder != source:
        found = [file for file in found if fnmatch.fnmatchcase(file[0], source)]
    elif not found:
        yield SourceFile(source, source, store.size(source), origin=source, named=True)
    for path, size, changed in found:
        yield SourceFile(path, path, size, origin=path, changed=changed)
