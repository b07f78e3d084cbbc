"""Launch files: their bounds are the run's, they fit the schemas of who reads them, and nothing in them is unsafe."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import main
from cluster.launch.crd import check_objects, schemas
from cluster.launch.nodes import Range, groups_of
from cluster.launch.settings import LaunchSettings
from pipelines.errors import UsageError

LAUNCH: dict[str, Any] = {
    "image": "registry.example/docformer:0.1.0-cuda",
    "cpu_nodes": "0:10",
    "storage_gb": 2000,
    "spot_taint": "example.com/spot",
    "instance_type": "gpu-8",
    "head_instance_type": "cpu-4",
    "cpu_instance_type": "cpu-16",
}
PRETRAIN = {"corpus": "/data/corpus", "tokenizer": "/data/tokenizer", "out": "/data/runs/base", "workers": "8:32"}
FILES = {
    "kuberay": ("rayjob.yaml", "raycluster.yaml"),
    "skypilot": ("docformer.sky.yaml",),
    "anyscale": ("docformer.anyscale.yaml",),
}


def config(folder: Path, pretrain: dict[str, Any] | None = None, **launch: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(
        yaml.safe_dump({"pretrain": {**PRETRAIN, **(pretrain or {})}, "launch": {**LAUNCH, **launch}}), encoding="utf-8"
    )
    return path


def launch(target: str, path: Path, *more: str) -> Path:
    out = path.parent / target
    assert main(["launch", target, "--config", str(path), "--out", str(out), *more]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], target: str, path: Path, *more: str) -> str:
    capsys.readouterr()
    assert main(["launch", target, "--config", str(path), "--out", str(path.parent / "refused"), *more]) == 2
    printed = capsys.readouterr()
    assert not (path.parent / "refused").exists()
    assert not printed.out
    (line,) = printed.err.splitlines()
    return line


def objects(folder: Path) -> list[dict[str, Any]]:
    return [found for file in sorted(folder.glob("*.yaml")) for found in yaml.safe_load_all(file.read_text())]


def pods(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod specification inside a manifest."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for child in value.values():
            yield from pods(child)
    elif isinstance(value, list):
        for child in value:
            yield from pods(child)


@pytest.mark.parametrize("spot", ["none", "extra", "all"])
@pytest.mark.parametrize(("least", "most"), [(1, 1), (3, 3), (8, 8), (8, 32), (1, 20), (9, 17)])
def test_groups_hold_exactly_the_workers(spot: str, least: int, most: int) -> None:
    settings = LaunchSettings.model_validate({"image": "x:1", "spot": spot})
    groups = groups_of(settings, Range(least, most))
    for wanted, held in (
        (least, sum(group.nodes.least * group.slots for group in groups)),
        (most, sum(group.nodes.most * group.slots for group in groups)),
    ):
        assert wanted <= held < wanted + 8
    assert all(group.spot for group in groups) or spot != "all"
    # What the run cannot do without is not taken away.
    if spot == "extra":
        assert sum(group.nodes.least * group.slots for group in groups if not group.spot) >= least


def test_kuberay_files_fit_the_resource_definitions(tmp_path: Path, shared_data: Path) -> None:
    crds = sorted((shared_data / "kuberay-crd").glob("*.yaml"))
    out = launch("kuberay", config(tmp_path), *(word for file in crds for word in ("--crd", str(file))))
    known = {key: schema for file in crds for key, schema in schemas(file).items()}
    assert check_objects("files", objects(out), known) == 2
    job = next(found for found in objects(out) if found["kind"] == "RayJob")
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["serviceTyp"] = "ClusterIP"
    with pytest.raises(UsageError, match="serviceTyp"):
        check_objects("files", [job], known)
    del job["spec"]["rayClusterSpec"]["headGroupSpec"]["serviceTyp"]
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] = "three"
    with pytest.raises(UsageError, match=r"workerGroupSpecs\.0\.maxReplicas"):
        check_objects("files", [job], known)


def test_definitions_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    (tmp_path / "crd.yaml").write_text("kind: ConfigMap\n")
    assert "kubectl get crd" in refused(capsys, "kuberay", path, "--crd", str(tmp_path / "crd.yaml"))


@pytest.mark.skipif(importlib.util.find_spec("sky") is None, reason="skypilot is not installed")
def test_skypilot_reads_its_file(tmp_path: Path) -> None:
    import sky

    out = launch("skypilot", config(tmp_path))
    task = sky.Task.from_yaml(str(out / "docformer.sky.yaml"))
    assert task.num_nodes == 4
    assert {resource.use_spot for resource in task.resources} == {True, False}


@pytest.mark.skipif(importlib.util.find_spec("anyscale") is None, reason="anyscale is not installed")
def test_anyscale_reads_its_file(tmp_path: Path) -> None:
    from anyscale.compute_config.models import ComputeConfig
    from anyscale.job.models import JobConfig

    out = launch("anyscale", config(tmp_path))
    job = JobConfig.from_yaml(str(out / "docformer.anyscale.yaml"))
    written = yaml.safe_load((out / "docformer.anyscale.yaml").read_text())["compute_config"]
    compute = ComputeConfig.from_dict(written)
    assert job.entrypoint == "docformer pretrain --resume --config run.yaml"
    assert [(group.min_nodes, group.max_nodes) for group in compute.worker_nodes] == [(1, 1), (0, 3), (0, 10)]


@pytest.mark.parametrize(
    ("target", "file", "bound", "other"),
    [
        ("kuberay", "rayjob.yaml", "maxReplicas: 3", "maxReplicas: 4"),
        ("kuberay", "raycluster.yaml", "minReplicas: 1\n", "minReplicas: 0\n"),
        ("skypilot", "docformer.sky.yaml", "num_nodes: 4", "num_nodes: 3"),
        ("anyscale", "docformer.anyscale.yaml", "max_nodes: 3", "max_nodes: 2"),
    ],
)
def test_one_changed_bound_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, file: str, bound: str, other: str
) -> None:
    path = config(tmp_path)
    out = launch(target, path)
    assert main(["launch", target, "--config", str(path), "--check", str(out)]) == 0
    text = (out / file).read_text()
    assert text.count(bound) == 1
    (out / file).write_text(text.replace(bound, other))
    line = refused(capsys, target, path, "--check", str(out))
    assert "training workers, the run asks for" in line
    assert file in line
    # The same files, and a run that asks for another range.
    (out / file).write_text(text)
    assert "the run asks for" in refused(capsys, target, path, "--check", str(out), "--workers", "8:64")


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("mode: token", "mode: disabled", "authOptions.mode"),
        ("serviceType: ClusterIP", "serviceType: LoadBalancer", "serviceType"),
        ("enableIngress: false", "enableIngress: true", "enableIngress"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
        ("runAsUser: 1000", "runAsUser: 0", "runAsUser"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"),
        ("livenessProbe:", "lifecycle:", "livenessProbe"),
        ("replicas: 0\n", "replicas: 99\n", "must not fall"),
        ("value: json", "value: AKIAABCDEFGHIJKLMNOP", "looks like a secret"),
        ("memory: 512Gi", "memory: 256Gi", "limits"),
    ],
)
def test_one_unsafe_change_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], was: str, becomes: str, says: str
) -> None:
    path = config(tmp_path)
    out = launch("kuberay", path)
    text = (out / "raycluster.yaml").read_text()
    assert was in text
    (out / "raycluster.yaml").write_text(text.replace(was, becomes, 1))
    line = refused(capsys, "kuberay", path, "--check", str(out))
    assert says in line
    assert "AKIA" not in line


def test_every_pod_is_confined(tmp_path: Path) -> None:
    found = [pod for manifest in objects(launch("kuberay", config(tmp_path))) for pod in pods(manifest)]
    assert len(found) == 9  # head and three groups, twice, and the one that submits
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostNetwork" not in pod
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert not [port for port in container.get("ports", ()) if "hostPort" in port]


@pytest.mark.parametrize("target", FILES)
def test_no_secret_is_written_or_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    secret = "hf_0123456789abcdefghijABCDEFGHIJ"
    for name in ("HF_TOKEN", "RAY_AUTH_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, secret)
    references = {} if target == "anyscale" else {"secret_env": {"HF_TOKEN": "hub/token"}}
    out = launch(target, config(tmp_path, **references))
    printed = capsys.readouterr()
    for text in (printed.out, printed.err, *(file.read_text() for file in out.iterdir())):
        assert secret not in text
    if references:
        text = "".join(file.read_text() for file in out.iterdir())
        assert re.search(r"HF_TOKEN:? null|key: token\n *name: hub|name: hub\n *key: token", text)
    # A value where a reference belongs, and a secret among plain variables: refused without being shown.
    for bad in ({"secret_env": {"HF_TOKEN": secret}}, {"env": {"HF_TOKEN": secret}}, {"env": {"X": secret}}):
        line = refused(capsys, target, config(tmp_path, **bad))
        assert secret not in line
        assert "never written down" in line


def test_tokens_are_asked_for_in_every_file(tmp_path: Path) -> None:
    path = config(tmp_path)
    clusters = [
        found["spec"] for found in objects(launch("kuberay", path)) if found["kind"] in ("RayJob", "RayCluster")
    ]
    assert [spec.get("rayClusterSpec", spec)["authOptions"] for spec in clusters] == [{"mode": "token"}] * 2
    task = yaml.safe_load((launch("skypilot", path) / "docformer.sky.yaml").read_text())
    assert task["envs"]["RAY_AUTH_MODE"] == "token"
    assert task["secrets"] == {"RAY_AUTH_TOKEN": None}
    assert "ports" not in task["resources"]
    assert "--dashboard-host 127.0.0.1" in task["run"]


@pytest.mark.parametrize(
    ("pretrain", "launch_changes", "says"),
    [
        ({"out": "runs/base"}, {}, "pretrain.out = 'runs/base': not below /data"),
        ({"out": "/data/../etc"}, {}, "not below /data"),
        ({"corpus": ["/data/a=2", "/tmp/b=1"]}, {}, "pretrain.corpus = '/tmp/b'"),
        ({"workers": "4:2"}, {}, "MIN is more than MAX"),
        ({"stepz": 5}, {}, "unknown key 'stepz'; did you mean 'steps'?"),
        ({"zero": 9}, {}, "less than or equal to 3"),
        ({}, {"image": "registry.example/docformer:latest"}, "names no version"),
        ({}, {"image": "localhost:5000/docformer"}, "names no version"),
        ({}, {"nodes": 3}, "unknown key 'nodes'"),
        ({}, {"user_id": 0}, "user_id"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pretrain: dict[str, Any],
    launch_changes: dict[str, Any],
    says: str,
) -> None:
    assert says in refused(capsys, "kuberay", config(tmp_path, pretrain, **launch_changes))


def test_edited_files_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    out = launch("kuberay", path)
    (out / "rayjob.yaml").write_text("mine")
    assert main(["launch", "kuberay", "--config", str(path), "--out", str(out)]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert (out / "rayjob.yaml").read_text() == "mine"
    launch("kuberay", path, "--overwrite")
    assert (out / "rayjob.yaml").read_text() != "mine"


def test_a_corpus_may_lie_in_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = launch("kuberay", config(tmp_path, {"corpus": ["s3://bucket/a=2", "gs://bucket/b=1"]}))
    run = next(found for found in objects(out) if found["kind"] == "ConfigMap")["data"]["run.yaml"]
    assert yaml.safe_load(run)["pretrain"]["corpus"] == ["s3://bucket/a=2", "gs://bucket/b=1"]
    assert "not below /data" in refused(capsys, "kuberay", config(tmp_path, {"corpus": "https://host/a"}))


def test_a_finished_job_gives_its_gpus_back_unless_told_otherwise(tmp_path: Path) -> None:
    for changes, seconds in (({}, 0), ({"keep_hours": 0.5}, 1800)):
        out = launch("kuberay", config(tmp_path, **changes), "--overwrite")
        job = next(found for found in objects(out) if found["kind"] == "RayJob")["spec"]
        assert (job["shutdownAfterJobFinishes"], job["ttlSecondsAfterFinished"]) == (True, seconds)


def test_skypilot_says_that_it_has_no_nodes_of_another_kind(tmp_path: Path) -> None:
    for nodes, said in (("0:10", 1), ("0:0", 0)):
        out = launch("skypilot", config(tmp_path, cpu_nodes=nodes), "--overwrite")
        assert (out / "docformer.sky.yaml").read_text().count("launch.cpu_nodes is left out") == said


def test_what_is_to_be_typed_names_the_namespace(tmp_path: Path) -> None:
    head = (launch("kuberay", config(tmp_path, namespace="pages")) / "raycluster.yaml").read_text().split("---")[0]
    typed = [line for line in head.splitlines() if "kubectl" in line and " apply " not in line]
    assert len(typed) == 2  # what is applied says its namespace itself
    assert all("kubectl -n pages " in line for line in typed)


def test_other_commands_and_workers(tmp_path: Path) -> None:
    path = config(tmp_path)
    out = launch("kuberay", path, "--workers", "2", "--", "corpus", "build", "/data/pdfs", "--out", "/data/corpus")
    job = next(found for found in objects(out) if found["kind"] == "RayJob")["spec"]
    assert job["entrypoint"] == (
        "docformer corpus build /data/pdfs --out /data/corpus --resume --config /etc/docformer/run.yaml"
    )
    run = next(found for found in objects(out) if found["kind"] == "ConfigMap")["data"]["run.yaml"]
    assert yaml.safe_load(run)["pretrain"]["workers"] == 2
    assert "launch" not in yaml.safe_load(run)


def test_a_whole_run_is_launched_where_the_file_has_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    whole = yaml.safe_load(path.read_text())
    for name in ("corpus", "out", "tokenizer"):
        del whole["pretrain"][name]
    whole["corpus"] = {"sources": ["/data/pdfs", "https://host/list.csv"]}
    path.write_text(yaml.safe_dump({**whole, "run": {"out": "/data/all"}}))
    job = next(found for found in objects(launch("kuberay", path)) if found["kind"] == "RayJob")["spec"]
    assert job["entrypoint"] == "docformer run --config /etc/docformer/run.yaml"
    path.write_text(yaml.safe_dump({**whole, "run": {"out": "out"}}))
    assert "run.out = 'out': not below /data" in refused(capsys, "kuberay", path)
    path.write_text(yaml.safe_dump({**whole, "run": {"out": "/data/all"}, "corpus": {"sources": ["/home/me/pdfs"]}}))
    assert "corpus.sources = '/home/me/pdfs': not below /data" in refused(capsys, "kuberay", path)


def test_flags_of_the_command_count_as_they_will_for_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, {"workers": 1})
    for words, says in (
        (("pretrain", "--out", "/tmp/elsewhere"), "pretrain.out = '/tmp/elsewhere': not below /data"),
        (("pretrain", "--corpus", "/data/a=2", "/home/me/b"), "pretrain.corpus = '/home/me/b'"),
        (("pretrain", "--zero", "9"), "zero"),
        (("corpus", "build", "/home/me/pdfs", "--out=/data/corpus"), "corpus.sources = '/home/me/pdfs'"),
        (("corpus", "build", "/data/pdfs"), "corpus.out is not set"),
        (("corpus", "update", "corpus"), "corpus.out = 'corpus'"),
    ):
        assert says in refused(capsys, "skypilot", path, "--", *words)
    # A flag among the words wins, as it does when the job runs; where the file names no folder, one there will do.
    written = yaml.safe_load(path.read_text())
    del written["pretrain"]["out"]
    path.write_text(yaml.safe_dump(written))
    assert "out is required" in refused(capsys, "skypilot", path)
    words = ("--workers", "4", "--", "pretrain", "--workers", "16", "--out=/data/x")
    task = yaml.safe_load((launch("skypilot", path, *words) / "docformer.sky.yaml").read_text())
    assert task["num_nodes"] == 2
    assert "docformer pretrain --workers 16 --out=/data/x --resume --config" in task["run"]


def test_dashboard_names_only_what_is_exported(tmp_path: Path) -> None:
    from pipelines.meters import METERS

    board = json.loads((launch("kuberay", config(tmp_path)) / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"ray_docformer_\w+", query)}
    assert named == {meter.exported for meter in METERS}
