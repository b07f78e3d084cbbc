"""The three pretraining objectives: pure functions on a page's tokens, seeded by what the sample is."""
