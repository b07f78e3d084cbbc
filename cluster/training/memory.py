"""How much memory a worker has used at most, and how much it may use."""

import contextlib
import resource
import socket
from pathlib import Path

import psutil
import torch

from cluster.engine.exchange import Exchange

GB = 1e9
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def peak_bytes(device: torch.device) -> int:
    """Most bytes this process has held on `device` since the last `forget_peak`: its GPU's, or resident on the host."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak(device: torch.device) -> None:
    """Measure `peak_bytes` from now on (on the host where Linux allows it)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def limit_bytes(device: torch.device, exchange: Exchange) -> int:
    """Bytes this worker may use: its GPU's memory, or an equal share of its machine's (or container's)."""
    neighbours = exchange.all(socket.gethostname()).count(socket.gethostname())
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [int(psutil.virtual_memory().total)]
    for path in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits) // neighbours


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the GPU or on the host."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )
