"""Pictures with boxes: how annotations are read and written, and how they become a set to train on."""
