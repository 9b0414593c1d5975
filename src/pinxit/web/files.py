"""Files of results as answers: pictures as such, all else as bytes to save, so that nothing runs in a browser."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi.responses import FileResponse, Response

from pinxit.web.references import MissingError, Places

BYTES, SVG = "application/octet-stream", "image/svg+xml"
WRITTEN = (".json", ".jsonl", ".csv", ".html", ".md", ".txt", ".xml")
"""Files of text, which may name paths."""


def served(path: Path, places: Places, kind: str = "") -> Response:
    """Return the answer with a file, of a kind if one is given; `MissingError` if it is not there."""
    if not path.is_file():
        raise MissingError("no such file; it may have expired")
    guessed = kind or mimetypes.guess_type(path.name)[0] or BYTES
    shown = guessed if kind or (guessed.startswith("image/") and guessed != SVG) else BYTES
    answer = FileResponse(path, media_type=shown, filename=None if kind else path.name)
    if path.suffix.lower() not in WRITTEN:
        return answer
    text = places.hide_own(path.read_text(encoding="utf-8", errors="replace"))
    headers = {name: answer.headers[name] for name in ("content-disposition",) if name in answer.headers}
    return Response(text, media_type=shown, headers=headers)
