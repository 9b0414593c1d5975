"""How pictures are judged: functions of two feature matrices or of picture pairs, and the networks that see."""
