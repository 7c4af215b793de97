import pytest

from optml.algorithms import registry
from optml.errors import UserError
from optml.serving.settings import Settings


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.of_environment({})
    assert (settings.port, settings.timeout, settings.max_content_length) == (8080, 60, 128 << 20)
    assert not settings.batch
    assert settings.workers is None


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1"])
def test_flags_are_read_in_any_case(text: str) -> None:
    settings = Settings.of_environment({"SAGEMAKER_BATCH": text, "SAGEMAKER_MULTI_MODEL": text})
    assert settings.batch
    assert settings.multi_model


def test_sagemakers_name_of_the_workers_goes_before_the_other() -> None:
    both = {"SAGEMAKER_MODEL_SERVER_WORKERS": "3", "MODEL_SERVER_WORKERS": "5"}
    assert Settings.of_environment(both).workers == 3
    assert Settings.of_environment({"MODEL_SERVER_WORKERS": "5"}).workers == 5


def test_every_wrong_value_is_named_at_once() -> None:
    wrong = {"SAGEMAKER_BIND_TO_PORT": "http", "MODEL_SERVER_WORKERS": "0", "OPTML_BAD_RECORD": "maybe"}
    with pytest.raises(UserError) as caught:
        Settings.of_environment(wrong)
    assert all(name in str(caught.value) for name in wrong)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("DEEPAR_INFERENCE_CONFIG", "num_samples=50", "is no JSON"),
        ("DEEPAR_INFERENCE_CONFIG", '{"num_samples": 0}', "expected a whole number from 1 on"),
        ("OPTML_XGB_CSV_JOIN", "semicolon", "expected comma"),
        ("SAGEMAKER_INFERENCE_ENSEMBLE", "maybe", "expected true or false"),
        ("SAGEMAKER_INFERENCE_OUTPUT", "predicted_lable", "did you mean 'predicted_label'"),
        ("SAGEMAKER_MULTI_MODEL", "maybe", "expected true or false"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "image/tiff", "not supported"),
        ("OPTML_ALGORITHM", "kmean", "did you mean"),
    ],
)
def test_what_no_model_could_read_is_told_at_the_start(name: str, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"{name}.*{problem}"):
        Settings.of_environment({name: text})


def test_every_variable_of_an_algorithm_is_known_to_the_registry() -> None:
    known = {name for slug in registry.available() for name in registry.get(slug).inference.variables}
    assert known == registry.VARIABLES.keys()
    for name, slug in registry.VARIABLES.items():
        assert name in registry.get(slug).inference.variables
