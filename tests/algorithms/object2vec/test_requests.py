"""Requests: pairs or single inputs, told apart by themselves."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from optml.algorithms.object2vec import requests
from optml.errors import UserError
from optml.formats.content_type import ContentType
from optml.serving.batching import Gate
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from tests.serving.every import served

JSON, LINES = "application/json", "application/jsonlines"
PAIRS = [{"in0": [6, 17, 606], "in1": [16, 21, 13]}, {"in0": [22, 1016], "in1": []}]


def body(instances: list[Any], media: str) -> bytes:
    if media == JSON:
        return json.dumps({"instances": instances}).encode()
    return "\n".join(map(json.dumps, instances)).encode()


def decode(instances: list[Any], media: str = JSON, form: str = "") -> requests.Request:
    return requests.decode(
        body(instances, media), ContentType.parse(media + form), served("object2vec").model
    )


def ask(instances: list[Any], media: str, accept: str) -> bytes:
    predictor = Predictor(served("object2vec"), Gate(1), Settings())
    return predictor.answer(body(instances, media), media, accept, math.inf)[0]


@pytest.mark.parametrize("media", [JSON, LINES])
def test_both_inputs_are_scored_one_is_embedded(media: str) -> None:
    for instances, name in (
        (PAIRS, "scores"),
        ([{"in0": [6, 17]}, {"in0": [774]}], "embeddings"),
        ([{"in1": [6]}], "embeddings"),
    ):
        lines = [json.loads(line) for line in ask(instances, media, LINES).splitlines()]
        assert [list(line) for line in lines] == [[name]] * len(instances)
        assert json.loads(ask(instances, media, JSON)) == {"predictions": lines}


def test_lengths_are_those_of_training_unless_the_request_says_otherwise() -> None:
    long = [{"in0": list(range(1, 200)), "in1": list(range(1, 200))}]

    def lengths(form: str) -> list[int]:
        return [int(side.lengths[0]) for side in decode(long, form=form).sides if side is not None]

    assert lengths("") == [20, 20]
    assert lengths(";infer_max_seqlens=100,5") == [100, 5]
    assert lengths("; infer_max_seqlens=5000, 1") == [199, 1]


@pytest.mark.parametrize("text", ["0,5", "5", "5,5,5", "a,b", "5001,1", "-1,2", "1.5,2", "²,2"])
def test_lengths_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected two whole numbers from 1 to 5000"):
        decode(PAIRS, form=f";infer_max_seqlens={text}")


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([{"in2": [1]}], 'instance 1 of the request is {"in2": [1]}; expected in0, in1 or both'),
        ([[1, 2]], "expected in0, in1 or both"),
        ([*PAIRS, {"in0": [1]}], "instance 3 of the request has in0, those before it in0 and in1"),
        ([{"in0": [1]}, {"in1": [1]}], "instance 2 of the request has in1, those before it in0"),
        ([{"in0": 5}], 'instance 1 of the request: "in0" is 5; expected a list'),
        ([{"in0": [5, "x"]}], '"in0" holds "x"'),
        ([{"in0": [5, -2]}], "negative id -2"),
        ([{"in0": [2000]}], 'Vocab id "2000" is not less than vocab_size=2000'),
    ],
)
def test_what_is_wrong_with_an_instance_is_said(instances: list[Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        decode(instances)
    assert message in str(caught.value)


def test_a_request_without_instances_is_told_what_was_expected() -> None:
    form = ContentType(JSON)
    with pytest.raises(UserError, match=r'must be an object with a list "instances".*"in0"'):
        requests.decode(json.dumps(PAIRS[0]).encode(), form, served("object2vec").model)


def test_requests_of_a_kind_are_joined_and_others_are_not() -> None:
    one, other = decode(PAIRS), decode(PAIRS[:1])
    both = requests.join([one, other])
    assert len(both) == 3
    model = served("object2vec").model
    whole = model.predict(both, {})["scores"]
    np.testing.assert_allclose(whole[:2], model.predict(one, {})["scores"], rtol=1e-5)
    with pytest.raises(UserError, match="do not go together"):
        requests.join([one, decode([{"in0": [1]}])])
