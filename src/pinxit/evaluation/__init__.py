"""Scores with everything needed to read them: sets, extractor, formula, interval and anchor rows."""
