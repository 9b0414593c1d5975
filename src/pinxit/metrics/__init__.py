"""How pictures are judged: functions of two feature matrices, and the networks that see the features."""

DEFAULT_EXTRACTORS = ("digits-v1",)
