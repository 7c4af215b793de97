import pytest

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
