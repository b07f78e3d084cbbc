"""The corpus on disk: shards, facts, manifest, and what is read from and checked on them."""
