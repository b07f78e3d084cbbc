"""One micro-batch's forward and backward by shape alone: every operator it calls, and the memory that it holds at most.

The model runs on fake tensors, which have shapes and no data: any size can be traced on any machine within seconds.
What depends on data is taken at its largest: no padding, a target at every position.
"""

import json
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration

aten = torch.ops.aten
# The C library gives a block larger than this back to the system as soon as it is freed (glibc's M_MMAP_THRESHOLD at
# its most), and what it holds below it at the end of a step: both are paid for again page by page.
LARGE_BLOCK = 32 << 20
# Take an index by a mask as an index by every place: the largest that it can select.
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index_put.default)


@dataclass(frozen=True)
class Shape:
    """Sizes of a micro-batch: pages, text positions, target positions, pairs of token-to-line."""

    pages: int
    text: int
    targets: int
    pairs: int


@dataclass(frozen=True)
class TensorSpec:
    """A tensor without its data."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Operator:
    """A call of one operator, tensors as `TensorSpec`s; equal calls cost the same."""

    function: Any
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Trace:
    """What one micro-batch does.

    Attributes:
        parameters: elements of the model's parameters.
        operators: how often each operator that computes something is called.
        activation_bytes: the most that is held at once besides weights and gradients.
        fresh_bytes: of host memory that a CPU gets from the system for it: large blocks each time, small ones once.
        cold_bytes: that operators read when they have left a CPU's cache.
    """

    parameters: int
    operators: Counter[Operator]
    activation_bytes: int
    fresh_bytes: int
    cold_bytes: int


def trace(
    config: DocFormerV2Config, shape: Shape, dtype: torch.dtype, checkpointing: bool = False, cache_bytes: int = 0
) -> Trace:
    """Trace a training micro-batch of the model of `config`, weights of type `dtype`, on a CPU with such a cache."""
    with FakeTensorMode(), _default_dtype(dtype):
        model: Any = DocFormerV2ForConditionalGeneration(config).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        batch = largest_batch(config, shape)
        recorder = _Recorder(cache_bytes)
        for parameter in model.parameters():  # from the second micro-batch of a step on all gradients are held
            parameter.grad = torch.zeros_like(parameter)
        recorder.forget(tensor for p in model.parameters() for tensor in (p, p.grad))
        with recorder:
            model(**batch).loss.backward()
        parameters = sum(p.numel() for p in model.parameters())
    return Trace(parameters, recorder.operators, recorder.peak, recorder.large + recorder.small_peak, recorder.cold)


@dataclass(frozen=True)
class Footprint:
    """What a micro-batch holds: elements of the parameters, bytes besides weights and gradients at most."""

    parameters: int
    activation_bytes: int


def footprint(config: DocFormerV2Config, shape: Shape, dtype: torch.dtype, checkpointing: bool = False) -> Footprint:
    """`trace`'s memory for any size, from three small traces: bytes grow with pages, and with pages times layers."""
    layers, decoder_layers = config.num_layers, config.num_decoder_layers or config.num_layers

    def small(pages: int, deep: int) -> Footprint:
        decoder = round(deep * decoder_layers / layers)
        fewer = {**config.to_dict(), "num_layers": deep, "num_decoder_layers": decoder}
        return _traced(json.dumps(fewer, sort_keys=True), replace(shape, pages=pages), dtype, checkpointing)

    if shape.pages <= 2 and layers <= 6:
        return small(shape.pages, layers)
    # At fewer than four layers the output layer, not the depth, decides when most is held.
    # Nor does the first page say what another costs.
    two, three, deeper = small(2, 4), small(3, 4), small(2, 6)
    a_layer = (deeper.parameters - two.parameters) / 2
    a_page_layer = (deeper.activation_bytes - two.activation_bytes) / 4
    a_page = three.activation_bytes - two.activation_bytes
    held = two.activation_bytes + a_page * (shape.pages - 2) + a_page_layer * shape.pages * (layers - 4)
    return Footprint(round(two.parameters + a_layer * (layers - 4)), round(held))


@lru_cache(maxsize=256)
def _traced(config: str, shape: Shape, dtype: torch.dtype, checkpointing: bool) -> Footprint:
    """The footprint of one trace; a plan asks for the same ones again at other numbers of pages."""
    whole = trace(DocFormerV2Config.from_dict(json.loads(config)), shape, dtype, checkpointing)
    return Footprint(whole.parameters, whole.activation_bytes)


def largest_batch(config: DocFormerV2Config, shape: Shape, device: str = "cpu") -> dict[str, Any]:
    """Inputs of the model of the largest lengths that `shape` allows, without padding."""
    pages, text, targets, pairs = shape.pages, shape.text, shape.targets, shape.pairs
    with torch.device(device):
        return {
            "input_ids": torch.ones(pages, text, dtype=torch.long),
            "bbox": torch.zeros(pages, text, 4, dtype=torch.long),
            "bbox_hidden": torch.zeros(pages, text, dtype=torch.bool),
            "pixel_values": torch.zeros(pages, 3, config.image_height, config.image_width, dtype=torch.uint8),
            "labels": torch.ones(pages, targets, dtype=torch.long),
            "line_pairs": torch.zeros(pages, pairs, 2, dtype=torch.long),
            "line_targets": torch.zeros(pages, pairs, dtype=torch.long),
            "grid_targets": torch.zeros(pages, text, dtype=torch.long),
            "skip_logits": True,
        }


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators and follows the bytes that are alive."""

    def __init__(self, cache_bytes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cache_bytes = cache_bytes
        self.forget(())

    def forget(self, held: Iterable[Tensor | None]) -> None:
        """Start anew; what is `held` now does not count."""
        self.operators: Counter[Operator] = Counter()
        self.live = self.peak = 0
        self.large = self.small = self.small_peak = 0
        self.cold = self._cached_bytes = 0
        self._cached: OrderedDict[int, int] = OrderedDict()  # bytes of each storage, the one used last at the end
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in held if tensor is not None)
        self._round = object()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is aten._local_scalar_dense.default:
            return 0
        if function is aten.equal.default:
            return True
        if function in INDEXING:
            args = (args[0], _places(args[1]), *args[2:])
        out = function(*args, **kwargs)
        for tensor in _tensors(out):
            self._follow(tensor)
        if not function.is_view and function is not aten.detach.default:
            self.cold += sum(self._read(tensor) for tensor in _tensors((args, *kwargs.values())))
            for tensor in _tensors(out):
                self._read(tensor)
            named = tuple(sorted((name, _spec(value)) for name, value in kwargs.items()))
            self.operators[Operator(function, _spec(args), named)] += 1
        return out

    def _read(self, tensor: Tensor) -> int:
        """Take a tensor into the cache, which drops what was used longest ago; the bytes that were not there."""
        storage = tensor.untyped_storage()._cdata
        size = tensor.numel() * tensor.itemsize
        held = self._cached.pop(storage, 0)
        self._cached[storage] = max(size, held)
        self._cached_bytes += max(size - held, 0)
        while self._cached_bytes > self._cache_bytes and self._cached:
            self._cached_bytes -= self._cached.popitem(last=False)[1]
        return max(size - held, 0)

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        self.live += size
        self.peak = max(self.peak, self.live)
        if size > LARGE_BLOCK:
            self.large += size
        else:
            self.small += size
            self.small_peak = max(self.small_peak, self.small)
        weakref.finalize(storage, self._free, size, self._round)

    def _free(self, size: int, of_round: object) -> None:
        if of_round is self._round:
            self.live -= size
            self.small -= size if size <= LARGE_BLOCK else 0


def _places(indices: Any) -> list[Tensor | None]:
    places: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype == torch.bool:
            places += [index.new_zeros(index.numel(), dtype=torch.long) for _ in range(index.dim())]
        else:
            places.append(index)
    return places


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _spec(value: Any) -> Any:
    """`value`, hashable, with specs for tensors."""
    if isinstance(value, Tensor):
        return TensorSpec(tuple(value.shape), value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return tuple(_spec(part) for part in value)
    return value


def rebuild(value: Any, make: Callable[[TensorSpec], Tensor]) -> Any:
    """The arguments behind what `Operator` recorded, tensors by `make`."""
    if isinstance(value, TensorSpec):
        return make(value)
    if isinstance(value, tuple):
        return [rebuild(part, make) for part in value]
    return value
