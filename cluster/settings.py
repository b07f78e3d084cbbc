"""Settings of a pretraining run; `docformer pretrain` has a flag for each."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model.objectives.settings import ObjectiveSettings

# A resume may change these: they say where, how fast and in how many pieces, not what is computed; `steps` makes a run
# longer. What the folders hold is compared by its digest.
FREE_ON_RESUME = frozenset(
    {"corpus", "tokenizer", "out", "steps", "workers", "ray", "zero", "micro_batch_pages", "feed_processes"}
    | {"log_every", "eval_every", "checkpoint_every", "keep_checkpoints", "max_restarts"}
)


class PretrainSettings(BaseModel):
    """What a pretraining run does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str = Field(description="folder of the corpus")
    tokenizer: str = Field(description="folder or hub name of a T5 tokenizer")
    out: str = Field(description="folder of the run")
    preset: Literal["tiny", "small", "base", "large"] = Field("small", description="size of the model")
    model: dict[str, Any] = Field(default_factory=dict, description="changes to single fields of the preset")
    init: str | None = Field(None, description="T5 checkpoint (folder or hub name) whose weights to start from")
    objectives: ObjectiveSettings = Field(default_factory=ObjectiveSettings, description="the three objectives")
    steps: int = Field(1000, ge=1, description="optimizer steps")
    global_batch_pages: int = Field(64, ge=1, description="pages of one step, over all workers")
    micro_batch_pages: int = Field(8, ge=1, description="pages of one forward in one worker")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    final_learning_rate_share: float = Field(0.1, ge=0, le=1, description="end of the cosine decay, share of the peak")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    beta2: float = Field(0.98, gt=0, lt=1, description="AdamW's second moment")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    seed: int = Field(0, ge=0, description="of weights, order, masks and pairs")
    held_out: float = Field(0.05, ge=0, lt=1, description="share of documents kept out of training for evaluation")
    eval_pages: int = Field(128, ge=1, description="held-out pages of one evaluation, at most")
    eval_every: int = Field(500, ge=1, description="steps between evaluations; also one at start and one at the end")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints; also one at the end")
    keep_checkpoints: int = Field(2, ge=1, description="newest complete checkpoints kept")
    log_every: int = Field(1, ge=1, description="steps between logged lines")
    workers: int = Field(1, ge=1, description="training processes")
    ray: bool = Field(True, description="launch the workers with Ray Train; else train in this one process")
    zero: int = Field(1, ge=0, le=3, description="DeepSpeed ZeRO stage")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on CUDA, fp32 on CPU (where bf16 is slow or many times slower)"
    )
    feed_processes: int = Field(
        0, ge=0, description="processes a worker that read, tokenise and mask; 0: a thread of the worker"
    )
    max_restarts: int = Field(
        3, ge=0, description="times that training starts again from its checkpoint after losing a worker"
    )
