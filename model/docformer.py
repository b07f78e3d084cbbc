"""DocFormerV2 as a Hugging Face model: encoder over picture and text, decoder, three losses (Appalaraju, AAAI 2024)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from model.config import DocFormerV2Config
from model.errors import ModelInputError
from model.heads import OutputLayer, TokenToGrid, TokenToLine
from model.initialise import initialise, initialise_output
from model.inputs import check_sides, refuse_embedded
from model.losses import IGNORED, mean_over, summed_cross_entropy, target_count
from model.processor import DocFormerV2Processor  # noqa: F401 (without it AutoProcessor would give a mere tokenizer)
from model.stacks import Decoder, Encoder, visible_keys
from model.token_table import TokenTable

TASKS = ("dlm", "line", "grid")
# Asked of other models in transformers; attention weights and states between layers are not kept here.
NOT_KEPT = ("output_attentions", "output_hidden_states")


@dataclass
class DocFormerV2Output(ModelOutput):  # type: ignore[misc]
    """What a forward gives, the loss first; a field is None where its input was absent.

    loss: scalar fp32, the weighted sum of the three losses given labels for.
    loss_dlm, loss_line, loss_grid: scalar fp32, each summed over its targets and divided by its denominator.
    counts: float32 [3], targets of this batch for dlm, line, grid.
    logits: [B, T, V]; None with `skip_logits`.
    line_logits: [B, P, line_classes].
    grid_logits: [B, S, rows x columns], for text positions.
    encoder_last_hidden_state: [B, visual tokens + S, D].
    """

    loss: Tensor | None = None
    loss_dlm: Tensor | None = None
    loss_line: Tensor | None = None
    loss_grid: Tensor | None = None
    counts: Tensor | None = None
    logits: Tensor | None = None
    line_logits: Tensor | None = None
    grid_logits: Tensor | None = None
    past_key_values: Any = None
    encoder_last_hidden_state: Tensor | None = None


class DocFormerV2ForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """DocFormerV2 with its decoder's output layer and its two encoder heads."""

    config_class = DocFormerV2Config
    config: DocFormerV2Config
    base_model_prefix = "docformer"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    # Losses are means over a batch's own targets: transformers' Trainer is to divide them by its accumulation steps.
    accepts_loss_kwargs = False
    _no_split_modules = ("EncoderLayer", "DecoderLayer")
    _tied_weights_keys = {"lm_head.weight": "encoder.embeddings.tokens.weight"}  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = False

    def __init__(self, config: DocFormerV2Config) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.lm_head = OutputLayer(config)
        self.token_to_line = TokenToLine(config)
        self.token_to_grid = TokenToGrid(config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """As in `transformers`, from safetensors alone: a pickle from outside is never loaded.

        Raises:
            ModelInputError: pickled weights are asked for by `use_safetensors=False`.
            OSError: there is no such model, or it has no safetensors.
        """
        if options.get("use_safetensors") is None:
            options["use_safetensors"] = True
        if options["use_safetensors"] is not True:
            raise ModelInputError(
                "use_safetensors=False: pickled weights are never loaded; convert them to safetensors"
            )
        return super().from_pretrained(*arguments, **options)

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config)
        if module is self and not self.config.tie_word_embeddings:
            initialise_output(self.lm_head, self.config)

    def _initialize_weights(self, module: nn.Module, is_custom_code: bool = False) -> None:
        # For a model outside the library, transformers skips modules without parameters of their own; ours start
        # their children's parameters, and leave loaded ones alone by themselves.
        super()._initialize_weights(module, is_custom_code=False)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **more: Any
    ) -> None:
        """As in `transformers`; the form without reentrant backward passes, which the layers' shared bias needs.

        Raises:
            ModelInputError: `use_reentrant` is asked for.
        """
        chosen = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        if chosen["use_reentrant"]:
            raise ModelInputError("use_reentrant=True: layers share a position bias; use use_reentrant=False")
        super().gradient_checkpointing_enable(chosen, **more)

    def get_encoder(self, modality: str | None = None) -> Encoder:
        """The encoder, which takes the page's inputs and gives its states."""
        return self.encoder

    def get_decoder(self) -> Decoder:
        """The decoder."""
        return self.decoder

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding that encoder and decoder share."""
        return self.encoder.embeddings.tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.encoder.embeddings.tokens = value

    def get_output_embeddings(self) -> OutputLayer:
        """The output layer."""
        return self.lm_head

    def set_output_embeddings(self, value: OutputLayer) -> None:
        """Replace the output layer."""
        self.lm_head = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        bbox: Tensor | None = None,
        attention_mask: Tensor | None = None,
        bbox_hidden: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        line_pairs: Tensor | None = None,
        line_targets: Tensor | None = None,
        grid_targets: Tensor | None = None,
        denominators: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        skip_logits: bool = False,
        return_dict: bool | None = None,
        **unused: Any,
    ) -> DocFormerV2Output:
        """Encode a page, decode a target, and take the losses that labels are given for.

        Args:
            input_ids: int64 [B, S] tokens of the page's text, or None for a picture alone.
            bbox: int64 [B, S, 4], each token's x0, y0, x1, y1 in 0..1000 of the page (row min(v, 999) is read).
            attention_mask: [B, S], nonzero for real tokens; None for all real. Visual tokens are always real.
            bbox_hidden: bool [B, S], True where the box is hidden from the model.
            pixel_values: uint8 [B, 3, image_height, image_width] RGB pages, or None for text alone.
            labels: int64 [B, T] decoder targets, -100 ignored.
            decoder_input_ids: int64 [B, T]; from `labels` moved right by one where None.
            decoder_attention_mask: [B, past + T], nonzero for real decoder positions.
            line_pairs: int64 [B, P, 2] positions in the text sequence.
            line_targets: int64 [B, P] line class of each pair, -100 ignored.
            grid_targets: int64 [B, S] cell of each token, -100 ignored.
            denominators: float32 [3], what the sums of dlm, line and grid are divided by (the whole batch's
                target counts, when this is a part of one); None for this batch's own counts.
            encoder_outputs: states of an earlier encoder call, in place of the page's inputs.
            past_key_values: cache of earlier decoder positions.
            use_cache: return a cache for the next positions.
            skip_logits: compute the output layer at labelled positions only and return no logits (training).
            return_dict: False for a tuple.
            unused: names that other callers of the Hugging Face interface pass.

        Raises:
            ModelInputError: inputs that do not fit together.
        """
        if wanted := [name for name in NOT_KEPT if unused.get(name, getattr(self.config, name, False))]:
            raise ModelInputError(f"{wanted[0]}: not kept by this model; encoder_last_hidden_state is in every output")
        refuse_embedded(unused)
        if past_key_values is not None and not isinstance(past_key_values, EncoderDecoderCache):
            raise ModelInputError(f"past_key_values is {type(past_key_values).__name__}: give an EncoderDecoderCache")
        if getattr(past_key_values, "is_compileable", False):
            raise ModelInputError("cache_implementation: caches of a fixed size are not supported; leave it out")
        table = TokenTable.of(self.get_input_embeddings())
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, bbox, bbox_hidden, pixel_values, table)
        encoded_bsd: Tensor = encoder_outputs[0]
        batch = encoded_bsd.shape[0]
        check_sides("attention_mask", attention_mask, batch, None)
        check_sides("labels", labels, batch, None)
        check_sides("decoder_input_ids", decoder_input_ids, batch, None if labels is None else labels.shape[1])
        check_sides("decoder_attention_mask", decoder_attention_mask, batch, None)
        found: dict[str, Any] = {"encoder_last_hidden_state": encoded_bsd}
        totals: dict[str, tuple[Tensor, Tensor]] = {}

        if labels is not None and decoder_input_ids is None:
            decoder_input_ids = self.shift_right(labels)
        if decoder_input_ids is not None:
            if use_cache is None:
                use_cache = bool(self.config.use_cache) and labels is None and not self.training
            if use_cache and past_key_values is None:
                past_key_values = EncoderDecoderCache(DynamicCache(), DynamicCache())
            if labels is not None and skip_logits and decoder_attention_mask is None:
                decoder_attention_mask = self._asked_for(labels)
            decoded_btd = self.decoder(
                self.encoder.embeddings.embed(decoder_input_ids, table),
                encoded_bsd,
                decoder_attention_mask,
                visible_keys(attention_mask, encoded_bsd.shape[1]),
                past_key_values,
            )
            if self.config.scale_decoder_outputs:
                decoded_btd = decoded_btd * self.config.d_model**-0.5
            # An adapter around it, and the plain layer that resizing makes, know no labels.
            if labels is not None and skip_logits and isinstance(self.lm_head, OutputLayer):
                tied = self.lm_head.weight is self.get_input_embeddings().weight
                totals["dlm"] = self.lm_head(decoded_btd, labels, table if tied else None), target_count(labels)
            else:
                logits = self.lm_head(decoded_btd)
                if labels is not None:
                    totals["dlm"] = summed_cross_entropy(logits, labels), target_count(labels)
                if labels is None or not skip_logits:
                    found["logits"] = logits
            found["past_key_values"] = past_key_values if use_cache else None

        if line_pairs is not None or grid_targets is not None:
            if input_ids is None:
                raise ModelInputError("line_pairs and grid_targets stand for text tokens: give input_ids with them")
            text_bsd = encoded_bsd[:, encoded_bsd.shape[1] - input_ids.shape[1] :]
            check_sides("grid_targets", grid_targets, *text_bsd.shape[:2])
            check_sides("line_pairs", line_pairs, batch, None, 2)
        if line_pairs is not None:
            found["line_logits"] = self.token_to_line(text_bsd, line_pairs)
            if line_targets is not None:
                check_sides("line_targets", line_targets, *line_pairs.shape[:2])
                totals["line"] = summed_cross_entropy(found["line_logits"], line_targets), target_count(line_targets)
        if grid_targets is not None:
            found["grid_logits"] = self.token_to_grid(text_bsd)
            totals["grid"] = summed_cross_entropy(found["grid_logits"], grid_targets), target_count(grid_targets)

        if totals:
            found |= self._weigh(totals, denominators)
        # At once: an output takes on its fields in their order, and callers rely on the loss to be the first.
        out = DocFormerV2Output(**found)
        return out if return_dict is not False else out.to_tuple()

    def _weigh(self, totals: dict[str, tuple[Tensor, Tensor]], denominators: Tensor | None) -> dict[str, Tensor]:
        """The losses and counts, by their names in the output."""
        losses: dict[str, Tensor] = {}
        device = next(iter(totals.values()))[0].device
        loss, counts = torch.zeros((), device=device), torch.zeros(len(TASKS), device=device)
        for place, task in enumerate(TASKS):
            if task in totals:
                total, count = totals[task]
                counts[place] = count
                mean = mean_over(total, count if denominators is None else denominators[place])
                losses[f"loss_{task}"] = mean
                loss = loss + getattr(self.config, f"loss_weight_{task}") * mean
        return {"loss": loss, "counts": counts, **losses}

    def _asked_for(self, labels: Tensor) -> Tensor | None:
        """int64 [B, T], 0 for decoder positions after a sample's last target, where the decoder can leave them out."""
        if not self.decoder.packs(labels.device):
            return None
        return (labels != IGNORED).long().flip(1).cummax(1).values.flip(1)

    def shift_right(self, labels: Tensor) -> Tensor:
        """Decoder inputs int64 [B, T] for targets int64 [B, T]: the start token, then all targets but the last."""
        start = labels.new_full((labels.shape[0], 1), self.config.decoder_start_token_id or 0)
        shifted = torch.cat([start, labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORED, self.config.pad_token_id or 0)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """`shift_right`, by the name that Hugging Face data collators call."""
        return self.shift_right(labels)

    @torch.no_grad()
    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """`GenerationMixin.generate` (greedy, sampling, beams), which also takes a picture without text.

        A batch may come with the encoder's pretraining labels: they have no part in an answer.
        """
        for name in ("line_pairs", "line_targets", "grid_targets", "denominators"):
            kwargs.pop(name, None)
        given = [name for name in ("input_ids", "inputs", "encoder_outputs") if kwargs.get(name) is not None]
        if not args and not given and kwargs.get("pixel_values") is not None:
            encoded = self.encoder(pixel_values=kwargs.pop("pixel_values"))
            kwargs["encoder_outputs"] = BaseModelOutput(last_hidden_state=encoded.last_hidden_state)
        return super().generate(*args, **kwargs)


AutoConfig.register(DocFormerV2Config.model_type, DocFormerV2Config)
AutoModel.register(DocFormerV2Config, DocFormerV2ForConditionalGeneration)
AutoModelForSeq2SeqLM.register(DocFormerV2Config, DocFormerV2ForConditionalGeneration)
