"""The training loop of `docformer pretrain` beside a bare PyTorch loop with the same model, at ZeRO 0 to 3.

    python tests/benchmarks/training.py                        # small; on a CPU in fp32, on CUDA in bf16
    python tests/benchmarks/training.py --zero 1 --processes 2
    python tests/benchmarks/training.py --preset base --global-batch 128 --micro-batch 64 --rounds 50

For each stage the real run trains on a generated corpus, and before each of its steps a bare loop makes the same step
on the same micro-batches, already in memory: forward, backward, clipping, fused AdamW, and DDP among several processes.
Both thus share every moment of the machine, and the ratio is the median over the rounds of bare seconds / loop seconds
(of process CPU time too, which other programs disturb less). A step of the run is all that the loop does between two
batches: host collectives, logging, watchdog and stop requests included. Afterwards the run goes on alone, for its wait
for data, and writes two checkpoints for what they cost. Targets: ratio 0.95 at stage 1, wait 2 % of a step, checkpoints
0.2 s per GB, first batch 10 s after the start of the worker.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp

# A script's own folder comes first on the path, and a file beside this one would hide the package of its name.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cluster.runs.folder import RunFolder  # noqa: E402
from cluster.runs.resume import prepare  # noqa: E402
from cluster.settings import PretrainSettings  # noqa: E402
from model.tokenizer import train_tokenizer  # noqa: E402
from tests.benchmarks.samples import write_corpus  # noqa: E402
from tests.model.rows import words_of  # noqa: E402

ALONE_STEPS = 4
GB = 1e9


def bf16(settings: PretrainSettings, device: torch.device) -> bool:
    """Whether the run's forward is in bf16."""
    return settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")


class BareLoop:
    """A plain training loop's step: nothing but the model, its optimizer, and DDP where there are several processes."""

    def __init__(self, settings: PretrainSettings, device: torch.device) -> None:
        from cluster.training.assemble import assemble, new_model

        self._linear = torch.nn.functional.linear
        self._clip, self._device = settings.gradient_clip, device
        self._module = new_model(settings, assemble(settings))[0].to(device).train()
        self._bf16 = bf16(settings, device)
        if self._bf16:
            self._module = self._module.bfloat16()
        self._weights = list(self._module.parameters())
        self._masters = [w.detach().float() for w in self._weights] if self._bf16 else self._weights
        self._optimizer = torch.optim.AdamW(self._masters, lr=1e-5, betas=(0.9, settings.beta2), fused=True)
        self._call: Any = self._module
        if torch.distributed.get_world_size() > 1:
            self._call = torch.nn.parallel.DistributedDataParallel(self._module)

    def step(self, micro_batches: list[dict[str, torch.Tensor]], targets: torch.Tensor) -> None:
        # DeepSpeed's stage 3 puts a slower function of its own in this place, for the whole process.
        replaced, torch.nn.functional.linear = torch.nn.functional.linear, self._linear
        try:
            self._step(micro_batches, targets.to(self._device, torch.float32))
        finally:
            torch.nn.functional.linear = replaced

    def _step(self, micro_batches: list[dict[str, torch.Tensor]], targets: torch.Tensor) -> None:
        for place, inputs in enumerate(micro_batches, 1):
            if self._call is not self._module:
                self._call.require_backward_grad_sync = place == len(micro_batches)
            self._call(**inputs, denominators=targets, skip_logits=True).loss.backward()
        if self._bf16:
            for master, weight in zip(self._masters, self._weights, strict=True):
                master.grad = None if weight.grad is None else weight.grad.float()
        torch.nn.utils.clip_grad_norm_(self._masters, self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._module.zero_grad(set_to_none=True)
        if self._bf16:
            with torch.no_grad():
                torch._foreach_copy_(self._weights, self._masters)


class Clock:
    """Seconds and CPU seconds between two looks, the GPU's work done."""

    def __init__(self) -> None:
        self._last = (0.0, 0.0)

    def lap(self) -> tuple[float, float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = (time.perf_counter(), time.process_time())
        before, self._last = self._last, now
        return now[0] - before[0], now[1] - before[1]


def run_beside_bare(settings: PretrainSettings, rounds: int, warm_up: int, started: float) -> dict[str, Any]:
    """Train the run of `settings`; in its first steps a bare step goes before each of its own."""
    from cluster.samples.feed import Feed, StepBatch
    from cluster.training.loop import train

    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    clock, bare = Clock(), BareLoop(settings, device)
    seconds: dict[str, list[tuple[float, float]]] = {"bare": [], "loop": []}
    found: dict[str, Any] = {}
    real = Feed.steps

    def steps(feed: Feed, *args: Any) -> Iterator[StepBatch]:
        asked = time.time()
        for place, batch in enumerate(real(feed, *args)):
            found.setdefault("first_batch", time.time() - started)
            found.setdefault("first_batch_from_feed", time.time() - asked)
            if place >= rounds + warm_up:
                yield batch
                continue
            micro_batches = [{k: v.to(device) for k, v in inputs.items()} for inputs in batch.micro_batches]
            torch.distributed.barrier()
            clock.lap()
            bare.step(micro_batches, batch.counts[:3])
            seconds["bare"].append(clock.lap())
            yield batch
            seconds["loop"].append(clock.lap())

    Feed.steps = steps  # type: ignore[method-assign, assignment]
    try:
        train(settings)
    finally:
        Feed.steps = real  # type: ignore[method-assign]
    kept = {name: values[warm_up:] for name, values in seconds.items()}
    for kind, part in (("ratio", 0), ("cpu_ratio", 1)):
        ratios = [b[part] / a[part] for b, a in zip(kept["bare"], kept["loop"], strict=True)]
        found[kind] = statistics.median(ratios)
        found[f"{kind}s"] = ratios
    for name in kept:
        found[f"{name}_samples_per_second"] = settings.global_batch_pages / statistics.median(s for s, _ in kept[name])
    return found


def worker(rank: int, args: argparse.Namespace, text: str, meeting: str, spawned: float, out: str) -> None:
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(args.processes)})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(args.threads)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=args.processes)
    settings = PretrainSettings.model_validate_json(text)
    found = run_beside_bare(settings, args.rounds, args.warm_up, spawned)
    if rank == 0:
        Path(out).write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def measure(args: argparse.Namespace, zero: int, folder: Path) -> dict[str, Any]:
    """One stage, in processes of its own: what the loop and the bare loop took."""
    steps = args.warm_up + args.rounds + ALONE_STEPS
    settings = PretrainSettings.model_validate(
        {
            "corpus": str(folder / "corpus"),
            "tokenizer": str(folder / "tokenizer"),
            "out": str(folder / f"run-{zero}"),
            "preset": args.preset,
            "steps": steps,
            "global_batch_pages": args.global_batch,
            "micro_batch_pages": args.micro_batch,
            "eval_pages": 1,
            "eval_every": 10**6,
            "checkpoint_every": steps - ALONE_STEPS // 2,
            "workers": args.processes,
            "ray": False,
            "zero": zero,
            "precision": args.precision,
            "feed_processes": args.feed_processes,
        }
    )
    run = RunFolder(settings.out)
    prepare(run, settings, {}, resume=False)
    meeting, out = folder / f"meeting-{zero}", folder / f"found-{zero}.json"
    mp.spawn(
        worker,
        (args, settings.model_dump_json(), str(meeting), time.time(), str(out)),
        nprocs=args.processes,
    )
    found: dict[str, Any] = {"zero": zero, **json.loads(out.read_text())}
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    alone = [line for line in lines if line["split"] == "train"][-ALONE_STEPS:]
    found["data_wait"] = sum(line["data_wait"] for line in alone) / sum(line["step_seconds"] for line in alone)
    found["mfu"] = statistics.median(line["mfu"] or 0.0 for line in alone)  # where the device's peak is known
    checkpoints = run.noted("checkpoint")
    found["checkpoint_gb"] = checkpoints[0]["bytes"] / GB
    found["stalled_s_per_gb"] = [event["stalled"] / (event["bytes"] / GB) for event in checkpoints]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    parser.add_argument("--preset", default="small")
    parser.add_argument("--zero", type=int, nargs="+", default=[1, 0, 2, 3])
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of each process; default: its share of the CPUs")
    parser.add_argument("--global-batch", type=int, default=128 if gpu else 4)
    parser.add_argument("--micro-batch", type=int, default=64 if gpu else 2)
    parser.add_argument("--rounds", type=int, default=30 if gpu else 4)
    parser.add_argument("--warm-up", type=int, default=3 if gpu else 1)
    parser.add_argument("--pages", type=int, default=512 if gpu else 96, help="of the generated corpus")
    parser.add_argument("--words", type=int, default=400, help="of a page")
    parser.add_argument("--feed-processes", type=int, default=4 if gpu else 0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.threads = args.threads or max(1, (os.cpu_count() or 1) // args.processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    if not gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    print(f"{args.preset}, precision {args.precision}, global batch {args.global_batch}, ", end="")
    print(f"micro-batch {args.micro_batch}, {args.processes} processes of {args.threads} threads, ", end="")
    print(platform.processor() or platform.machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "corpus", args.pages, args.words)
        train_tokenizer([words_of(400, seed) for seed in range(8)], folder / "tokenizer", vocab_size=2_000)
        rows = []
        for zero in args.zero:
            rows.append(measure(args, zero, folder))
            if args.json:
                print(json.dumps(rows[-1]), flush=True)
    print("zero   loop s/s   bare s/s   ratio (CPU time)      MFU   data wait   checkpoint stall   first batch")
    for row in rows:
        stalls = " ".join(f"{stall:.3f}" for stall in row["stalled_s_per_gb"])
        print(
            f"{row['zero']:4d} {row['loop_samples_per_second']:10.2f} {row['bare_samples_per_second']:10.2f} "
            f"{row['ratio']:7.3f} ({row['cpu_ratio']:.3f}) {100 * row['mfu']:8.1f} % "
            f"{100 * row['data_wait']:10.2f} % {stalls:>14s} s/GB "
            f"{row['first_batch']:8.1f} s (feed {row['first_batch_from_feed']:.2f} s)"
        )


if __name__ == "__main__":
    main()
