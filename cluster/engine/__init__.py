"""The engine that turns a batch into an update: DeepSpeed ZeRO behind a small interface."""
