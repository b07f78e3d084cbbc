"""Figures for people: three digits that say something, however small or large the number."""

import math

DIGITS = 3
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def figure(value: float, decimals: int = 0) -> str:
    """`value` with three significant digits and `decimals` at least, without an exponent: 0.00123, 1.23, 1,234."""
    if not math.isfinite(value):
        return f"{value:g}"
    if value:
        decimals = max(decimals, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def amount(value: float, unit: str) -> str:
    """`value` with the prefix that suits it: `1.23 GB`, `45.6 k tokens` for a `unit` that begins with a space."""
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{figure(value / size)} {prefix}{unit}"
    return f"{figure(value)} {unit.strip()}"
