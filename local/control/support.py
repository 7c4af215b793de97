"""Operations that are asked for and not done here: answered, and counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from optml.local.control.errors import ApiError, validation

if TYPE_CHECKING:
    from optml.local.control.context import Context


def refusal(context: Context, service: str, operation: str) -> ApiError:
    with context.database.write() as connection:
        connection.execute(
            "INSERT INTO unsupported VALUES (?, 1, ?)"
            " ON CONFLICT (operation) DO UPDATE SET calls = calls + 1, last = excluded.last",
            (f"{service}:{operation}", time.time()),
        )
    return validation(f"optml does not support {operation}; see {context.url}/console/support")


def seen(context: Context) -> list[tuple[str, int, float]]:
    """(service:operation, calls, time of the last one), those called most first."""
    found: list[tuple[str, int, float]] = context.database.rows(
        "SELECT operation, calls, last FROM unsupported ORDER BY calls DESC, operation"
    )
    return found
