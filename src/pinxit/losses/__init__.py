"""Losses: functions of tensors to one number to be lowered, written as their papers' equations."""
