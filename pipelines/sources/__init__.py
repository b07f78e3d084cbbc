"""Where documents come from: one small file a kind of place or container."""
