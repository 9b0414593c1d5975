"""Lessons: trainings that are broken in one line, what the watch says of them, and the line that mends them."""
