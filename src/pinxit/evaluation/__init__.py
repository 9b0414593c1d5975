"""Scores with everything needed to read them: sets, extractor, formula, interval and anchor rows."""

import os
from importlib import import_module

import numpy  # noqa: F401 (it has a BLAS library of its own, which keeps its threads)

THREADS = "OPENBLAS_NUM_THREADS"
"""The threads of scipy's BLAS library, read when it is loaded. They spin while they wait, which takes the cores from
torch's; a pivoted Cholesky decomposition on each of two threads then takes twice as long. So scipy gets one thread."""

if THREADS not in os.environ:
    os.environ[THREADS] = "1"
    import_module("scipy.special")
    del os.environ[THREADS]
