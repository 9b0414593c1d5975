"""Edits of many files: listing, editing and recording them, and making a result again. No torch here."""
