"""DeepSpeed, imported without what is not used of it and costs seconds at each start of a worker."""

import logging
import os
import sys
from types import ModuleType
from typing import Any

import torch

MUON = {"muon_optimizer": "MuonWithAuxAdam", "original_muon": "muon_update"}


def import_deepspeed() -> Any:
    """The package, ready for `initialize`; torch.distributed need not be up."""
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    # Its optimizer Muon, which it looks for among ours, compiles itself when it is imported: two seconds.
    for name, member in MUON.items():
        module = ModuleType(f"deepspeed.runtime.zero.muon.{name}")
        setattr(module, member, type(member, (), {}))
        sys.modules.setdefault(module.__name__, module)
    import deepspeed

    # Its log goes to standard output, where results go; what it warns of (an optimizer it did not test) is meant.
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # No compiled operator is used: probing for them runs compilers, and the shared-memory one takes a minute to build
    # for what gloo does as well.
    vars(deepspeed.ops)["__compatible_ops__"] = {}
    # Norms of gradients as torch takes them: DeepSpeed would copy every gradient to fp64 first.
    deepspeed.get_accelerator().is_fp64_supported = lambda: False
    return deepspeed
