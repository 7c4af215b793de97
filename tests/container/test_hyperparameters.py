from __future__ import annotations

import json
import logging
from typing import Annotated, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, field_validator, model_validator

from optml.algorithms.base import Hyperparameters
from optml.container.hyperparameters import Engine, fields, parse
from optml.errors import UserError

METRICS = ("test:msd", "train:msd")


class Sample(Hyperparameters):
    feature_dim: int = Field(ge=1, description="Number of features.")
    k: int = Field(10, ge=1, le=1000, json_schema_extra={"tunable": {"min": 2, "max": 20, "scale": None}})
    rate: float = Field(0.5, gt=0, le=1)
    method: Literal["random", "kmeans++"] = "random"
    factor: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    weight: Annotated[float, Field(ge=0)] | Literal["balanced", "auto"] = 1.0
    metrics: tuple[Literal["msd", "ssd"], ...] = ("msd",)
    layers: tuple[Annotated[int, Field(ge=1)], ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    dense: bool = True
    patience: int | None = Field(None, ge=0)
    prefix: str = ""
    lambda_: float = Field(1.0, alias="lambda", ge=0)

    @field_validator("method", mode="before")
    @classmethod
    def _alias(cls, value: str) -> str:
        return "kmeans++" if value == "k-means++" else value

    @model_validator(mode="after")
    def _room(self) -> Sample:
        if self.k > self.feature_dim * 100:
            raise ValueError(f"k={self.k} is more than 100 times feature_dim={self.feature_dim}")
        return self


def read(**raw: object) -> Sample:
    return parse({"feature_dim": "784", **raw}, Sample, METRICS)[0]


def problems(**raw: object) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse({"feature_dim": "784", **raw}, Sample, METRICS)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("text", ["12", " 12 ", "+12", "12.0", "1.2e1", '"12"', '" 12 "', 12, 12.0])
def test_every_spelling_of_an_integer_is_read(text: object) -> None:
    value = read(k=text).k
    assert value == 12
    assert type(value) is int


@pytest.mark.parametrize("text", ["0.25", ".25", "2.5e-1", '"0.25"', 0.25])
def test_every_spelling_of_a_number_is_read(text: object) -> None:
    assert read(rate=text).rate == 0.25


@pytest.mark.parametrize(
    ("text", "value"),
    [(spelling, True) for spelling in ("True", "true", "TRUE", "1", "yes", "Yes", '"true"', True, 1)]
    + [(spelling, False) for spelling in ("False", "false", "0", "no", "NO", '"False"', False, 0)],
)
def test_every_spelling_of_a_boolean_is_read(text: object, value: bool) -> None:
    assert read(dense=text).dense is value


@pytest.mark.parametrize(
    "text",
    [
        '["msd", "ssd"]',
        "['msd', 'ssd']",
        "('msd', 'ssd')",
        "msd,ssd",
        "msd, ssd",
        "'msd', 'ssd'",
        '"msd,ssd"',
        '"[\\"msd\\", \\"ssd\\"]"',
        ["msd", "ssd"],
    ],
)
def test_every_spelling_of_a_list_is_read(text: object) -> None:
    assert read(metrics=text).metrics == ("msd", "ssd")


def test_lists_may_be_empty_hold_numbers_or_lists() -> None:
    assert read(layers="[]").layers == ()
    assert read(layers="64, 32").layers == (64, 32)
    assert read(layers="7").layers == (7,)
    assert read(layers=7).layers == (7,)
    assert read(groups="[[0, 1], [2]]").groups == ((0, 1), (2,))
    assert read(groups="((0, 1), (2,))").groups == ((0, 1), (2,))


@pytest.mark.parametrize("text", ["auto", "AUTO", "Auto", '"auto"'])
def test_auto_is_a_token_in_any_case(text: str) -> None:
    assert read(factor=text).factor == "auto"
    assert read(weight=text).weight == "auto"


def test_a_number_beside_a_token_is_read_as_a_number() -> None:
    assert read(factor="4").factor == 4
    assert read(weight="2").weight == 2.0


@pytest.mark.parametrize("text", ["", "  ", '""', "None", "null", None])
def test_empty_and_null_mean_not_given(text: object) -> None:
    sample = read(k=text, patience=text, method=text, metrics=text, prefix=text, dense=text)
    assert sample == Sample(feature_dim=784)


def test_text_loses_only_the_quotes_that_an_estimator_added() -> None:
    assert read(prefix='"s3://a b"').prefix == "s3://a b"
    assert read(prefix='"half').prefix == '"half'
    assert read(prefix="it's").prefix == "it's"


def test_an_algorithms_own_validator_may_accept_an_alias() -> None:
    assert read(method="k-means++").method == "kmeans++"


def test_a_name_that_python_reserves_is_published_under_its_alias() -> None:
    assert read(**{"lambda": "2"}).lambda_ == 2.0
    assert problems(**{"lambda": "-1"}) == ["hyperparameter lambda='-1' is not a number >= 0"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("feature_dim", "abc", "hyperparameter feature_dim='abc' is not an integer >= 1"),
        ("feature_dim", "0", "hyperparameter feature_dim='0' is not an integer >= 1"),
        ("k", "1.5", "hyperparameter k='1.5' is not an integer >= 1 and <= 1000"),
        ("k", "1_0", "hyperparameter k='1_0' is not an integer >= 1 and <= 1000"),
        ("k", "1e999", "hyperparameter k='1e999' is not an integer >= 1 and <= 1000"),
        ("k", "9" * 5000, f"hyperparameter k='{'9' * 100}...' is not an integer >= 1 and <= 1000"),
        ("rate", "nan", "hyperparameter rate='nan' is not a number > 0 and <= 1"),
        ("rate", "-inf", "hyperparameter rate='-inf' is not a number > 0 and <= 1"),
        ("rate", float("nan"), "hyperparameter rate='NaN' is not a number > 0 and <= 1"),
        ("rate", "1e999", "hyperparameter rate='1e999' is not a number > 0 and <= 1"),
        ("rate", "0", "hyperparameter rate='0' is not a number > 0 and <= 1"),
        ("dense", "maybe", "hyperparameter dense='maybe' is not true or false"),
        ("factor", "0", "hyperparameter factor='0' is not an integer >= 1 or 'auto'"),
        ("factor", "many", "hyperparameter factor='many' is not an integer >= 1 or 'auto'"),
        ("layers", "[1, 0]", "hyperparameter layers='[1, 0]' is not a list of an integer >= 1"),
        ("layers", "[1, 'x']", "hyperparameter layers='[1, 'x']' is not a list of an integer >= 1"),
        ("layers", "[1", "hyperparameter layers='[1' is not a list of an integer >= 1"),
        ("layers", "[1, {2}]", "hyperparameter layers='[1, {2}]' is not a list of an integer >= 1"),
        ("metrics", "[mse]", "hyperparameter metrics='[mse]' is not a list of 'msd', 'ssd'"),
        (
            "method",
            "kmean++",
            "hyperparameter method='kmean++' is not one of 'random', 'kmeans++'; did you mean 'kmeans++'?",
        ),
        ("_num_gpus", "-1", "hyperparameter _num_gpus='-1' is not an integer >= 0 or 'auto'"),
        (
            "_log_level",
            "loud",
            "hyperparameter _log_level='loud' is not one of 'debug', 'info', 'warning', 'error'",
        ),
        ("mini_k", "1", None),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(name: str, text: object, expected: str | None) -> None:
    found = problems(**{name: text})
    assert len(found) == 1
    assert expected is None or found == [expected]


def test_deeply_nested_text_is_refused_without_a_traceback() -> None:
    assert problems(layers="[" * 100_000)[0].startswith("hyperparameter layers='[[[")


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert problems(feature_dims="3") == [
        "hyperparameter 'feature_dims' is unknown; did you mean 'feature_dim'?"
    ]
    assert problems(zzz="3")[0].startswith("hyperparameter 'zzz' is unknown; known: feature_dim, k, rate, ")


def test_the_known_names_are_listed_once() -> None:
    assert problems(zzz="3", yyy="3")[1] == "hyperparameter 'yyy' is unknown"


def test_a_missing_value_says_what_it_should_be() -> None:
    assert problems(feature_dim="") == [
        "hyperparameter feature_dim is required and was not given: an integer >= 1"
    ]


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(UserError) as caught:
        parse({"k": "0", "rate": "x", "metods": "random", "_log_level": "loud"}, Sample, METRICS)
    found = str(caught.value).split("\n")
    assert len(found) == 5
    assert {line.split("=")[0] for line in found} >= {
        "hyperparameter k",
        "hyperparameter rate",
        "hyperparameter _log_level",
        "hyperparameter 'metods' is unknown; did you mean 'method'?",
        "hyperparameter feature_dim is required and was not given: an integer >",
    }


def test_a_rule_between_fields_speaks_its_own_sentence() -> None:
    assert problems(feature_dim="1", k="200") == ["k=200 is more than 100 times feature_dim=1"]


def test_a_rule_between_fields_is_silent_where_a_value_is_unreadable() -> None:
    assert problems(feature_dim="1", k="200", rate="x") == [
        "hyperparameter rate='x' is not a number > 0 and <= 1"
    ]


def test_internal_names_become_engine_knobs_or_are_ignored() -> None:
    raw = {
        "_num_gpus": "0",
        "_log_level": "DEBUG",
        "_tuning_objective_metric": "test:msd",
        "_kvstore": "dist",
    }
    raw |= {"feature_dim": "3", "sagemaker_program": '"train.py"', "_enable_profiler": "false"}
    assert parse(raw, Sample, METRICS)[1] == Engine(0, "debug", "test:msd")
    raw |= {"_num_gpus": "auto", "_log_level": "", "_tuning_objective_metric": ""}
    assert parse(raw, Sample, METRICS)[1] == Engine()


def test_a_foreign_tuning_objective_is_only_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        engine = parse({"feature_dim": "3", "_tuning_objective_metric": "my:loss"}, Sample, METRICS)[1]
    assert engine.tuning_objective_metric == "my:loss"
    assert "'my:loss' is none of the metrics known here: test:msd, train:msd" in caplog.text


def test_the_schema_says_what_the_model_declares() -> None:
    specs = {spec.name: spec for spec in fields(Sample)}
    assert [(s.type, s.min, s.max, s.exclusive_min, s.choices, s.default) for s in specs.values()] == [
        ("integer", 1, None, False, None, None),
        ("integer", 1, 1000, False, None, 10),
        ("float", 0, 1, True, None, 0.5),
        ("enum", None, None, False, ["random", "kmeans++"], "random"),
        ("integer|auto", 1, None, False, None, "auto"),
        ("float|balanced|auto", 0, None, False, ["balanced", "auto"], 1.0),
        ("json-list", None, None, False, ["msd", "ssd"], ["msd"]),
        ("json-list", 1, None, False, None, []),
        ("json-list", None, None, False, None, []),
        ("boolean", None, None, False, ["true", "false"], True),
        ("integer", 0, None, False, None, None),
        ("string", None, None, False, None, ""),
        ("float", 0, None, False, None, 1.0),
    ]
    assert [name for name, spec in specs.items() if spec.required] == ["feature_dim"]
    assert specs["feature_dim"].meaning == "Number of features."
    assert specs["k"].tunable == {"min": 2, "max": 20, "scale": None}


def test_an_annotation_that_strings_cannot_express_is_refused() -> None:
    class Odd(Hyperparameters):
        table: dict[str, int]

    with pytest.raises(TypeError, match="dict"):
        fields(Odd)


def quoted(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, json.dumps(text), f"  {text} "])


@given(st.data(), st.integers(1, 1000))
def test_integers_survive_every_encoding(data: st.DataObject, k: int) -> None:
    text = data.draw(st.sampled_from([str(k), f"+{k}", f"{k}.0", f"{k}e0", f"{k * 10}e-1"]).flatmap(quoted))
    assert read(k=text).k == read(k=k).k == k


@given(st.data(), st.floats(0, 1, exclude_min=True, allow_subnormal=False))
def test_floats_survive_every_encoding(data: st.DataObject, rate: float) -> None:
    assert read(rate=data.draw(quoted(repr(rate)))).rate == read(rate=rate).rate == rate


@given(st.data(), st.lists(st.sampled_from(["msd", "ssd"]), min_size=1, max_size=4))
def test_lists_of_words_survive_every_encoding(data: st.DataObject, items: list[str]) -> None:
    spellings = [json.dumps(items), repr(items), repr(tuple(items)), ",".join(items), ", ".join(items)]
    text = data.draw(st.sampled_from(spellings).flatmap(quoted))
    assert read(metrics=text).metrics == read(metrics=items).metrics == tuple(items)


@given(st.data(), st.lists(st.integers(1, 10**6), min_size=1, max_size=4))
def test_lists_of_integers_survive_every_encoding(data: st.DataObject, items: list[int]) -> None:
    text = data.draw(
        st.sampled_from([json.dumps(items), repr(tuple(items)), ",".join(map(str, items))]).flatmap(quoted)
    )
    assert read(layers=text).layers == tuple(items)


@given(
    st.text().filter(
        lambda text: text.strip() not in ("", "null", "None") and not text.strip().startswith('"')
    )
)
def test_text_survives_every_encoding(text: str) -> None:
    assert read(prefix=text).prefix == read(prefix=json.dumps(text)).prefix == text.strip()


@example({"_num_gpus": "0\n0"})
@example({"_log_level": "info\ndebug"})
@given(
    st.dictionaries(
        st.sampled_from([*Sample.model_fields, "lambda", "_num_gpus", "_log_level", "other"]),
        st.text() | st.none(),
    )
)
def test_any_text_is_read_or_refused_in_sentences(raw: dict[str, object]) -> None:
    try:
        parse(raw, Sample, METRICS)
    except UserError as error:
        refused = str(error).split("\n")
    else:
        refused = []
    assert all(line.startswith(("hyperparameter ", "k=")) for line in refused)
