"""A safetensors file written, hashed and synced in one pass over the tensors' own memory, without a second copy."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20


def write_tensors(path: Path, sizes: Sequence[tuple[str, int]], data: Iterable[Tensor]) -> tuple[int, str]:
    """Write one-dimensional fp32 tensors to the new file `path`, durably.

    The interpreter's lock is free while bytes are hashed and written, so that a thread can do this beside training.

    Args:
        path: of the file.
        sizes: name and number of elements of each tensor.
        data: their elements one after the other, cut anyhow: larger parts ask for the lock less often.

    Returns:
        The file's size in bytes and its hex sha256.

    Raises:
        OSError: the disk is full, read-only or gone; the file is then useless.
    """
    header, end = {}, 0
    for name, length in sizes:
        start, end = end, end + 4 * length
        header[name] = {"dtype": "F32", "shape": [length], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:

        def put(part: memoryview) -> None:
            nonlocal size
            digest.update(part)
            while part:
                written = file.write(part)
                size += written
                part = part[written:]

        put(memoryview(len(text).to_bytes(8, "little") + text))
        for tensor in filter(len, data):
            whole = tensor.detach().to("cpu", torch.float32).contiguous().numpy().data.cast("B")
            for start in range(0, len(whole), CHUNK_BYTES):
                put(whole[start : start + CHUNK_BYTES])
        os.fsync(file.fileno())
    return size, digest.hexdigest()
