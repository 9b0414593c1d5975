"""Metrics: functions of two feature matrices or of picture pairs, and the extractors that give the features."""
