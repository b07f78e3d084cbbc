"""What a job runs on the cluster: goes to its folder, says which versions it found, then is the docformer command.

Run as `python -m cluster.jobs.entry FOLDER WORD...` in the uploaded project.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

from cluster.jobs.project import CONFIG, PINS

SHOWN = ("ray", "torch", "deepspeed", "transformers", "pyarrow", "pymupdf")
SHOWN_DIFFERENCES = 5


def main(folder: str, words: list[str]) -> int:
    """Run `docformer WORD...` in `folder`; returns its exit code."""
    project = Path(__file__).resolve().parents[2]
    found = ", ".join(f"{name} {_version(name) or 'absent'}" for name in SHOWN)
    print(f"environment: {sys.executable}, Python {sys.version.split()[0]}, {found}", flush=True)
    differ = differences((project / PINS).read_text(encoding="utf-8").splitlines())
    if differ:
        more = f" and {len(differ) - SHOWN_DIFFERENCES} more" if len(differ) > SHOWN_DIFFERENCES else ""
        print(f"environment: not as pinned: {', '.join(differ[:SHOWN_DIFFERENCES])}{more}", flush=True)
    try:
        os.chdir(folder)
    except OSError as error:
        print(f"docformer submit: error: folder {folder} on the cluster: {error.strerror}; give --folder", flush=True)
        return 2
    if (project / CONFIG).is_file():
        words = [*words, "--config", str(project / CONFIG)]
    from cluster.cli import main as docformer

    return docformer(words)


def differences(pins: list[str]) -> list[str]:
    """Each pinned package that is installed here in another version, as a line for a person; absent ones too."""
    from packaging.requirements import Requirement

    lines = []
    for pin in map(Requirement, filter(None, pins)):
        if pin.marker and not pin.marker.evaluate():
            continue
        here, wanted = _version(pin.name), str(pin.specifier).removeprefix("==")
        if here is None or not pin.specifier.contains(here, prereleases=True):
            lines.append(f"{pin.name} {here or 'absent'} (pinned {wanted})")
    return lines


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
