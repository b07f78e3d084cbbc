"""Which page comes when, and how it reaches the model: corpora, mixtures, order, feed."""
