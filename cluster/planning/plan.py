"""A plan: memory of a worker, hours, dollars and disk of a configuration."""

import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from cluster.planning.devices import ASSUMED_MFU, DEVICES, GB
from cluster.planning.forecast import CorpusForecast
from cluster.planning.memory import Memory, memory
from cluster.planning.probe import ProbeRequest, probe
from cluster.planning.replay import DTYPES
from cluster.planning.settings import PlanSettings
from cluster.planning.side_by_side import SideBySide
from cluster.planning.steps import Calibration, StepTime, assumed, calibrate, measured
from cluster.planning.trace import Footprint, Shape, footprint
from cluster.settings import PretrainSettings
from model.config import PRESETS, DocFormerV2Config
from model.tokenizer import load_tokenizer
from pipelines.errors import UsageError

STAGES = (0, 1, 2, 3)
# A CUDA context and the libraries' own allocations.
GPU_PROCESS_BYTES = 1.5 * GB


@dataclass(frozen=True)
class TrainingPlan:
    """Training with the configuration's workers.

    Attributes:
        workers, micro_batches: workers, and micro-batches of each in a step.
        step_s, hours: of a step, of the run.
        epochs: passes over the corpus.
        tokens: encoder and decoder positions of the run, visual ones and padding included.
        pages_a_second: that the feed must give, all workers together.
        dollars: on demand.
        limit: what takes most of a step.
    """

    workers: int
    micro_batches: int
    step_s: float
    hours: float
    epochs: float
    tokens: float
    pages_a_second: float
    dollars: float
    limit: str


class Planner:
    """Plans one configuration.

    Args:
        run: settings of the pretraining run.
        plan: what is assumed.
        pages: of the corpus.
        workers: of the run, at most.
        measure: measure on this machine, and plan for machines like it: on a CPU preset `tiny` and the operators of
            the model, on a GPU a step of the model itself (the operators are traced in the form that a CPU runs).
        told: what a sample of the sources says, if one was read.
        calibration: of this CPU at the run's ZeRO stage, if it was measured before.

    Raises:
        UsageError: a CPU is planned for without measuring: nobody states its peak; or a GPU is to be measured that is
            not here.
    """

    def __init__(
        self,
        run: PretrainSettings,
        plan: PlanSettings,
        pages: int,
        workers: int,
        measure: bool,
        told: CorpusForecast | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.run, self.plan, self.pages, self.workers, self.told = run, plan, pages, workers, told
        self.measured = measure
        self.on_cpu = plan.device == "cpu"
        if self.on_cpu and not measure:
            raise UsageError("plan.device is cpu: a CPU's speed must be measured; add --measure")
        bf16 = run.precision == "bf16" or (run.precision == "auto" and not self.on_cpu)
        self.precision = "bf16" if bf16 else "fp32"
        self.config = _config(run)
        targets = run.objectives
        text = plan.text_tokens or targets.max_text_tokens
        self.micro_batch = min(_micro_batch(run), math.ceil(run.global_batch_pages / workers))
        self.shape = Shape(self.micro_batch, text, targets.max_target_tokens, targets.line_pairs)
        self.model = self._footprint(self.config)
        self.calibration = calibration
        if measure:
            self.step_time = self._measured()
        else:
            self.step_time = self._assumed(workers)

    def _measured(self) -> StepTime:
        run = self.run
        if self.on_cpu:
            beside = _beside(run, self.workers)
            self.calibration = self.calibration or calibrate(
                self.precision, run.zero, lambda model: memory(model, run.zero, 1, self.precision).total, beside
            )
            checkpointing, parameters, known = run.activation_checkpointing, self.model.parameters, self.calibration
            return measured(self.config, self.shape, self.precision, checkpointing, parameters, known, beside)
        if not torch.cuda.is_available():
            raise UsageError(f"--measure: there is no {self.plan.device} here; measure there, or leave it out")
        request = ProbeRequest(
            self.config.to_dict(), asdict(self.shape), run.zero, self.precision, run.activation_checkpointing
        )
        seen = probe(request)
        exchange = self._assumed(self.workers).exchange  # one device alone exchanges nothing
        return StepTime(seen.forward_backward_s, seen.update_s, exchange)

    def memory(self, preset: str | None = None, zero: int | None = None) -> Memory:
        """Memory of one worker, for the configuration's own model or another preset."""
        model = self.model if preset is None else self._footprint(DocFormerV2Config.preset(preset))
        process = self.calibration.process_bytes if self.calibration else GPU_PROCESS_BYTES
        stage = self.run.zero if zero is None else zero
        copies = self.on_cpu and self.run.checkpoint_in_background
        return memory(model, stage, self.workers, self.precision, self.run.offload == "cpu", copies, process)

    def _footprint(self, config: DocFormerV2Config) -> Footprint:
        dtype, shape, checkpointing = DTYPES[self.precision], self.shape, self.run.activation_checkpointing
        model = footprint(config, shape, dtype, checkpointing)
        if self.on_cpu:
            return model
        # Traced with the CPU's attention, which keeps its weights; a GPU's fused one keeps none, and needs one layer's
        # scores for the gradient of the position bias.
        source, target = shape.text + config.visual_tokens, shape.targets
        a_layer = shape.pages * config.num_heads * dtype.itemsize
        decoder_layers = config.num_decoder_layers or config.num_layers
        kept = a_layer * (config.num_layers * source**2 + decoder_layers * target * (target + source))
        if self.run.activation_checkpointing:
            kept = a_layer * source**2
        return replace(model, activation_bytes=max(0, model.activation_bytes - kept) + a_layer * source**2)

    def _assumed(self, workers: int) -> StepTime:
        plan, device = self.plan, DEVICES[self.plan.device]
        link = device.link_bytes
        if workers > plan.devices_a_node:
            link = min(link, plan.node_link_gbit / 8 * 1e9 / plan.devices_a_node)
        mfu = plan.mfu or ASSUMED_MFU[self.run.preset]
        return assumed(self.config, self.shape, device, mfu, self.model.parameters, link, workers)

    def training(self) -> TrainingPlan:
        """Time, volume and price of the run."""
        run = self.run
        micro_batches = math.ceil(run.global_batch_pages / (self.workers * self.micro_batch))
        parts = {
            "arithmetic of the model": micro_batches * self.step_time.micro_batch,
            "the optimizer's update": self.step_time.update / (self.workers if run.zero else 1),
            "exchange between workers": self.step_time.exchange,
        }
        step = sum(parts.values())
        hours = step * run.steps / 3600
        samples = run.steps * run.global_batch_pages
        return TrainingPlan(
            workers=self.workers,
            micro_batches=micro_batches,
            step_s=step,
            hours=hours,
            epochs=samples / self.pages,
            tokens=float(samples) * (self.shape.text + self.config.visual_tokens + self.shape.targets),
            pages_a_second=run.global_batch_pages / step,
            dollars=hours * self.workers * self.price(spot=False),
            limit=max(parts, key=lambda name: parts[name]),
        )

    def price(self, spot: bool) -> float:
        """Dollars of one worker's device for an hour."""
        plan = self.plan
        if self.on_cpu:
            return plan.dollars_per_device_hour
        device = DEVICES[plan.device]
        if spot:
            return plan.spot_dollars_per_device_hour or device.spot_dollars
        return plan.dollars_per_device_hour or device.dollars

    def volumes(self) -> dict[str, float]:
        """Bytes on disk, and what the store costs in a month."""
        corpus = self.pages * self.plan.bytes_per_page
        checkpoint = 12.0 * self.model.parameters
        run = self.run
        for_good = run.steps // math.lcm(run.keep_every, run.checkpoint_every) if run.keep_every else 0
        kept = checkpoint * (for_good + run.keep_checkpoints + 1)  # one more while the newest is being written
        dollars = (corpus + kept) / 1e12 * self.plan.dollars_per_tb_month
        return {"corpus": corpus, "checkpoint": checkpoint, "checkpoints_kept": kept, "dollars_a_month": dollars}

    @property
    def devices_a_node(self) -> int:
        """Workers of one node."""
        return 1 if self.on_cpu else self.plan.devices_a_node

    def device_bytes(self) -> float:
        """Memory of the device that one worker has."""
        import psutil

        return float(psutil.virtual_memory().total) if self.on_cpu else DEVICES[self.plan.device].memory_bytes

    def matrix(self) -> dict[str, dict[int, float]]:
        """Bytes of one worker for each preset and ZeRO stage, other settings as they are."""
        return {preset: {zero: self.memory(preset, zero).total for zero in STAGES} for preset in PRESETS}


def _config(run: PretrainSettings) -> DocFormerV2Config:
    """The run's model; its vocabulary is its tokenizer's where that is here, else the preset's."""
    known = {"vocab_size": len(load_tokenizer(run.tokenizer))} if Path(run.tokenizer).is_dir() else {}
    return DocFormerV2Config.preset(run.preset, **{**known, **run.model})


def _beside(run: PretrainSettings, workers: int) -> SideBySide:
    """As many workers as this machine has a CPU for, each with its share of them."""
    cores = os.cpu_count() or 1
    here = min(workers, cores)
    return SideBySide(here, int(run.cpus_per_worker or cores / here) if here > 1 or run.cpus_per_worker else 0)


def _micro_batch(run: PretrainSettings) -> int:
    return run.micro_batch_pages if isinstance(run.micro_batch_pages, int) else 8
