"""What the model raises for input or settings it cannot take."""


class ModelInputError(ValueError):
    """Bad input to the model; the message states the value, the limit and the remedy in one line."""
