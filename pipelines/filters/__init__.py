"""Filters: which of the pages that were read are taken, decided from facts about each page."""
