"""Training: the trainer, the run folder, recipes, and the reports a person reads."""
