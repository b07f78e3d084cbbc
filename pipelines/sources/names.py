"""What a name says: whether it may be a member's at all, whether it is hidden, whether it is an archive's."""

import re

ARCHIVES = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".warc": "warc",
    ".warc.gz": "warc",
}
MANIFESTS = (".csv", ".jsonl", ".parquet")


def unsafe(member: str) -> str:
    """Why a member of this name is refused, or empty.

    A name that climbs out of the archive, is absolute or holds control characters was made to be written somewhere it
    should not be. Nothing is ever unpacked to disk here; it is refused all the same, for whoever reads the corpus.
    """
    parts = re.split(r"[/\\]", member)
    if ".." in parts:
        return "its name climbs out of the archive"
    if not parts[0] or re.match(r"[A-Za-z]:", member):
        return "its name is an absolute path"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in member):
        return "its name holds control characters"
    return ""


def hidden(name: str) -> bool:
    """Whether a file is passed over: it, or a folder above it, begins with a dot, or holds a Mac's resource forks."""
    parts = re.split(r"[/\\]", name)
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


def archive_kind(name: str) -> str:
    """`zip`, `tar`, `tar.gz` or `warc` of an archive by its name, empty for other files."""
    lower = name.lower()
    return next((kind for suffix, kind in sorted(ARCHIVES.items(), reverse=True) if lower.endswith(suffix)), "")


_SUFFIX = "|".join(re.escape(suffix) for suffix in (*ARCHIVES, *MANIFESTS))
_CONTAINER = re.compile(rf"(.+?(?:{_SUFFIX})(?:\?[^:]*)?)::(.+)", re.IGNORECASE)


def split_member(source: str) -> tuple[str, str]:
    """`archive.zip::member` as its two parts; the second is empty where there is none."""
    found = _CONTAINER.fullmatch(source)
    return (found[1], found[2]) if found else (source, "")
