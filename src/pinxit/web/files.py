"""Files of results as answers: pictures as such, all else as bytes to save, so that nothing runs in a browser."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi.responses import FileResponse

from pinxit.web.references import MissingError

BYTES = "application/octet-stream"
SVG = "image/svg+xml"


def served(place: str | Path) -> FileResponse:
    """Return the answer with a file; `MissingError` if it is not there."""
    path = Path(place)
    if not path.is_file():
        raise MissingError("no such file; it may have expired")
    kind = mimetypes.guess_type(path.name)[0] or BYTES
    return FileResponse(
        path, media_type=kind if kind.startswith("image/") and kind != SVG else BYTES, filename=path.name
    )
