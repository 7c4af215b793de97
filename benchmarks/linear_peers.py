"""What Linear Learner is measured against: scikit-learn, liblinear and Vowpal Wabbit on the same tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.tables import Table, whole


def log_loss(labels: np.ndarray, probability: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(labels, probability.astype(np.float64)))


def held_out(table: Table, validation: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Log loss of probabilities on the rows of validation, of test, and of both."""
    labels = table.validation[1], table.test[1]
    return {
        "validation": log_loss(labels[0], validation),
        "test": log_loss(labels[1], test),
        "both": log_loss(np.concatenate(labels), np.concatenate([validation, test])),
    }


def sgd(table: Table, passes: int) -> tuple[Callable[[], object], dict[str, float]]:
    """One more pass of scikit-learn's SGD over scaled rows, and the loss after `passes` of them."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.preprocessing import StandardScaler

    features, labels = table.train
    dense = isinstance(features, np.ndarray)
    scaler = StandardScaler(with_mean=dense).fit(features)
    scaled = scaler.transform(features)
    model = SGDClassifier(loss="log_loss", random_state=0)

    def run() -> None:
        model.partial_fit(scaled, labels, classes=[0, 1])

    for _ in range(passes):
        run()
    parts = (table.validation[0], table.test[0])
    return run, held_out(table, *(model.predict_proba(scaler.transform(part))[:, 1] for part in parts))


def vowpal(table: Table, passes: int) -> tuple[Callable[[], object], dict[str, float]] | None:
    """`passes` passes of Vowpal Wabbit over its cache, and the loss after them; None where it is missing."""
    try:
        from vowpalwabbit import Workspace
    except ImportError:
        print("vowpalwabbit is not installed: left out")
        return None
    folder = Path(tempfile.mkdtemp())
    for name, (features, labels) in (
        ("train", table.train),
        ("validation", table.validation),
        ("test", table.test),
    ):
        with (folder / name).open("w") as file:
            for row, label in zip(features, labels.tolist(), strict=True):
                row = row if isinstance(row, np.ndarray) else row.toarray().ravel()
                places = np.flatnonzero(row)
                cells = " ".join(f"{at}:{row[at]:.7g}" for at in places.tolist())
                file.write(f"{1 if label else -1} | {cells}\n")
    Workspace(f"-d {folder}/train --cache_file {folder}/cache --passes 1 --quiet").finish()
    arguments = (
        f"--cache_file {folder}/cache --passes {passes} --loss_function logistic --holdout_off --quiet"
    )

    def run() -> None:
        Workspace(f"-d {folder}/train {arguments} -f {folder}/model").finish()

    run()
    answers = []
    for name in ("validation", "test"):
        given = f"-t -i {folder}/model -d {folder}/{name} -p {folder}/answers --link logistic --quiet"
        Workspace(given).finish()
        answers.append(np.loadtxt(folder / "answers"))
    return run, held_out(table, *answers)


def exact(table: Table) -> tuple[str, dict[str, float]]:
    """An exact solver and its test metrics, by the words of our log."""
    from sklearn import metrics
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = whole(table)
    test, truth = table.test
    scaler = StandardScaler(with_mean=isinstance(features, np.ndarray))
    if table.kind == "regressor":
        fitted = make_pipeline(scaler, RidgeCV(np.logspace(-3, 3, 13))).fit(features, labels)
        mse = float(metrics.mean_squared_error(truth, fitted.predict(test)))
        return "ridge", {"mse": mse, "rmse": mse**0.5}
    large = table.name.startswith("mnist")
    solver = "lbfgs" if large else "liblinear"
    logistic = LogisticRegression(C=0.1 if large else 1.0, solver=solver, max_iter=150)
    # Pixels are all on one scale: solvers do better on them as they are.
    fitted = (logistic if large else make_pipeline(scaler, logistic)).fit(features, labels)
    probability = fitted.predict_proba(test)
    if table.kind == "multiclass_classifier":
        return solver, {
            "multiclass_accuracy": float(metrics.accuracy_score(truth, probability.argmax(axis=1))),
            "multiclass_log_loss": float(metrics.log_loss(truth, probability)),
        }
    return solver, {
        "binary_classification_accuracy": float(metrics.accuracy_score(truth, probability[:, 1] > 0.5)),
        "roc_auc_score": float(metrics.roc_auc_score(truth, probability[:, 1])),
        "binary_classification_cross_entropy_objective": log_loss(truth, probability[:, 1]),
    }
