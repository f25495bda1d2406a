"""What an endpoint answers when it does not do what was asked."""

from __future__ import annotations

__all__ = ["ApiError"]


class ApiError(Exception):
    """Becomes `{"message": …}` with the status, as GitLab's API answers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def forbidden(why: str | None = None, headers: dict[str, str] | None = None) -> ApiError:
    """403; to a runner it means: stop this job."""
    return ApiError(403, f"403 Forbidden - {why}" if why else "403 Forbidden", headers)


def not_found(what: str) -> ApiError:
    """404; also for what the caller may not know of."""
    return ApiError(404, f"404 {what} Not Found")
