"""MXNet's symbol graphs (`symbol.json`): a network as nodes, each fed by nodes before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 10301  # 1.3.1, which AWS's images carry


@dataclass(frozen=True, slots=True)
class Node:
    """op: "null" is an input or a parameter.   inputs: the places of the nodes that feed it."""

    op: str
    name: str
    inputs: tuple[int, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        attributes = {"attrs": dict(self.attributes)} if self.attributes else {}
        inputs = [[place, 0, 0] for place in self.inputs]
        return {"op": self.op, "name": self.name, **attributes, "inputs": inputs}


def document(nodes: list[Node]) -> dict[str, Any]:
    """The graph whose answer is that of the last node."""
    return {
        "nodes": [node.document() for node in nodes],
        "arg_nodes": [place for place, node in enumerate(nodes) if node.op == "null"],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[len(nodes) - 1, 0, 0]],
        "attrs": {"mxnet_version": ["int", VERSION]},
    }


def nodes(document: object) -> list[dict[str, Any]]:
    """Those of a parsed file; {} in the place of what is none, and nothing of what is no graph."""
    entry = document.get("nodes") if isinstance(document, dict) else None
    return [node if isinstance(node, dict) else {} for node in entry] if isinstance(entry, list) else []


def attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    """Of a node, under the name that its version of MXNet has for them."""
    entry = next((node[key] for key in ("attrs", "attr", "param") if node.get(key)), None)
    return entry if isinstance(entry, dict) else {}


def feeder(nodes: list[dict[str, Any]], node: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The node that feeds an input; {} where there is none."""
    try:
        number = node["inputs"][place][0]
        return nodes[number] if isinstance(number, int) and number >= 0 else {}
    except (KeyError, TypeError, IndexError):
        return {}
