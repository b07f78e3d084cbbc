"""Launch files: made, checked, and only then written; a folder of them, edited since, is checked the same way."""

from pathlib import Path
from typing import Any

import yaml

from cluster.launch import anyscale, crd, kuberay, skypilot
from cluster.launch.dashboard import dashboard
from cluster.launch.nodes import Range
from cluster.launch.settings import LaunchSettings
from pipelines.corpus.shards import write_text
from pipelines.errors import UsageError

CHECKS = {"kuberay": kuberay.check, "skypilot": skypilot.check, "anyscale": anyscale.check}
# The files of each target that hold bounds.
CHECKED = {
    "kuberay": ("rayjob.yaml", "raycluster.yaml"),
    "skypilot": ("docformer.sky.yaml",),
    "anyscale": ("docformer.anyscale.yaml",),
}


def make(
    target: str, settings: LaunchSettings, workers: Range, words: list[str], config: str, out: Path
) -> dict[str, str]:
    """The text of each file for `target`, by name, checked; raises UsageError where they do not fit the run."""
    files: dict[str, str] = {}
    if target == "kuberay":
        head = kuberay.head_comment(settings, out)
        for name, objects in kuberay.manifests(settings, workers, words, config).items():
            files[name] = head + _dump(objects)
    elif target == "skypilot":
        (name,) = CHECKED[target]
        task = skypilot.task(settings, workers, words, config)
        files[name] = skypilot.head_comment(settings, workers, name) + _dump([task])
    else:
        (name,) = CHECKED[target]
        files[name] = anyscale.head_comment(name) + _dump([anyscale.job(settings, workers, words)])
        files["run.yaml"] = config
    for name in CHECKED[target]:
        CHECKS[target](name, files[name], settings, workers)
    files["grafana.json"] = dashboard()
    return files


def write(files: dict[str, str], out: Path, overwrite: bool) -> None:
    """Write the files into folder `out`.

    Raises:
        UsageError: `out` is a file, or holds one of the files with another text and `overwrite` is not set.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; give --out a folder")
    for name, text in files.items():
        if not overwrite and (out / name).is_file() and (out / name).read_text(encoding="utf-8") != text:
            raise UsageError(f"{out / name} is there with other contents; add --overwrite or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text(out / name, text)


def check_folder(target: str, folder: Path, settings: LaunchSettings, workers: Range) -> list[str]:
    """Check the files of `target` in `folder` as they are now, and return their names.

    Raises:
        UsageError: none is there, or one does not fit.
    """
    found = [name for name in CHECKED[target] if (folder / name).is_file()]
    if not found:
        raise UsageError(f"{folder}: holds no {' or '.join(CHECKED[target])}; write them with --out")
    for name in found:
        CHECKS[target](str(folder / name), (folder / name).read_text(encoding="utf-8"), settings, workers)
    return found


def check_definitions(texts: dict[str, str], definitions: list[Path]) -> int:
    """Check every object in `texts` against the user's own KubeRay definitions; returns how many were."""
    known = {key: schema for file in definitions for key, schema in crd.schemas(file).items()}
    checked = 0
    for name, text in texts.items():
        if name.endswith(".yaml"):
            objects = [found for found in yaml.safe_load_all(text) if isinstance(found, dict)]
            checked += crd.check_objects(name, objects, known)
    if not checked:
        raise UsageError(f"{', '.join(map(str, definitions))}: defines none of the kinds in the files")
    return checked


class _Dumper(yaml.SafeDumper):
    """Every value written out where it stands, texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """No anchors: people read these files."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(objects: list[Any]) -> str:
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=120)
