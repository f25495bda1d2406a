"""Pages of a list, with the headers GitLab sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi.responses import JSONResponse

from tests.support.gitlab.api.access import integer

if TYPE_CHECKING:
    from fastapi import Request

__all__ = ["page_of"]

_MAX_PER_PAGE = 100


def page_of(request: Request, items: list[dict[str, Any]]) -> JSONResponse:
    """The page that `page` and `per_page` (20, at most 100) ask for."""
    values = dict(request.query_params)
    page = max(1, integer(values, "page", 1))
    per_page = min(_MAX_PER_PAGE, max(1, integer(values, "per_page", 20)))
    pages = max(1, -(-len(items) // per_page))
    others = {"next": page + 1 if page < pages else None, "prev": page - 1 if page > 1 else None}
    base = str(request.url).partition("?")[0]
    links = [
        f'<{base}?{urlencode({**values, "page": number, "per_page": per_page})}>; rel="{name}"'
        for name, number in {**others, "first": 1, "last": pages}.items()
        if number
    ]
    headers = {
        "X-Page": str(page),
        "X-Per-Page": str(per_page),
        "X-Total": str(len(items)),
        "X-Total-Pages": str(pages),
        "X-Next-Page": str(others["next"] or ""),
        "X-Prev-Page": str(others["prev"] or ""),
        "Link": ", ".join(links),
    }
    return JSONResponse(items[(page - 1) * per_page : page * per_page], headers=headers)
