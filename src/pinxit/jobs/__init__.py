"""Edits of many files: which they are, what becomes of each, and how a result is made again. No torch here."""
