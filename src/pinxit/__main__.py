"""`python -m pinxit` is `pinxit`."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the working folder, where anything may lie that has a library's name

from pinxit.cli import main

main()
