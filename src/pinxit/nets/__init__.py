"""Networks: plain modules that take and give pictures in [0, 1]."""
