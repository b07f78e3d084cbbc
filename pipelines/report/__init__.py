"""A corpus as a page to look at."""
