"""A plan as text for a person and as JSON for a program."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.figures import amount, figure
from cluster.planning.by_nodes import build_on_nodes, on_spot_nodes
from cluster.planning.devices import GB
from cluster.planning.forecast import CorpusForecast
from cluster.planning.limits import limits
from cluster.planning.plan import STAGES, Planner
from cluster.stages import duration


def as_dict(planner: Planner, pages_from: str) -> dict[str, Any]:
    """The whole plan, bytes and seconds as numbers; `pages_from` says whose pages are reckoned with."""
    own, build = planner.memory(), build_on_nodes(planner)
    return {
        "pages": planner.pages,
        "pages_from": pages_from,
        "parameters": planner.model.parameters,
        "vocabulary_from": planner.run.tokenizer if Path(planner.run.tokenizer).is_dir() else "the preset",
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
        f"{plan['pages']:,} pages: {plan['pages_from']}",
        f"{plan['parameters'] / 1e6:.1f} M parameters with the vocabulary of {plan['vocabulary_from']}, "
        f"{plan['precision']}, {plan['device']}, {shape['pages']} pages a forward of {shape['text']} text and "
        f"{shape['targets']} target positions",
        f"memory of a worker: {total} ({parts})",
        "memory of a worker by preset and ZeRO stage, GB\n"
        + table(
            ["preset", *(f"zero {stage}" for stage in STAGES)],
            [
                [preset, *(f"{by_stage[stage] / GB:.2f}" for stage in STAGES)]
                for preset, by_stage in plan["memory_by_preset_and_stage"].items()
            ],
        ),
        f"training ({source}): {figure(training['hours'])} h, {figure(training['step_s'])} s a step on "
        f"{training['workers']} workers of {training['micro_batches']} micro-batches, {training['epochs']:.3g} epochs, "
        f"{amount(training['tokens'], ' tokens')}, ${figure(training['dollars'])}",
        f"the same run on spot nodes of {plan['devices_a_node']}, simulated\n"
        + table(
            ["nodes", "hours", "undisturbed", "nodes lost", "$ spot", "$ on demand"],
            [
                [
                    f"{row['nodes']}",
                    figure(row["hours"]),
                    figure(row["hours_undisturbed"]),
                    f"{row['nodes_lost']}",
                    figure(row["dollars_spot"]),
                    figure(row["dollars_on_demand"]),
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
                    figure(row["hours"]),
                    figure(row["pages_a_second"]),
                    f"{figure(100 * row['cores_busy'])}%",
                    figure(row["dollars"]),
                ]
                for row in plan["corpus"]
            ],
        ),
        f"disk: corpus {amount(volumes['corpus'], 'B')}, a checkpoint {amount(volumes['checkpoint'], 'B')}, kept "
        f"{amount(volumes['checkpoints_kept'], 'B')}; ${figure(volumes['dollars_a_month'])} a month",
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
        f"{told['taken']:,.0f} of {told['pages']:,.0f} pages taken, {amount(told['corpus_bytes'], 'B')}"
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
