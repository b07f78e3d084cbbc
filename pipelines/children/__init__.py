"""Child processes with limits, for work that may crash, hang or grow without bound."""
