"""Metrics: functions of two feature matrices or of picture pairs, and the extractors that give the features."""

ONE_SAMPLE = "none: one pair has no interval"
"""The method of an interval that does not exist, as certificates have it."""
