"""SageMaker's API: what is done by name is generic; special is only what something runs for."""

from __future__ import annotations

from typing import Any

from optml.local.control.services import batch, hosting, tags, training, tuning

OPERATIONS: dict[str, Any] = {
    **training.OPERATIONS,
    **hosting.OPERATIONS,
    **batch.OPERATIONS,
    **tuning.OPERATIONS,
    **tags.OPERATIONS,
}
