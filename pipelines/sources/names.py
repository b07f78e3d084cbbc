"""What a name says: whether it may be a member's at all, whether it is hidden, whether it is an archive's."""

import os
import re
import shlex

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


def as_text(name: str) -> str:
    r"""A name that can be stored: its bytes that are not UTF-8, which Python holds as lone surrogates, as `\xff`."""
    if name.isascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def of_text(text: str) -> str:
    """The name that `as_text` made `text` of, if it held bytes that are not UTF-8."""
    spelt = re.compile(rb"\\x([89a-f][0-9a-f])")
    return os.fsdecode(spelt.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text)))


def quoted(name: str) -> str:
    """For a shell; a name that is not UTF-8 as bash and zsh spell its bytes."""
    if as_text(name) == name:
        return shlex.quote(name)
    plain = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{as_text(plain)}'"


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
