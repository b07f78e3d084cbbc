"""Start DocFormerV2 from a T5: 1.0, 1.1 or flan, from a local folder or the hub, safetensors only (never pickle)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.config import DocFormerV2Config
from model.docformer import DocFormerV2ForConditionalGeneration
from model.errors import ModelInputError
from model.hub_name import is_path, on_disk_only

TOKENS = "encoder.embeddings.tokens.weight"
# Fields that a T5's config.json and ours share, name and meaning.
SHARED_FIELDS = (
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "feed_forward_proj",
    "layer_norm_epsilon",
    "pad_token_id",
    "eos_token_id",
    "decoder_start_token_id",
)


@dataclass(frozen=True)
class WarmStartReport:
    """What came from the T5 and what did not.

    source: the folder or hub name read.
    loaded: parameters taken whole.
    resized: parameters taken in part, with both row counts.
    new: parameters that T5 does not have, at their random start.
    unused: names in the T5's files that nothing was made of.
    """

    source: str
    loaded: tuple[str, ...]
    resized: dict[str, str]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """The report as one line."""
        parts = ", ".join(f"{name} ({how})" for name, how in self.resized.items()) or "none"
        return (
            f"warm start from {self.source}: {len(self.loaded)} parameters loaded, resized: {parts}, "
            f"{len(self.new)} new, {len(self.unused)} of the source unused"
        )


def config_from_t5(source: str, **changes: Any) -> DocFormerV2Config:
    """The configuration whose backbone is the T5 at `source` (a folder or a hub name), with `changes`.

    Raises:
        ModelInputError: no T5 with safetensors weights there, or `changes` to no field.
    """
    return _config(_fetch(source), changes)


def model_from_t5(source: str, **changes: Any) -> tuple[DocFormerV2ForConditionalGeneration, WarmStartReport]:
    """A DocFormerV2 with the T5's weights and configuration; `changes` go to the configuration.

    Raises:
        ModelInputError: no T5 with safetensors weights there, or `changes` to no field.
    """
    folder = _fetch(source)
    model = DocFormerV2ForConditionalGeneration(_config(folder, changes))
    return model, _load(model, folder, source, same_vocabulary=True)


def warm_start(
    model: DocFormerV2ForConditionalGeneration, source: str, same_vocabulary: bool = True
) -> WarmStartReport:
    """Copy a T5's weights into `model`, whose sizes must be the T5's.

    The vocabulary may differ in size: rows of equal number are taken, which is right where one vocabulary goes on
    from the other. With `same_vocabulary` False the tokens are other ones and token rows keep their random start.

    Raises:
        ModelInputError: no T5 with safetensors weights there, or sizes other than the vocabulary differ.
    """
    return _load(model, _fetch(source), source, same_vocabulary)


def _fetch(source: str) -> Path:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if is_path(source):
            raise ModelInputError(f"{source}: no such folder; give a folder with config.json and model.safetensors")
        folder = _download(source)
    if not (folder / "config.json").is_file():
        raise ModelInputError(f"{source}: holds no config.json; give a folder that transformers' save_pretrained wrote")
    if not any(folder.glob("*.safetensors")):
        raise ModelInputError(
            f"{source}: holds no *.safetensors; pickled weights are never loaded: convert them with "
            "T5ForConditionalGeneration.from_pretrained(...).save_pretrained(...) where you trust them"
        )
    return folder


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=["config.json", "*.safetensors", "*.safetensors.index.json"],
                local_files_only=on_disk_only(name),
            )
        )
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelInputError(f"{name}: neither a local folder nor a hub model that can be read: {reason}") from error


def _config(folder: Path, changes: dict[str, Any]) -> DocFormerV2Config:
    DocFormerV2Config.refuse_unknown(changes)
    try:
        given = json.loads((folder / "config.json").read_text())
        kind = given.get("model_type")
    except (ValueError, AttributeError) as error:
        raise ModelInputError(f"{folder}: config.json is no model's ({error}); fetch the T5 again") from None
    if kind not in ("t5", "mt5"):
        raise ModelInputError(f"{folder}: model_type is {kind!r}, not 't5'")
    fields = {name: given[name] for name in SHARED_FIELDS if given.get(name) is not None}
    # T5 1.0 ties the output layer and scales before it; 1.1 does neither. Newer files say the second by itself, but
    # those of mT5, which is a 1.1 and never scales: they call any output layer tied.
    fields["tie_word_embeddings"] = not _has_own_output(folder)
    scales = given.get("tie_word_embeddings", True) and kind == "t5"
    fields["scale_decoder_outputs"] = given.get("scale_decoder_outputs", scales)
    return DocFormerV2Config(**{**fields, **changes})


def _tensors(folder: Path) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dict)
                    yield name, lambda file=file, name=name: file.get_tensor(name)  # type: ignore[misc]
        except SafetensorError as error:
            raise ModelInputError(f"{path}: cannot be read ({error}); fetch the T5 again") from None


def _has_own_output(folder: Path) -> bool:
    weights = {name: read() for name, read in _tensors(folder) if name in ("lm_head.weight", "shared.weight")}
    return len(weights) == 2 and not torch.equal(weights["lm_head.weight"], weights["shared.weight"])


def _sources(model: DocFormerV2ForConditionalGeneration) -> dict[str, list[str]]:
    """For each parameter that T5 has: the T5 parameters that make it, to be laid one below another."""
    config = model.config
    names = {TOKENS: ["shared.weight"]}
    if not config.tie_word_embeddings:
        names["lm_head.weight"] = ["lm_head.weight"]
    inner = ["wi_0", "wi_1"] if config.feed_forward_proj == "gated-gelu" else ["wi"]
    for stack, depth in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers or 0)):
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names[f"{stack}.position_bias.table.weight"] = [first]
        names[f"{stack}.norm.weight"] = [f"{stack}.final_layer_norm.weight"]
        for number in range(depth):
            ours, theirs = f"{stack}.layers.{number}", f"{stack}.block.{number}.layer"
            names[f"{ours}.attention_norm.weight"] = [f"{theirs}.0.layer_norm.weight"]
            names[f"{ours}.attention.qkv.weight"] = [f"{theirs}.0.SelfAttention.{x}.weight" for x in "qkv"]
            names[f"{ours}.attention.out.weight"] = [f"{theirs}.0.SelfAttention.o.weight"]
            last = 1
            if stack == "decoder":
                names[f"{ours}.cross_norm.weight"] = [f"{theirs}.1.layer_norm.weight"]
                names[f"{ours}.cross.query.weight"] = [f"{theirs}.1.EncDecAttention.q.weight"]
                names[f"{ours}.cross.key_value.weight"] = [f"{theirs}.1.EncDecAttention.{x}.weight" for x in "kv"]
                names[f"{ours}.cross.out.weight"] = [f"{theirs}.1.EncDecAttention.o.weight"]
                last = 2
            names[f"{ours}.feed_forward_norm.weight"] = [f"{theirs}.{last}.layer_norm.weight"]
            names[f"{ours}.feed_forward.inner.weight"] = [f"{theirs}.{last}.DenseReluDense.{x}.weight" for x in inner]
            names[f"{ours}.feed_forward.out.weight"] = [f"{theirs}.{last}.DenseReluDense.wo.weight"]
    return names


@torch.no_grad()
def _load(
    model: DocFormerV2ForConditionalGeneration, folder: Path, source: str, same_vocabulary: bool
) -> WarmStartReport:
    wanted, parameters = _sources(model), dict(model.named_parameters())
    stored = {name: read() for name, read in _tensors(folder)}
    for alias in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        if alias in stored:
            stored.setdefault("shared.weight", stored[alias])
    loaded, resized = [], {}
    for name, parts in wanted.items():
        if name in (TOKENS, "lm_head.weight") and not same_vocabulary:
            continue
        missing = [part for part in parts if part not in stored]
        if missing:
            raise ModelInputError(
                f"{source}: has no {missing[0]}; the model's sizes or feed_forward_proj are not this T5's "
                "(config_from_t5 gives a configuration that fits)"
            )
        value, target = torch.cat([stored[part] for part in parts]), parameters[name]
        if not value.is_floating_point():
            raise ModelInputError(f"{source}: {parts[0]} is {value.dtype}; give weights that are not quantised")
        if value.shape == target.shape:
            target.copy_(value)
            loaded.append(name)
        elif name in (TOKENS, "lm_head.weight") and value.shape[1:] == target.shape[1:]:
            rows = min(len(value), len(target))
            target[:rows] = value[:rows].to(target.dtype)
            # Rows beyond the T5's start at the loaded rows' scale, or their logits would drown or be drowned.
            target[rows:] *= value.float().std() / target[rows:].float().std() if len(target) > rows + 1 else 1.0
            resized[name] = f"{len(value)} to {len(target)} rows"
        else:
            raise ModelInputError(
                f"{source}: {name} is {list(value.shape)} there and {list(target.shape)} in the model "
                "(config_from_t5 gives a configuration that fits)"
            )
    used = {part for name in (*loaded, *resized) for part in wanted[name]} | {
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
    }
    new = tuple(name for name in parameters if name not in loaded and name not in resized)
    unused = tuple(sorted(set(stored) - used - ({"lm_head.weight"} if model.config.tie_word_embeddings else set())))
    return WarmStartReport(source, tuple(loaded), resized, new, unused)
