"""The heavy half of tuning as a program, for a server that must stay small: it takes NumPy, torch and the
algorithms into a process of its own.

A question is a line of JSON on standard input, its answer a line on standard output:

    {"table": SLUG}                                        -> {"table": Table.to_json()}
    {"propose": {"request": ..., "tables": {IMAGE: TABLE}, -> {"proposals": [{"number", "definition",
     "limits": true, "trials": [Trial.to_json()...],                          "parameters"}...]}
     "parents": [{"name", "static", "trials"}...],
     "count": 4}}

A question that cannot be answered gets {"error": TEXT}. The program ends with its input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from optml.errors import PlatformError, UserError
from optml.local.tuning import request
from optml.local.tuning.proposals import propose
from optml.local.tuning.tables import Table, table
from optml.local.tuning.trials import Parent, Trial


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What comes of one question. Raises UserError, PlatformError."""
    if "table" in question:
        return {"table": table(question["table"]).to_json()}
    asked = question["propose"]
    tables = {image: Table.from_json(content) for image, content in asked["tables"].items() if content}
    tuning = request.read(asked["request"], tables.get, limits=asked.get("limits", True))
    trials = [Trial.from_json(entry) for entry in asked["trials"]]
    parents = [
        Parent(entry["name"], tuple(map(Trial.from_json, entry["trials"])), entry.get("static", {}))
        for entry in asked.get("parents", ())
    ]
    return {"proposals": [asdict(item) for item in propose(tuning, trials, asked["count"], parents)]}


def main() -> None:
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except (UserError, PlatformError) as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
