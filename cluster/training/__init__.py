"""The training loop of one worker and what it keeps an eye on."""
