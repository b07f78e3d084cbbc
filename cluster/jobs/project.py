"""The project as a folder to upload: the three packages, the pinned versions and the run's configuration file."""

import shutil
from importlib import metadata
from pathlib import Path

import yaml

from cluster.yaml_file import load_yaml
from pipelines.errors import UsageError

PACKAGES = ("cluster", "model", "pipelines")
SOURCE_SUFFIXES = frozenset({".py", ".yaml", ".json", ".css", ".js"})
CONFIG, PINS = "run.yaml", "pins.txt"
LIMIT_MB = 20


def stage(folder: Path, config: Path | None) -> Path:
    """Fill `folder` with what a job needs, and return it: sources only, never caches, data, tests or git's records.

    Raises:
        UsageError: the sources are larger than LIMIT_MB, or `config` is no YAML file.
    """
    root = Path(__file__).resolve().parents[2]
    files = [
        file
        for package in PACKAGES
        for file in sorted((root / package).rglob("*"))
        if file.suffix in SOURCE_SUFFIXES and "__pycache__" not in file.parts and file.is_file()
    ]
    size = sum(file.stat().st_size for file in files) / 1e6
    if size > LIMIT_MB:
        largest = max(files, key=lambda file: file.stat().st_size)
        raise UsageError(
            f"{root}: {size:.0f} MB of sources, at most {LIMIT_MB} MB are sent (largest: {largest}); data belongs on "
            "the cluster's storage"
        )
    for file in files:
        target = folder / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    (folder / PINS).write_text("\n".join(pins()) + "\n", encoding="utf-8")
    if config is not None:
        (folder / CONFIG).write_text(job_config(config), encoding="utf-8")
    return folder


def pins() -> list[str]:
    """The pinned environment, lines of `name==version` with their markers, less this project itself.

    Those of requirements.txt in a checkout; of an installed wheel, what is installed beside it.
    """
    file = Path(__file__).resolve().parents[2] / "requirements.txt"
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "==" in line and not line.startswith("#")]
    found = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name != "docformer"]


def job_config(config: Path) -> str:
    """Text of the configuration file as a job gets it: without what only the one who sends it needs."""
    sections = load_yaml(config.read_text(encoding="utf-8")) or {}
    return yaml.safe_dump({k: v for k, v in sections.items() if k not in ("submit", "launch")}, sort_keys=False)
