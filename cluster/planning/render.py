"""A plan as text for a person and as JSON for a program."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cluster.planning.by_nodes import build_on_nodes, on_spot_nodes
from cluster.planning.devices import GB
from cluster.planning.forecast import CorpusForecast
from cluster.planning.limits import limits
from cluster.planning.plan import STAGES, Planner
from cluster.stages import duration


def as_dict(planner: Planner) -> dict[str, Any]:
    """The whole plan, bytes and seconds as numbers."""
    own, build = planner.memory(), build_on_nodes(planner)
    return {
        "parameters": planner.model.parameters,
        "precision": planner.precision,
        "device": planner.plan.device,
        "measured": planner.measured,
        "shape": asdict(planner.shape),
        "memory": {**asdict(own), "total": own.total, "device": planner.device_bytes()},
        "memory_by_preset_and_stage": planner.matrix(),
        "training": asdict(planner.training()),
        "devices_a_node": planner.devices_a_node,
        "elastic": on_spot_nodes(planner),
        "corpus": build,
        "corpus_here": told_as_dict(planner.told) if planner.told else None,
        "volumes": planner.volumes(),
        "limits": limits(planner, build),
    }


def told_as_dict(told: CorpusForecast) -> dict[str, Any]:
    """The forecast of a corpus with its sums."""
    return {**asdict(told), "pages": told.pages, "taken": told.taken}


def as_text(plan: dict[str, Any]) -> str:
    """`as_dict`'s plan, with whether its launch files fit, for a terminal."""
    own, training, volumes, shape = plan["memory"], plan["training"], plan["volumes"], plan["shape"]
    source = "measured here" if plan["measured"] else "assumed, not measured: --measure on such a machine"
    total = f"{own['total'] / GB:.2f} of {own['device'] / GB:.0f} GB"
    parts = ", ".join(f"{name} {own[name] / GB:.2f}" for name in own if name not in ("total", "device"))
    blocks = [
        f"{plan['parameters'] / 1e6:.1f} M parameters, {plan['precision']}, {plan['device']}, {shape['pages']} pages a "
        f"forward of {shape['text']} text and {shape['targets']} target positions",
        f"memory of a worker: {total} ({parts})",
        "memory of a worker by preset and ZeRO stage, GB\n"
        + table(
            ["preset", *(f"zero {stage}" for stage in STAGES)],
            [
                [preset, *(f"{by_stage[stage] / GB:.2f}" for stage in STAGES)]
                for preset, by_stage in plan["memory_by_preset_and_stage"].items()
            ],
        ),
        f"training ({source}): {training['hours']:.2f} h, {training['step_s']:.3f} s a step on {training['workers']} "
        f"workers of {training['micro_batches']} micro-batches, {training['epochs']:.3g} epochs, "
        f"{training['tokens'] / 1e9:.2f} G tokens, ${training['dollars']:,.0f}",
        f"the same run on spot nodes of {plan['devices_a_node']}, simulated\n"
        + table(
            ["nodes", "hours", "undisturbed", "nodes lost", "$ spot", "$ on demand"],
            [
                [
                    f"{row['nodes']}",
                    f"{row['hours']:.2f}",
                    f"{row['hours_undisturbed']:.2f}",
                    f"{row['nodes_lost']}",
                    f"{row['dollars_spot']:,.0f}",
                    f"{row['dollars_on_demand']:,.0f}",
                ]
                for row in plan["elastic"]
            ],
        ),
        *corpus_here(plan["corpus_here"]),
        "building the corpus, simulated\n"
        + table(
            ["nodes", "hours", "pages/s", "cores busy", "$"],
            [
                [
                    f"{row['nodes']}",
                    f"{row['hours']:.2f}",
                    f"{row['pages_a_second']:,.0f}",
                    f"{row['cores_busy']:.0%}",
                    f"{row['dollars']:,.0f}",
                ]
                for row in plan["corpus"]
            ],
        ),
        f"disk: corpus {volumes['corpus'] / 1e12:.3f} TB, a checkpoint {volumes['checkpoint'] / GB:.2f} GB, kept "
        f"{volumes['checkpoints_kept'] / GB:.2f} GB; ${volumes['dollars_a_month']:,.0f} a month",
        "what limits\n" + "\n".join(f"  {line}" for line in plan["limits"]),
    ]
    if plan["launch_files"]:
        lines = [f"  {target}: {how}" for target, how in plan["launch_files"].items()]
        blocks.append("launch files, checked and not written\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def corpus_here(told: dict[str, Any] | None) -> list[str]:
    """The block about the corpus on this machine, where a sample of it was read."""
    if told is None:
        return []
    rows = [
        [kind, f"{cost['pages']:,.0f}", f"{cost['read']}", f"{cost['seconds']:.3f}", f"{cost['page_bytes'] / 1e3:.0f}"]
        for kind, cost in told["costs"].items()
    ]
    head = (
        f"the corpus on this machine (a sample was read in {told['measuring_s']:.0f} s): {duration(told['seconds'])}, "
        f"{told['taken']:,.0f} of {told['pages']:,.0f} pages taken, {told['corpus_bytes'] / GB:.3f} GB"
    )
    return [head + "\n" + table(["pages by kind", "pages", "read", "s a page", "kB a page"], rows)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the right, but for the first."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for first, *others in [head, *rows]:
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)
