"""A safetensors file written, hashed and synced in one pass over the tensors' own memory, without a second copy."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipelines.folders.folder import Folder

CHUNK_BYTES = 32 * 2**20


def write_tensors(
    folder: Folder, name: str, sizes: Sequence[tuple[str, int]], data: Iterable[Tensor]
) -> tuple[int, str]:
    """Write one-dimensional fp32 tensors to the file `name`, durably.

    The interpreter's lock is free while bytes are hashed and written, so that a thread can do this beside training.

    Args:
        folder: that holds it.
        name: of the file.
        sizes: name and number of elements of each tensor.
        data: their elements one after the other, cut anyhow: larger parts ask for the lock less often.

    Returns:
        The file's size in bytes and its hex sha256.

    Raises:
        OSError: the disk or store is full, read-only or gone; the file is not there then.
    """
    header, end = {}, 0
    for key, length in sizes:
        start, end = end, end + 4 * length
        header[key] = {"dtype": "F32", "shape": [length], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest, size = hashlib.sha256(), 0
    with folder.writing(name) as file:

        def put(part: memoryview) -> None:
            nonlocal size
            digest.update(part)
            file.write(part)
            size += len(part)

        put(memoryview(len(text).to_bytes(8, "little") + text))
        for tensor in filter(len, data):
            whole = tensor.detach().to("cpu", torch.float32).contiguous().numpy().data.cast("B")
            for start in range(0, len(whole), CHUNK_BYTES):
                put(whole[start : start + CHUNK_BYTES])
    return size, digest.hexdigest()
