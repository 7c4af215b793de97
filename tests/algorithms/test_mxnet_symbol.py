"""Symbol graphs as MXNet writes and reads them."""

from __future__ import annotations

import json

import pytest

from optml.algorithms import mxnet_symbol
from optml.algorithms.mxnet_symbol import Node

NODES = [
    Node("null", "data"),
    Node("null", "weight", attributes={"__shape__": "(3, 2)"}),
    Node("dot", "dot0", (0, 1)),
]


def test_a_graph_is_written_as_mxnet_writes_it() -> None:
    assert json.dumps(mxnet_symbol.document(NODES)) == json.dumps(
        {
            "nodes": [
                {"op": "null", "name": "data", "inputs": []},
                {"op": "null", "name": "weight", "attrs": {"__shape__": "(3, 2)"}, "inputs": []},
                {"op": "dot", "name": "dot0", "inputs": [[0, 0, 0], [1, 0, 0]]},
            ],
            "arg_nodes": [0, 1],
            "node_row_ptr": [0, 1, 2, 3],
            "heads": [[2, 0, 0]],
            "attrs": {"mxnet_version": ["int", 10301]},
        }
    )


def test_nodes_are_read_back_with_what_feeds_them() -> None:
    nodes = mxnet_symbol.nodes(mxnet_symbol.document(NODES))
    assert mxnet_symbol.feeder(nodes, nodes[2], 1)["name"] == "weight"
    assert mxnet_symbol.attributes(nodes[1]) == {"__shape__": "(3, 2)"}
    assert mxnet_symbol.attributes(nodes[2]) == {}


@pytest.mark.parametrize("key", ["attrs", "attr", "param"])
def test_attributes_go_by_the_name_of_any_version(key: str) -> None:
    assert mxnet_symbol.attributes({"op": "Activation", key: {"act_type": "tanh"}}) == {"act_type": "tanh"}


@pytest.mark.parametrize("document", [None, [], {}, {"nodes": 3}, "nodes"])
def test_what_is_no_graph_has_no_nodes(document: object) -> None:
    assert mxnet_symbol.nodes(document) == []


@pytest.mark.parametrize("inputs", [None, [], [3], [[-1, 0, 0]], [[9, 0, 0]], [["a"]]])
def test_a_damaged_node_is_fed_by_nothing(inputs: object) -> None:
    nodes = mxnet_symbol.nodes({"nodes": [7, {"op": "dot", "inputs": inputs}]})
    assert nodes[0] == {}
    assert mxnet_symbol.feeder(nodes, nodes[1], 0) == {}
