"""The score of a key that may not be seen."""

# Finite, so that a row without any visible key gives a mean and not NaN; exp(MASKED - maximum) is exactly 0.
MASKED = -1e9
