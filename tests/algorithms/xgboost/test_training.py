from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xgboost
from scipy.sparse import csr_array

from optml.algorithms.xgboost import ALGORITHM
from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.xgboost.runs import (
    CLASSES,
    FEATURES,
    NUMBERS,
    POSITIVE,
    both,
    rounds,
    score,
    table,
    train,
)


def test_a_job_is_what_the_library_does_alone(tmp_path: Path) -> None:
    result = train(both(), tmp_path, eta=0.2, max_depth=3, subsample=0.7)
    matrix = xgboost.DMatrix(FEATURES[:300], NUMBERS[:300])
    validation = xgboost.DMatrix(FEATURES[300:], NUMBERS[300:])
    history: dict[str, dict[str, list[float]]] = {}
    hyperparameters = {"eta": 0.2, "max_depth": 3, "subsample": 0.7}
    evals = [(matrix, "train"), (validation, "validation")]
    alone = xgboost.train(hyperparameters, matrix, 10, evals=evals, evals_result=history, verbose_eval=False)
    np.testing.assert_array_equal(score(result), alone.inplace_predict(FEATURES))
    assert result.lines == [
        f"[{number}]\ttrain-rmse:{ours:.5f}\tvalidation-rmse:{theirs:.5f}"
        for number, (ours, theirs) in enumerate(
            zip(history["train"]["rmse"], history["validation"]["rmse"], strict=True)
        )
    ]


def test_a_model_names_no_features_so_that_any_matrix_of_its_width_fits(tmp_path: Path) -> None:
    train(both(), tmp_path).model.save(tmp_path)
    booster = xgboost.Booster()
    booster.load_model(bytearray((tmp_path / "xgboost-model").read_bytes()))
    assert booster.feature_names is None
    assert len(booster.predict(xgboost.DMatrix(FEATURES))) == len(FEATURES)


def test_all_metrics_of_train_come_first_and_regexes_find_them(tmp_path: Path) -> None:
    result = train(both(), tmp_path, eval_metric="rmse,mae,r2,mse", num_round=1)
    assert re.findall(r"[a-z]+-[a-z0-9]+", result.lines[0]) == [
        f"{data}-{name}" for data in ("train", "validation") for name in ("rmse", "mae", "r2", "mse")
    ]
    regexes = {spec.name: spec.regex for spec in ALGORITHM.training.metrics}
    for line in (result.lines[0], result.lines[0].replace("\t", "#011")):
        matches = re.findall(regexes["validation:mse"], line)
        rmse = re.findall(regexes["validation:rmse"], line)
        assert float(matches[0]) == pytest.approx(float(rmse[0]) ** 2, abs=1e-4)  # printed with 5 digits


def test_metrics_of_ours_are_right_on_the_final_scale(tmp_path: Path) -> None:
    result = train(both(POSITIVE), tmp_path, objective="binary:logistic", eval_metric="accuracy", num_round=5)
    hits = (score(result, FEATURES[300:]) > 0.5) == POSITIVE[300:]
    assert result.lines[-1].endswith(f"\tvalidation-accuracy:{hits.mean():.5f}")


def test_a_tuned_metric_with_a_suffix_gets_its_bare_name_too(tmp_path: Path) -> None:
    counts = np.round(np.abs(NUMBERS))
    hyperparameters = {"objective": "reg:tweedie", "num_round": 1}
    result = train(both(counts), tmp_path, tuned="validation:tweedie-nloglik", **hyperparameters)
    assert re.search(
        r"\tvalidation-tweedie-nloglik@1\.5:(\S+)\tvalidation-tweedie-nloglik:\1$", result.lines[0]
    )


def test_early_stopping_keeps_the_rounds_up_to_the_best(tmp_path: Path) -> None:
    result = train(both(), tmp_path, num_round=400, early_stopping_rounds=5, eta=0.5)
    values = [float(line.rpartition(":")[2]) for line in result.lines]
    best = int(np.argmin(values))
    assert len(values) == best + 6
    booster = result.model.members[0].booster
    assert booster.num_boosted_rounds() == best + 1
    assert booster.attr("best_iteration") == str(best)


def test_the_last_metric_drives_early_stopping_and_larger_may_be_better(tmp_path: Path) -> None:
    hyperparameters = {
        "objective": "binary:logistic",
        "eval_metric": "logloss,accuracy",
        "early_stopping_rounds": 3,
    }
    result = train(both(POSITIVE), tmp_path, num_round=200, **hyperparameters)
    values = [float(line.rpartition(":")[2]) for line in result.lines]
    best = int(np.argmax(values))
    assert len(values) == best + 4


def test_early_stopping_needs_a_validation_channel(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the channel 'validation'"):
        train({"train": table(FEATURES, NUMBERS)}, tmp_path, early_stopping_rounds=3)


@pytest.mark.parametrize(
    ("labels", "hyperparameters"),
    [
        (CLASSES, {"objective": "multi:softmax", "num_class": 3, "eval_metric": "accuracy,merror"}),
        (CLASSES, {"objective": "multi:softprob", "num_class": 3}),
        (POSITIVE, {"objective": "binary:hinge"}),
        (POSITIVE, {"objective": "binary:logitraw", "eval_metric": "f1"}),
        (np.abs(NUMBERS), {"objective": "reg:gamma", "eval_metric": "gamma-deviance,gamma-nloglik"}),
        (NUMBERS, {"objective": "reg:pseudohubererror", "huber_slope": 2}),
        (NUMBERS, {"objective": "reg:quantileerror", "quantile_alpha": "0.5"}),
        (NUMBERS, {"booster": "gblinear", "updater": "coord_descent", "feature_selector": "greedy"}),
        (NUMBERS, {"booster": "dart", "rate_drop": 0.2}),
        (NUMBERS, {"tree_method": "exact"}),
        (NUMBERS, {"tree_method": "approx", "interaction_constraints": "[[0,1],[2,3]]"}),
        (NUMBERS, {"grow_policy": "lossguide", "max_leaves": 4, "max_depth": 0, "max_bin": 16}),
        (np.abs(NUMBERS), {"objective": "survival:aft", "eval_metric": "aft-nloglik"}),
        (NUMBERS, {"objective": "survival:cox"}),
        (CLASSES, {"objective": "rank:ndcg", "eval_metric": "ndcg@3,map"}),
    ],
)
def test_every_kind_of_job_trains_and_answers(
    tmp_path: Path, labels: np.ndarray, hyperparameters: dict[str, object]
) -> None:
    if str(hyperparameters.get("objective")).startswith("rank:") and "map" in str(hyperparameters):
        labels = (labels > 1).astype(float)  # map is of relevant and irrelevant
    result = train(both(labels), tmp_path, num_round=3, **hyperparameters)
    assert len(result.lines) == 3
    assert np.isfinite(score(result)).all()


def test_an_empty_cell_and_an_absent_entry_are_missing(tmp_path: Path) -> None:
    holes = FEATURES.copy()
    holes[::3, 0] = np.nan
    dense = train({"train": table(holes, NUMBERS)}, tmp_path)
    rows, columns = np.nonzero(~np.isnan(holes))
    sparse = csr_array((holes[rows, columns], (rows, columns)), shape=holes.shape)
    other = train({"train": table(sparse, NUMBERS)}, tmp_path)
    np.testing.assert_array_equal(score(dense, holes), score(other, sparse))
    for method in ("exact", "approx"):
        whole = train({"train": table(sparse, NUMBERS)}, tmp_path, tree_method=method)
        same = train({"train": table(holes, NUMBERS)}, tmp_path, tree_method=method)
        np.testing.assert_array_equal(score(whole, holes), score(same, holes))


def test_libsvm_files_of_several_widths_join(tmp_path: Path) -> None:
    sparse = csr_array(FEATURES)
    narrow = csr_array(FEATURES[:200, :3])
    data = table(narrow, NUMBERS[:200])
    data.blocks += table(sparse[200:], NUMBERS[200:]).blocks
    data.media = "text/libsvm"
    result = train({"train": data}, tmp_path)
    assert result.model.width == 5


def test_weights_of_rows_count(tmp_path: Path) -> None:
    weights = np.where(np.arange(400) % 2, 1, 0).astype(np.float32)
    by_weight = train({"train": table(FEATURES, NUMBERS, weights=weights)}, tmp_path)
    column = train({"train": table(np.column_stack([weights, FEATURES]), NUMBERS)}, tmp_path, csv_weights=1)
    np.testing.assert_array_equal(score(by_weight), score(column))
    assert not np.array_equal(score(by_weight), score(train({"train": table(FEATURES, NUMBERS)}, tmp_path)))


def test_queries_are_ranked_each_for_itself(tmp_path: Path) -> None:
    groups = np.repeat(np.arange(40)[::-1], 10)  # ids need not ascend
    data = {"train": table(FEATURES, CLASSES, size=37, groups=groups)}  # blocks part queries
    result = train(data, tmp_path, objective="rank:ndcg")
    matrix = xgboost.QuantileDMatrix(FEATURES, CLASSES, qid=np.repeat(np.arange(40), 10))
    alone = xgboost.train({"objective": "rank:ndcg"}, matrix, 10)
    np.testing.assert_allclose(
        score(result), alone.inplace_predict(FEATURES), rtol=1e-5
    )  # sums of other blocks


@pytest.mark.parametrize(
    ("data", "hyperparameters", "message"),
    [
        (table(FEATURES, None), {}, "Got input data without labels"),
        (table(FEATURES, CLASSES - 1), {"objective": "multi:softmax", "num_class": 3}, "row 1 of|row"),
        (table(FEATURES, np.ones((400, 2))), {}, "Optional parameter label_size must be equal to 1"),
        (
            table(FEATURES, NUMBERS, weights=-np.ones(400, np.float32)),
            {},
            "row 1 of train/a.csv has weight -1",
        ),
        (table(FEATURES[:, :1], NUMBERS), {"csv_weights": 1}, "label,weight,features"),
        (
            table(FEATURES, CLASSES, groups=np.tile([1, 2], 200)),
            {"objective": "rank:ndcg"},
            "row 3 of train/a.csv comes back to qid:1",
        ),
        (table(FEATURES, CLASSES, groups=np.full(400, -1)), {"objective": "rank:ndcg"}, "has no qid"),
        (
            table(FEATURES, NUMBERS),
            {"process_type": "update", "updater": "refresh"},
            "give it in the channel 'model'",
        ),
        (table(FEATURES[:, :0], NUMBERS), {}, "labels, but no features"),
        (table(FEATURES[:0], NUMBERS[:0]), {}, "No hosts received training data"),
        (table(FEATURES, NUMBERS), {"monotone_constraints": "(1,0,0,0,0,0,1)"}, "refuses"),
        (
            table(FEATURES, NUMBERS),
            {"interaction_constraints": "[[0,5]]"},
            "names feature 5, but the data have 5",
        ),
        (table(FEATURES, NUMBERS), {"alpha": 1e308}, "refuses .* Out of range"),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(
    tmp_path: Path, data: object, hyperparameters: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train({"train": data}, tmp_path, **hyperparameters)  # type: ignore[dict-item]


def test_channels_must_agree(tmp_path: Path) -> None:
    narrow = {"train": table(FEATURES, NUMBERS), "validation": table(FEATURES[:, :4], NUMBERS)}
    with pytest.raises(UserError, match="'validation' has rows of 4 features"):
        train(narrow, tmp_path)
    channels = both()
    channels["validation"].media = "application/x-parquet"
    with pytest.raises(UserError, match="must hold one content type"):
        train(channels, tmp_path)
    pipe = table(FEATURES, NUMBERS)
    pipe.media, pipe.mode = "text/libsvm", "Pipe"
    with pytest.raises(UserError, match="Pipe mode not supported for LibSVM"):
        train({"train": pipe}, tmp_path)


def test_a_job_that_is_stopped_leaves_a_model_only_where_it_was_asked_to(tmp_path: Path) -> None:
    assert train(both(), tmp_path, stop_after=3).model is None
    result = train(both(), tmp_path, stop_after=3, save_model_on_termination="true")
    assert rounds(result.model) == 3
    assert result.published == [1, 2, 3]


def test_stopped_and_resumed_is_undisturbed(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    first = train(both(), tmp_path, checkpoints=checkpoints, stop_after=4)
    second = train(both(), tmp_path, checkpoints=checkpoints)
    alone = train(both(), tmp_path)
    assert first.lines + second.lines == alone.lines
    np.testing.assert_array_equal(score(second), score(alone))
    assert sorted(path.name for path in checkpoints.iterdir())[-1] == "xgboost-checkpoint.9"


@pytest.mark.parametrize(
    ("labels", "hyperparameters"),
    [
        (NUMBERS, {"subsample": 0.6}),
        (NUMBERS, {"colsample_bytree": 0.5}),
        (NUMBERS, {"subsample": 0.6, "colsample_bylevel": 0.7, "num_parallel_tree": 2}),
        (NUMBERS, {"booster": "dart", "rate_drop": 0.3, "subsample": 0.6, "seed": -5}),
        (NUMBERS, {"booster": "dart", "one_drop": 1, "sample_type": "weighted", "colsample_bynode": 0.7}),
        (NUMBERS, {"tree_method": "exact", "subsample": 0.6, "colsample_bytree": 0.5}),
        (POSITIVE, {"tree_method": "approx", "subsample": 0.6, "objective": "binary:logistic"}),
        (NUMBERS, {"updater": "grow_quantile_histmaker", "subsample": 0.6, "colsample_bylevel": 0.5}),
        (CLASSES, {"objective": "multi:softprob", "num_class": 3, "subsample": 0.6, "colsample_bytree": 0.5}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*manually specified the `updater`")
def test_what_is_drawn_at_random_survives_a_resume(
    tmp_path: Path, labels: np.ndarray, hyperparameters: dict[str, object]
) -> None:
    checkpoints = tmp_path / "checkpoints"
    first = train(both(labels), tmp_path, checkpoints=checkpoints, stop_after=4, **hyperparameters)
    second = train(both(labels), tmp_path, checkpoints=checkpoints, **hyperparameters)
    undisturbed = train(both(labels), tmp_path, checkpoints=tmp_path / "others", **hyperparameters)
    assert first.lines + second.lines == undisturbed.lines
    np.testing.assert_array_equal(score(second), score(undisturbed))


def test_rounds_and_seeds_draw_each_their_own(tmp_path: Path) -> None:
    def models(seed: int) -> list[str]:
        hyperparameters = {"subsample": 0.5, "colsample_bytree": 0.5, "max_depth": 1, "eta": 0, "seed": seed}
        result = train(both(), tmp_path, checkpoints=tmp_path / str(seed), num_round=6, **hyperparameters)
        return [str(tree) for tree in result.model.members[0].booster.get_dump(with_stats=True)]

    trees = models(1) + models(2)  # without steps only what was drawn tells them from each other
    assert len(set(trees)) == 12


def test_early_stopping_survives_a_resume(tmp_path: Path) -> None:
    hyperparameters = {"num_round": 400, "early_stopping_rounds": 5, "eta": 0.5}
    alone = train(both(), tmp_path, **hyperparameters)
    checkpoints = tmp_path / "checkpoints"
    first = train(
        both(), tmp_path, checkpoints=checkpoints, stop_after=len(alone.lines) - 3, **hyperparameters
    )
    second = train(both(), tmp_path, checkpoints=checkpoints, **hyperparameters)
    assert first.lines + second.lines == alone.lines
    np.testing.assert_array_equal(score(second), score(alone))


def test_a_job_that_had_ended_ends_again(tmp_path: Path) -> None:
    first = train(both(), tmp_path, checkpoints=tmp_path / "c")
    again = train(both(), tmp_path, checkpoints=tmp_path / "c")
    assert again.lines == []
    np.testing.assert_array_equal(score(again), score(first))


@pytest.mark.filterwarnings("ignore:.*manually specified the `updater`")
def test_training_goes_on_from_an_earlier_model(tmp_path: Path) -> None:
    train(both(), tmp_path, num_round=5).model.save(tmp_path / "model")
    more = train(both(), tmp_path, num_round=5, warm_start=tmp_path / "model")
    assert rounds(more.model) == 10
    alone = train(both(), tmp_path)
    # The values that fall between bins take other paths: the earlier model is applied to them, not to bins.
    np.testing.assert_allclose(score(more), score(alone), atol=0.05)
    refresh = {"process_type": "update", "updater": "refresh", "num_round": 5}
    revision = train(both(), tmp_path, warm_start=tmp_path / "model", **refresh)
    assert rounds(revision.model) == 5


@pytest.mark.parametrize(("narrow", "wide"), [("train", "validation"), ("validation", "train")])
def test_channels_of_other_widths_are_told_which_has_how_many(tmp_path: Path, narrow: str, wide: str) -> None:
    data = both()
    data[narrow] = table(FEATURES[:50, :4], NUMBERS[:50])
    count = {narrow: "4", wide: "5"}
    message = (
        f"'validation' has rows of {count['validation']} features, but channel 'train' of {count['train']}"
    )
    with pytest.raises(UserError, match=message):
        train(data, tmp_path)


def test_the_log_says_once_that_what_sparse_rows_leave_out_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "optml")
    data = both()
    train(data, tmp_path)
    assert "is a missing value, not 0" not in caplog.text
    holes = np.where(FEATURES > 0, FEATURES, 0)
    data = {"train": table(csr_array(holes[:300]), NUMBERS[:300])}
    train(data, tmp_path)
    assert caplog.text.count("leaves out is a missing value, not 0") == 1


@pytest.mark.parametrize(
    ("hyperparameters", "speaks"), [({}, True), ({"verbosity": 0}, False), ({"silent": 1}, False)]
)
def test_what_the_container_says_of_the_data_goes_by_verbosity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, hyperparameters: dict[str, int], speaks: bool
) -> None:
    caplog.set_level("INFO", "optml.algorithms.xgboost")  # puts it back afterwards
    result = train(both(), tmp_path, num_round=1, **hyperparameters)
    assert ("Train matrix has 300 rows and 5 columns" in caplog.text) == speaks
    assert len(result.lines) == 1


def test_a_request_wider_than_the_model_is_refused(tmp_path: Path) -> None:
    result = train(both(), tmp_path)
    with pytest.raises(UserError, match=r"data 6 is not consistent .* model 5 .*leave the label out"):
        result.model.predict(Records(np.zeros((1, 6), np.float32)), {})
    sparse = Records(csr_array(np.eye(6, dtype=np.float32)))
    with pytest.raises(UserError, match=r"data 6 is not consistent .* count from 1 here and from 0 there"):
        result.model.predict(sparse, {})
    with pytest.raises(UserError, match=r"data 4 is not consistent .* model 5 .*a feature lacks"):
        result.model.predict(Records(np.zeros((1, 4), np.float32)), {})
