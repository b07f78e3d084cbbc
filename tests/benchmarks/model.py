"""Training step of DocFormerV2 beside transformers' T5 and UDOP of the same size and lengths, in one run.

    python tests/benchmarks/model.py            # on CUDA all that follows; on CPUs small, eager
    python tests/benchmarks/model.py --compile  # compiled models too
    python tests/benchmarks/model.py --preset base --batch 64 --compile
    python tests/benchmarks/model.py --attention  # table of attention paths by length
    python tests/benchmarks/model.py --all      # small, base and large with MFU, then the table

A step is forward, backward, AdamW and clearing the gradients. "bf16" is bf16 weights with fp32 copies that AdamW
updates, as in a training run under DeepSpeed; "autocast" is bf16 products over fp32 weights, as transformers' Trainer
trains with bf16=True. All three are alike unless `--peers autocast` lets the peers train as their own library does;
`--peers bf16 autocast` measures both.
Every model gets as many encoder positions (text and picture together) and decoder positions. The rounds go in turn
through the models, so that a busy moment of the machine strikes all of them; the best and the median are printed.
"""

import argparse
import contextlib
import gc
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

# Huge pages for large tensors: 6 to 14 % of a step's CPU time for all three models. Read at the first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# A script's own folder comes first on the path, and this file would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from model.config import ATTENTION_PATHS, DocFormerV2Config  # noqa: E402
from model.flops import RULE, mfu, step_flops  # noqa: E402
from tests.benchmarks.attention_paths import attention_table  # noqa: E402
from tests.benchmarks.peers import MODELS  # noqa: E402

# Presets with the batch that fills a large GPU well.
ALL = {"small": 128, "base": 64, "large": 24}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "autocast": torch.bfloat16}


class Runner:
    """One model with its optimizer, ready to take steps."""

    def __init__(self, name: str, args: argparse.Namespace, dtype: str, compiled: bool) -> None:
        torch.manual_seed(0)
        self.name, self.device = form(name, dtype, compiled), torch.device(args.device)
        module, batch = MODELS[name](args)
        self.module = module.to(self.device, torch.bfloat16 if dtype == "bf16" else torch.float32).train()
        self.batch = {k: v.to(self.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        if dtype == "bf16" and "pixel_values" in batch and batch["pixel_values"].is_floating_point():
            self.batch["pixel_values"] = self.batch["pixel_values"].bfloat16()
        self.call = torch.compile(self.module) if compiled else self.module
        self.weights = list(self.module.parameters())
        self.masters = self.weights
        if dtype == "bf16":
            self.masters = [weight.detach().float() for weight in self.weights]
        self.optimizer = torch.optim.AdamW(self.masters, lr=1e-4, fused=True)
        self.autocast: Any = contextlib.nullcontext()
        if dtype == "autocast":
            self.autocast = torch.autocast(self.device.type, torch.bfloat16)
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def step(self) -> None:
        with self.autocast:
            loss = self.call(**self.batch).loss
        loss.backward()
        if self.masters is not self.weights:
            for master, weight in zip(self.masters, self.weights, strict=True):
                if weight.grad is not None:
                    master.grad = torch.empty_like(master) if master.grad is None else master.grad
                    master.grad.copy_(weight.grad)
        self.optimizer.step()
        self.module.zero_grad(set_to_none=True)
        if self.masters is not self.weights:
            with torch.no_grad():
                torch._foreach_copy_(self.weights, self.masters)

    def release(self) -> None:
        """Give the device's memory back; the seconds stay."""
        del self.module, self.call, self.batch, self.weights, self.masters, self.optimizer
        gc.collect()
        torch.cuda.empty_cache()

    def timed_step(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        start, cpu_start = time.perf_counter(), time.process_time()
        self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - start)
        self.cpu_seconds.append(time.process_time() - cpu_start)


def form(name: str, dtype: str, compiled: bool) -> str:
    """A model as a row of the table is named."""
    return f"{name} {dtype}{' compiled' if compiled else ''}"


def ready(name: str, args: argparse.Namespace, dtype: str, compiled: bool) -> "Runner | None":
    """A runner after its warm-up, or None where the model cannot run this way here; that leaves the others."""
    try:
        runner = Runner(name, args, dtype, compiled)
        for _ in range(args.warm_up):
            runner.step()
    except Exception as error:
        print(f"{form(name, dtype, compiled)}: {type(error).__name__}: {str(error).splitlines()[0]}")
        return None
    return runner


def compare(args: argparse.Namespace) -> list[dict[str, Any]]:
    forms = [
        (name, dtype, compiled)
        for compiled in ([False, True] if args.compile else [False])
        for name in args.models
        for dtype in ([args.dtype] if name == "docformerv2" else args.peers)
    ]
    runners = []
    for name, dtype, compiled in forms:
        runner = ready(name, args, dtype, compiled)
        if runner is None:
            torch.cuda.empty_cache()
            continue
        runners.append(runner)
        if args.device == "cuda":  # nothing disturbs a GPU: one model after the other, so that one is in its memory
            for _ in range(args.rounds):
                runner.timed_step()
            runner.release()
    if args.device != "cuda":
        for _ in range(args.rounds):
            for runner in runners:
                runner.timed_step()
    config = DocFormerV2Config.preset(args.preset)
    flops = step_flops(config, args.positions - config.visual_tokens, args.targets, pairs=64).total
    rows = []
    for runner in runners:
        best, median = min(runner.seconds), statistics.median(runner.seconds)
        row = {
            "model": runner.name,
            "samples_per_second_best": args.batch / best,
            "samples_per_second_median": args.batch / median,
            "seconds": runner.seconds,
            "tokens_per_second_median": args.batch * (args.positions + args.targets) / median,
            "cpu_seconds_per_step": statistics.median(runner.cpu_seconds),
            "mfu": None,
        }
        if runner.name.startswith("docformerv2"):
            row["mfu"] = mfu(flops * args.batch / median, runner.device, DTYPES[args.dtype])
        rows.append(row)
    return rows


def print_comparison(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'model':28s} {'samples/s best':>15s} {'median':>8s} {'tokens/s':>10s} {'CPU s/step':>11s} {'MFU':>6s}")
    for row in rows:
        share = "-" if row["mfu"] is None else f"{100 * row['mfu']:.1f}%"
        print(
            f"{row['model']:28s} {row['samples_per_second_best']:15.3f} {row['samples_per_second_median']:8.3f} "
            f"{row['tokens_per_second_median']:10.0f} {row['cpu_seconds_per_step']:11.2f} {share:>6s}"
        )
    own = [row for row in rows if row["model"].startswith("docformerv2")]
    if own:
        ours = max(own, key=lambda row: row["samples_per_second_median"])
        for theirs in (row for row in rows if row not in own):
            # Round by round, so that a busy moment counts on both sides.
            ratios = sorted(b / a for a, b in zip(ours["seconds"], theirs["seconds"], strict=True))
            print(
                f"{ours['model']} / {theirs['model']}: {statistics.median(ratios):.2f} times the samples/s "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f} over {len(ratios)} rounds; CPU time "
                f"{theirs['cpu_seconds_per_step'] / ours['cpu_seconds_per_step']:.2f})"
            )


def has_fast_bf16(device: str) -> bool:
    """Whether bf16 products are quicker than fp32 ones: every CUDA device here, and CPUs that say so."""
    if device != "cpu":
        return True
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small", choices=["tiny", "small", "base", "large"])
    parser.add_argument("--batch", type=int, default=2, help="samples a step")
    parser.add_argument("--positions", type=int, default=640, help="encoder positions, text and picture together")
    parser.add_argument("--targets", type=int, default=128, help="decoder positions")
    parser.add_argument("--padding", type=float, default=0.0, help="mean share 0..0.5 of padded text positions")
    parser.add_argument("--dtype", choices=list(DTYPES), help="bf16 where the device has it in hardware, else fp32")
    parser.add_argument("--peers", nargs="+", choices=list(DTYPES), help="of the peers where it differs from --dtype")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (all cores by default)")
    parser.add_argument("--path", default="auto", choices=ATTENTION_PATHS, help="attention path of docformerv2")
    parser.add_argument("--matmul", default="highest", choices=["highest", "high", "medium"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--compile", action="store_true", help="measure compiled models too")
    parser.add_argument("--rounds", type=int, help="timed steps of each model (5; on CUDA 20)")
    parser.add_argument("--warm-up", type=int, help="steps before them (1; on CUDA 3)")
    parser.add_argument("--attention", action="store_true", help="the table of attention paths instead")
    parser.add_argument("--all", action="store_true", help="three presets compiled, then the table; CUDA's default")
    parser.add_argument("--lengths", type=int, nargs="+", default=[288, 640, 1152], help="for --attention")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.dtype = args.dtype or ("bf16" if has_fast_bf16(args.device) else "fp32")
    args.peers = args.peers or [args.dtype]
    args.all = args.all or (args.device == "cuda" and len(sys.argv) == 1)
    args.rounds = args.rounds or (20 if args.device == "cuda" else 5)
    args.warm_up = args.warm_up or (3 if args.device == "cuda" else 1)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision(args.matmul)
    machine = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.processor() or 'CPU'}"
    print(
        f"{machine}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch "
        f"{torch.__version__}, load {os.getloadavg()[0]:.1f}; {args.preset}, batch {args.batch}, "
        f"{args.positions} + {args.targets} positions, {args.dtype} (peers {', '.join(args.peers)}), "
        f"matmul {args.matmul}\n{RULE}"
    )
    rows = []
    if args.all:
        args.compile = True
        for args.preset, args.batch in ALL.items():
            print(f"\n{args.preset}, batch {args.batch}")
            measured = compare(args)
            print_comparison(measured)
            rows += measured
        args.preset, args.batch = "base", 32
    if args.attention or args.all:
        device, dtype = torch.device(args.device), DTYPES[args.dtype]
        rows += attention_table(args.preset, args.batch, args.lengths, device, dtype, args.warm_up, args.rounds)
    else:
        rows = compare(args)
        print_comparison(rows)
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
