"""Mattes: where the subject of a picture is, which colours it has where it mixes with its background, and composing."""
