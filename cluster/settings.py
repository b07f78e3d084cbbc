"""Settings of a pretraining run; `docformer pretrain` has a flag for each."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cluster.samples.mixture import WeightedCorpus
from model.objectives.settings import ObjectiveSettings

# A resume may change these: they say where, how fast and in how many pieces, not what is computed; `steps` makes a run
# longer. What the folders hold is compared by its digest.
FREE_ON_RESUME = frozenset(
    {"corpus", "tokenizer", "out", "steps", "workers", "ray", "zero", "micro_batch_pages", "feed_processes"}
    | {"log_every", "eval_every", "checkpoint_every", "keep_checkpoints", "checkpoint_every_s"}
    | {"max_losses", "max_errors", "notice_s", "resize_every_s", "cpus_per_worker"}
    | {"keep_every", "checkpoint_in_background", "offload", "activation_checkpointing", "compile", "memory_limit_gb"}
    | {"on_nan", "on_spike", "spike_loss_factor", "spike_norm_factor", "spike_window", "trouble_limit"}
    | {"dry_run", "hang_timeout_s", "profile_steps", "wandb_project", "mlflow_experiment"}
)


class PretrainSettings(BaseModel):
    """What a pretraining run does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: tuple[str, ...] = Field(
        min_length=1,
        description="folder of the corpus; several, each as FOLDER=WEIGHT, are mixed in the shares of their weights, 1 "
        "where none is given",
    )
    tokenizer: str = Field(description="folder or hub name of a T5 tokenizer")
    out: str = Field(description="folder of the run")
    preset: Literal["tiny", "small", "base", "large"] = Field("small", description="size of the model")
    model: dict[str, Any] = Field(
        default_factory=dict, description="changes to single fields of the preset (those of DocFormerV2Config)"
    )
    init: str | None = Field(None, description="T5 checkpoint (folder or hub name) whose weights to start from")
    objectives: ObjectiveSettings = Field(default_factory=ObjectiveSettings, description="the three objectives")
    steps: int = Field(1000, ge=1, description="optimizer steps; the learning rate's cosine ends with them")
    global_batch_pages: int = Field(64, ge=1, description="pages of one step, over all workers")
    micro_batch_pages: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        8, description="pages of one forward in one worker; auto: as many as fit in memory"
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    final_learning_rate_share: float = Field(0.1, ge=0, le=1, description="end of the cosine decay, share of the peak")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    beta2: float = Field(0.98, gt=0, lt=1, description="AdamW's second moment")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    seed: int = Field(0, ge=0, description="of weights, order, masks and pairs")
    held_out: float = Field(
        0.05, ge=0, lt=1, description="share of documents kept out of training for evaluation; 0: none, and no scores"
    )
    eval_pages: int = Field(128, ge=1, description="held-out pages of one evaluation, at most")
    eval_every: int = Field(500, ge=1, description="steps between evaluations; also one at start and one at the end")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints; also one at the end")
    checkpoint_every_s: float = Field(
        600.0, gt=0, description="seconds without a checkpoint after which one is written: what a lost machine costs"
    )
    keep_checkpoints: int = Field(2, ge=1, description="newest complete checkpoints kept")
    keep_every: int | None = Field(None, ge=1, description="checkpoints at multiples of this step are kept for good")
    checkpoint_store: str | None = Field(
        None, description="folder in an object store (s3://bucket/folder, gs://...) for the checkpoints, else RUN's own"
    )
    checkpoint_in_background: bool = Field(
        True, description="write while training goes on, from a copy in host memory (12 bytes a parameter, sharded)"
    )
    log_every: int = Field(1, ge=1, description="steps between logged lines")
    workers: int | str = Field(
        1, description="training processes; MIN:MAX: as many as the machines there are can take, at any time"
    )
    ray: bool = Field(True, description="launch the workers with Ray Train; else this one process trains, alone")
    zero: int = Field(1, ge=0, le=3, description="DeepSpeed ZeRO stage")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on CUDA, fp32 on CPU (where bf16 is slow or many times slower)"
    )
    accumulation: Literal["fp32", "bf16"] = Field(
        "fp32", description="sums the gradients of a step's micro-batches under bf16; bf16 takes half the memory"
    )
    offload: Literal["none", "cpu"] = Field(
        "none", description="cpu: master weights, moments and update in host memory; needs zero 1 to 3"
    )
    activation_checkpointing: bool = Field(
        False, description="compute each layer again in the backward pass: less memory, about a third more time"
    )
    compile: Literal["auto", "always", "never"] = Field(
        "auto",
        description="torch.compile the model: minutes at the start of each worker, then faster steps on a GPU; auto: "
        "on CUDA at zero 0 to 2",
    )
    memory_limit_gb: float | None = Field(
        None, gt=0, description="GB a worker may use, for the dry run and auto; default: its share of what there is"
    )
    dry_run: bool = Field(
        False, description="only one step on the largest shape: prints memory and time, writes nothing, changes nothing"
    )
    on_nan: Literal["stop", "skip", "rewind"] = Field(
        "stop",
        description="a loss or gradient that is no number: stop; skip that update; or rewind to the newest checkpoint "
        "and leave out the batches since",
    )
    on_spike: Literal["record", "skip", "rewind", "stop"] = Field(
        "record", description="a loss or gradient norm far above its running median; record: only note it"
    )
    spike_loss_factor: float = Field(2.0, gt=1, description="loss that is a spike, in running medians")
    spike_norm_factor: float = Field(20.0, gt=1, description="gradient norm that is a spike, in running medians")
    spike_window: int = Field(100, ge=1, description="steps of the running medians")
    trouble_limit: int = Field(10, ge=0, description="updates a run may skip or rewind; one more stops it")
    hang_timeout_s: float = Field(1800.0, gt=0, description="seconds without a finished step that end the worker")
    profile_steps: str | None = Field(
        None, pattern=r"^[1-9]\d*:[1-9]\d*$", description="A:B, steps recorded to a trace in RUN/profile"
    )
    wandb_project: str | None = Field(None, description="log to this Weights & Biases project too")
    mlflow_experiment: str | None = Field(None, description="log to this MLflow experiment too")
    feed_processes: int = Field(
        0, ge=0, description="processes a worker that read, tokenise and mask; 0: a thread of the worker"
    )
    cpus_per_worker: float | None = Field(
        None, gt=0, description="CPUs a worker books; default: its share of all there are, with MIN:MAX 1 at least"
    )
    max_losses: int = Field(
        10, ge=0, description="times in a row, without a new checkpoint, that a lost worker lets training start again"
    )
    max_errors: int = Field(0, ge=0, description="times that an error of the program lets training start again")
    notice_s: float = Field(
        30.0, gt=0, description="time from a stop signal or the notice of a machine's end to the end"
    )
    resize_every_s: float = Field(
        10.0, gt=0, description="seconds between looks for machines that came, while fewer than MAX workers train"
    )

    @property
    def corpora(self) -> tuple[WeightedCorpus, ...]:
        """The corpora with their weights, in the order given."""
        return tuple(WeightedCorpus.parse(text) for text in self.corpus)

    @property
    def min_workers(self) -> int:
        """Fewest workers to train with."""
        return int(str(self.workers).split(":")[0])

    @property
    def max_workers(self) -> int:
        """Most workers to train with."""
        return int(str(self.workers).split(":")[-1])

    @field_validator("workers")
    @classmethod
    def _one_number_or_two(cls, value: int | str) -> int | str:
        numbers = str(value).split(":")
        if len(numbers) > 2 or not all(re.fullmatch(r"[1-9]\d*", number) for number in numbers):
            raise ValueError("must be a number of workers, at least 1, or MIN:MAX")
        low, high = int(numbers[0]), int(numbers[-1])
        if low > high:
            raise ValueError("MIN is more than MAX")
        return low if low == high else f"{low}:{high}"

    @field_validator("profile_steps")
    @classmethod
    def _first_before_last(cls, value: str | None) -> str | None:
        if value is not None:
            first, last = map(int, value.split(":"))
            if first > last:
                raise ValueError("A is more than B in A:B")
        return value

    @field_validator("corpus", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("corpus")
    @classmethod
    def _weights(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        paths = [WeightedCorpus.parse(text).path for text in value]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is given twice; give it once, with its weight")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.offload == "cpu" and self.zero == 0:
            raise ValueError("offload: cpu needs an optimizer that ZeRO shards; set zero to 1, 2 or 3")
        if self.compile == "always" and self.zero == 3:
            raise ValueError(
                "compile: always does not go with zero 3, which gathers each layer's weights; set zero to 2"
            )
        return self
