"""Folders on disk and in object stores, behind one small interface."""
