"""Routes for the page that are not files: the look that it shares with the reports."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from pinxit.page import HOUSE

router = APIRouter(include_in_schema=False)


@router.get("/house.css")
async def house() -> Response:
    """Return the colours and the serif of the reports."""
    return Response(HOUSE, media_type="text/css")
