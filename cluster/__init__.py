"""From the command line to the cluster: settings, sample order, training, checkpoints, reports."""

import os

# Torch asks once, at its first allocation: large tensors in huge pages, where Linux leaves it to the program. A step
# takes much of its memory anew, and touching that for the first time is then four times as quick.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
