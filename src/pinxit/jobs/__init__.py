"""Edits of many files: batches, films, cameras, and results made again."""
