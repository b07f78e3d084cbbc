"""How many nodes of each kind a run needs, from its range of workers: the one place where the bounds come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cluster.launch.settings import LaunchSettings
from pipelines.errors import UsageError

TRAINING = "train"


@dataclass(frozen=True)
class Range:
    """From `least` to `most`, both included."""

    least: int
    most: int

    def __str__(self) -> str:
        """As people write it: N, or MIN:MAX."""
        return str(self.least) if self.least == self.most else f"{self.least}:{self.most}"

    @classmethod
    def parse(cls, value: Any, name: str, smallest: int = 1) -> "Range":
        """The range that N or "MIN:MAX" stands for; raises UsageError naming `name` for anything else."""
        try:
            least, _, most = str(value).partition(":")
            found = cls(int(least), int(most or least))
        except ValueError:
            found = cls(1, 0)
        if not smallest <= found.least <= found.most:
            raise UsageError(f"{name} = {value!r}: give N or MIN:MAX, {smallest} <= MIN <= MAX")
        return found


@dataclass(frozen=True)
class Group:
    """Nodes of one kind.

    Attributes:
        name: starts with TRAINING when training workers run there.
        nodes: from how many to how many.
        slots: training workers of a node; 0 where none runs.
        gpus, cpus, memory_gb: of a node.
        spot: whether they may be taken away.
    """

    name: str
    nodes: Range
    slots: int
    gpus: int
    cpus: int
    memory_gb: int
    spot: bool


def workers_of(pretrain: Mapping[str, Any], flag: str | None) -> Range:
    """The run's range of workers: the flag's, else that of section `pretrain`, else one."""
    if flag is not None:
        return Range.parse(flag, "--workers")
    return Range.parse(pretrain.get("workers", 1), "pretrain.workers")


def slots_of(settings: LaunchSettings, workers: Range) -> int:
    """Training workers of a node: no more than there are at all."""
    return min(settings.workers_per_node, workers.most)


def groups_of(settings: LaunchSettings, workers: Range) -> list[Group]:
    """The groups whose nodes together hold the range of workers: its lower end stays unless all may be taken away."""
    slots = slots_of(settings, workers)
    nodes = Range(ceil(workers.least / slots), ceil(workers.most / slots))
    shares = {
        "none": (nodes, Range(0, 0)),
        "extra": (Range(nodes.least, nodes.least), Range(0, nodes.most - nodes.least)),
        "all": (Range(0, 0), nodes),
    }
    groups = [
        Group(
            name=f"{TRAINING}-{kind}",
            nodes=share,
            slots=slots,
            gpus=slots if settings.device == "gpu" else 0,
            cpus=settings.node_cpus,
            memory_gb=settings.node_memory_gb,
            spot=kind == "spot",
        )
        for kind, share in zip(("on-demand", "spot"), shares[settings.spot], strict=True)
    ]
    plain = Range.parse(settings.cpu_nodes, "launch.cpu_nodes", smallest=0)
    groups.append(
        Group("cpu", plain, 0, 0, settings.cpu_node_cpus, settings.cpu_node_memory_gb, spot=settings.spot != "none")
    )
    return [group for group in groups if group.nodes.most]


def check_bounds(where: str, training: list[tuple[Range, int]], workers: Range) -> None:
    """Raise UsageError unless nodes, each group's as (range, workers of a node), hold exactly the range of workers."""
    least = sum(nodes.least * slots for nodes, slots in training)
    most = sum(nodes.most * slots for nodes, slots in training)
    slack = max((slots for _, slots in training), default=1)
    for end, held, wanted in (("smallest", least, workers.least), ("largest", most, workers.most)):
        if not wanted <= held < wanted + slack:
            raise UsageError(
                f"{where}: at its {end} the nodes hold {held} training workers, the run asks for {wanted} (workers "
                f"{workers}); change the groups' bounds or the run's workers"
            )
