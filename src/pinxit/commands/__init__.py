"""The commands of the command line, a module each, with no mathematics inside."""

from typing import Annotated

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON document.")]
