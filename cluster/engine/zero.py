"""DeepSpeed's ZeRO engine behind a small interface: gradients, one update or none, and the state by named fragments.

A fragment is a run of one parameter, flattened, with its fp32 weights and Adam moments. The fragments of all ranks
together hold every element once, at any ZeRO stage and number of workers: they are what a checkpoint stores, so that it
can be read back at any other stage and number.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cluster.engine.deepspeed_import import import_deepspeed
from cluster.engine.gradients import PlainExchange, ZeroExchange
from cluster.engine.optimizer import GatedAdamW, parameter_groups
from cluster.engine.settings import EngineSettings, deepspeed_config, sums_dtype, sums_in_one_piece
from cluster.engine.weights import gather_by_broadcasts

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Fragment:
    """Elements start .. start + len of parameter `name`, flattened.

    Attributes:
        name: of the parameter, as in the model.
        start: first element.
        tensors: float32 [len] each: "weight" and Adam's "exp_avg" and "exp_avg_sq".
    """

    name: str
    start: int
    tensors: dict[str, Tensor]


class Engine:
    """A model on this rank, its optimizer spread over all ranks by ZeRO; torch.distributed must be up."""

    def __init__(self, model: nn.Module, settings: EngineSettings) -> None:
        self.settings = settings
        # Stage 0 has no fp32 weights beside bf16 ones; stage 1 on one worker is the same, with them.
        self.stage = max(settings.zero, 1) if settings.precision == "bf16" else settings.zero
        self.world_size = torch.distributed.get_world_size()
        self.rank = torch.distributed.get_rank()
        if settings.activation_checkpointing:
            enable: Any = model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        if settings.compile:
            model.compile()  # in place: parameters keep their names, DeepSpeed's hooks their gradients
        optimizer = GatedAdamW(
            parameter_groups(model, settings.weight_decay), lr=0.0, betas=(0.9, settings.beta2), fused=True
        )
        self._engine, self._optimizer, _, _ = import_deepspeed().initialize(
            model=model, optimizer=optimizer, config=deepspeed_config(settings, self.stage), dist_init_required=False
        )
        if torch.distributed.get_backend() == "gloo":
            gather_by_broadcasts()
        self._gradients: PlainExchange | ZeroExchange | None = None
        if sums_in_one_piece(settings, self.stage):
            of_zero = self.stage == 1
            self._gradients = (
                ZeroExchange(self._optimizer, sums_dtype(settings)) if of_zero else PlainExchange(self._engine)
            )
        if self.stage in (1, 2) and settings.precision == "fp32" and settings.offload == "none":
            self._keep_weights_once()
        self.module: nn.Module = self._engine.module
        self._inner: GatedAdamW = getattr(self._optimizer, "optimizer", self._optimizer)
        # Stage 0 in fp32 is the plain optimizer, for which DeepSpeed keeps no gradient norm.
        self._plain_update = self._inner is self._optimizer
        self._norm = math.nan
        self._create_moments()

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return torch.device(self._engine.device)

    def forward(self, batch: dict[str, Tensor], denominators: Tensor) -> Any:
        """The model's output on a micro-batch, its losses divided by the global batch's target counts [3]."""
        return self._engine(**batch, denominators=denominators, skip_logits=True)

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add a micro-batch's gradient; `loss` is its share of the global loss, `last` whether it ends the step."""
        self._engine.set_gradient_accumulation_boundary(last)
        if self._gradients is not None:
            self._gradients.begin(last)
            self._engine.backward(loss)
        else:  # DeepSpeed averages over the ranks; the shares must add up instead.
            self._engine.backward(loss * self.world_size)
        if not last:
            self._engine.step()

    def update(self, learning_rate: float, accept: Callable[[float], bool]) -> float:
        """After the step's last backward: update the weights if `accept(norm)`, and forget the gradient.

        Args:
            learning_rate: of this update.
            accept: called once with the norm of the whole gradient before clipping, the same on every rank, infinite
                where it is no number (DeepSpeed in fp32 then makes no update whatever the answer).

        Returns:
            The norm.
        """
        for group in self._inner.param_groups:
            group["lr"] = learning_rate
        if self._plain_update:
            self._norm = float(torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.gradient_clip))
        asked = False

        def gate() -> bool:
            nonlocal asked
            asked = True
            return accept(self._gradient_norm())

        with self._inner.gated(gate):
            self._engine.step()
        if not asked:  # DeepSpeed itself left the update out
            accept(self._gradient_norm())
        return self._gradient_norm()

    def _gradient_norm(self) -> float:
        norm = self._norm if self._plain_update else float(self._optimizer._global_grad_norm)
        # DeepSpeed says -1 of a norm that is no number, and under bf16 would go on with it.
        return norm if math.isfinite(norm) and norm >= 0 else math.inf

    def fragments(self) -> Iterator[Fragment]:
        """This rank's fragments, as views into the engine; only `load` writes into them."""
        parameters: Iterable[tuple[str, Any]] = self.module.named_parameters()  # DeepSpeed adds attributes to them
        for name, parameter in parameters:
            if hasattr(parameter, "ds_id"):
                yield from self._stage3_fragment(name, parameter)
            elif getattr(parameter, "_hp_mapping", None) is not None:
                mapping = parameter._hp_mapping
                tensors = {"weight": mapping.get_hp_fragment(), **{k: mapping.get_hp_fragment(k) for k in MOMENTS}}
                yield Fragment(name, int(mapping.lp_fragment_address.start), tensors)
            elif not hasattr(parameter, "_hp_mapping") and (self.rank == 0 or self._whole_everywhere):
                state = self._inner.state[parameter]
                yield Fragment(name, 0, {"weight": parameter.data.view(-1), **{k: state[k].view(-1) for k in MOMENTS}})

    # Stage 0 keeps everything on every rank: rank 0 stores it, every rank loads it.
    _whole_everywhere = False

    def _stage3_fragment(self, name: str, parameter: Any) -> Iterator[Fragment]:
        flat, start_in_flat, length = self._stage3_place(parameter)
        start = self.rank * parameter.ds_tensor.ds_numel
        length = min(length, parameter.ds_numel - start)
        if length > 0:
            state = self._inner.state[flat]
            views = {"weight": flat.data, **{k: state[k] for k in MOMENTS}}
            yield Fragment(name, start, {k: v.narrow(0, start_in_flat, length) for k, v in views.items()})

    def _stage3_place(self, parameter: Any) -> tuple[Tensor, int, int]:
        group, start, length = self._optimizer.grad_position[self._optimizer.get_param_id(parameter)]
        return self._optimizer.fp32_partitioned_groups_flat[group], int(start), int(length)

    @torch.no_grad()
    def load(self, read: Any, updates: int) -> None:
        """Set every fragment from `read(name, start, length) -> tensors`, and the number of updates made."""
        self._whole_everywhere = True
        try:
            for fragment in self.fragments():
                length = len(fragment.tensors["weight"])
                for key, value in read(fragment.name, fragment.start, length).items():
                    fragment.tensors[key].copy_(value)
        finally:
            self._whole_everywhere = False
        for state in self._inner.state.values():
            state["step"].fill_(updates)
        self._weights_changed()

    def _weights_changed(self) -> None:
        """Carry the fp32 weights over to the model's own parameters, on all ranks."""
        if self.stage == 3:
            self._optimizer._partition_all_parameters()
            parameters: Iterable[Any] = self.module.parameters()
            for parameter in parameters:
                flat, start, length = self._stage3_place(parameter)
                parameter.ds_tensor.data.copy_(flat.data.narrow(0, start, length).view_as(parameter.ds_tensor))
            # Small parameters stay gathered between steps: gather the new ones.
            kept = self._optimizer.persistent_parameters
            if kept:
                kept[0].all_gather(kept)
        elif not self._plain_update:
            self._optimizer.update_lp_params()

    def _keep_weights_once(self) -> None:
        """Have AdamW update the model's own weights, of which DeepSpeed keeps a copy for it, in fp32 too."""
        optimizer = self._optimizer
        for group, masters in enumerate(optimizer.single_partition_of_fp32_groups):
            rank = torch.distributed.get_rank(optimizer.real_dp_process_group[group])
            masters.data = optimizer.parallel_partitioned_bit16_groups[group][rank].data
        optimizer._link_all_hp_params()

    def _create_moments(self) -> None:
        """Give every tensor that AdamW updates here its moments now, so that they can be loaded before any step."""
        if self.stage == 3:
            held = self._optimizer.fp32_partitioned_groups_flat
        else:
            held = [parameter for group in self._inner.param_groups for parameter in group["params"]]
        for tensor in held:
            moments = {key: torch.zeros_like(tensor, requires_grad=False) for key in MOMENTS}
            self._inner.state[tensor] = {"step": torch.zeros((), device=tensor.device), **moments}
        if hasattr(self._optimizer, "_lazy_init_hp_params_optimizer_state"):
            self._optimizer._lazy_init_hp_params_optimizer_state()
