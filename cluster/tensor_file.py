"""A safetensors file written, hashed and synced in one pass over the tensors' own memory, without a second copy."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

CHUNK_BYTES = 8 * 2**20


def write_tensors(path: Path, tensors: Sequence[tuple[str, Tensor]]) -> tuple[int, str]:
    """Write one-dimensional `tensors` as fp32 under their names to the new file `path`, durably.

    The interpreter's lock is free while bytes are hashed and written, so that a thread can do this beside training.

    Returns:
        The file's size in bytes and its hex sha256.

    Raises:
        OSError: the disk is full, read-only or gone; the file is then useless.
    """
    header, end = {}, 0
    for name, tensor in tensors:
        start, end = end, end + 4 * len(tensor)
        header[name] = {"dtype": "F32", "shape": [len(tensor)], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest, size = hashlib.sha256(), 0
    with path.open("wb", buffering=0) as file:

        def put(data: memoryview) -> None:
            nonlocal size
            digest.update(data)
            while data:
                written = file.write(data)
                size += written
                data = data[written:]

        put(memoryview(len(text).to_bytes(8, "little") + text))
        for _, tensor in tensors:
            data = tensor.detach().to("cpu", torch.float32).contiguous().numpy().data.cast("B")
            for start in range(0, len(data), CHUNK_BYTES):
                put(data[start : start + CHUNK_BYTES])
        os.fsync(file.fileno())
    return size, digest.hexdigest()
