import pytest
import torch

from model.docformer import DocFormerV2ForConditionalGeneration
from tests.model.pages import page_batch, page_inputs, small_model


def talkative_model() -> DocFormerV2ForConditionalGeneration:
    """Random weights whose greedy text varies: a tied untrained model only repeats the token it is given."""
    return small_model(seed=3, tie_word_embeddings=False, initializer_factor=1.5)


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("inputs", ["both", "text", "picture"])
def test_cached_generation_equals_uncached(beams: int, inputs: str) -> None:
    model = talkative_model()
    page = page_inputs(page_batch(model.config))
    if inputs == "text":
        del page["pixel_values"]
    if inputs == "picture":
        page = {"pixel_values": page["pixel_values"]}
    settings = {"max_new_tokens": 20, "num_beams": beams, "do_sample": False, "no_repeat_ngram_size": 2}
    cached = model.generate(**page, use_cache=True, **settings)
    uncached = model.generate(**page, use_cache=False, **settings)
    assert torch.equal(cached, uncached)
    assert len(set(cached[:, 1:].flatten().tolist())) > 5


@pytest.mark.parametrize("path", ["reference", "sdpa", "flex"])
def test_every_attention_path_generates_the_same(path: str) -> None:
    page = page_inputs(page_batch(talkative_model().config))
    settings = {"max_new_tokens": 12, "do_sample": False, "no_repeat_ngram_size": 2}
    with torch.no_grad():
        wanted, got = (
            small_model(3, tie_word_embeddings=False, initializer_factor=1.5, attention_path=one).generate(
                **page, **settings
            )
            for one in ("auto", path)
        )
    assert torch.equal(wanted, got)


def test_step_by_step_logits_equal_one_pass() -> None:
    model = talkative_model()
    batch = page_batch(model.config, targets=9)
    page, targets = page_inputs(batch), model.shift_right(batch["labels"])
    with torch.no_grad():
        whole = model(**page, decoder_input_ids=targets).logits
        encoded = model.get_encoder()(**page)
        cache, rows = None, []
        for start, stop in ((0, 4), (4, 5), (5, 9)):
            out = model(
                encoder_outputs=encoded,
                attention_mask=batch["attention_mask"],
                decoder_input_ids=targets[:, start:stop],
                past_key_values=cache,
                use_cache=True,
            )
            cache = out.past_key_values
            rows.append(out.logits)
    assert torch.allclose(torch.cat(rows, 1), whole, atol=1e-5)


def test_sampling_is_repeatable_by_seed() -> None:
    model = talkative_model()
    page = page_inputs(page_batch(model.config))
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(model.generate(**page, do_sample=True, max_new_tokens=12, num_return_sequences=2))
    assert torch.equal(*drawn)
    assert drawn[0].shape[0] == 6


def test_sampling_with_a_cache_draws_what_it_draws_without() -> None:
    model = talkative_model()
    page = page_inputs(page_batch(model.config))
    drawn = []
    for cached in (True, False):
        torch.manual_seed(5)
        settings = {"do_sample": True, "top_p": 0.9, "temperature": 0.7, "max_new_tokens": 12}
        drawn.append(model.generate(**page, use_cache=cached, **settings))
    assert torch.equal(*drawn)
    assert len(set(drawn[0].flatten().tolist())) > 5


def test_generation_in_bf16_with_gradient_checkpointing_left_on() -> None:
    model = talkative_model().bfloat16()
    model.gradient_checkpointing_enable()
    assert model.generate(**page_inputs(page_batch(model.config)), max_new_tokens=4).shape[0] == 3


def test_given_encoder_states_are_not_made_anew_of_the_picture_alone() -> None:
    model = talkative_model()
    page = page_inputs(page_batch(model.config))
    settings = {"max_new_tokens": 8, "do_sample": False, "no_repeat_ngram_size": 2}
    states = {"encoder_outputs": model.get_encoder()(**page), "attention_mask": page["attention_mask"]}
    asked = model.generate(**states, pixel_values=page["pixel_values"], **settings)
    assert torch.equal(asked, model.generate(**page, **settings))


def test_a_smaller_model_drafts_and_the_text_stays() -> None:
    model, draft = talkative_model(), small_model(seed=4, num_layers=1, num_decoder_layers=1)
    page = {name: values[:1] for name, values in page_inputs(page_batch(model.config)).items()}
    drafted = model.generate(**page, max_new_tokens=8, assistant_model=draft)
    assert torch.equal(drafted, model.generate(**page, max_new_tokens=8))
