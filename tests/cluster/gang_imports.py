"""What a training process imports: loaded once, by the process that those of a gang are forked from."""

import os

import torch.utils.tensorboard

import cluster.training.loop
import model.docformer
from cluster.engine.deepspeed_import import import_deepspeed

# A fork of a process that has asked CUDA itself for GPUs can use none.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
import_deepspeed()
__all__ = ["cluster", "model", "torch"]
