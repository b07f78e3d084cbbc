"""One configuration as a chain of stages: corpus, tokenizer, pretraining, evaluation, export."""
