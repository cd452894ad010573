"""What the Flax back end has of each scheduler, as a plan reads it without JAX."""

from storage.catalogue import backends
from storage.catalogue.schedulers import CLASSES
from tests.builders import SD15


def test_each_class_and_option_of_the_table_is_one_of_the_catalogue() -> None:
    for name, row in backends.FLAX_SCHEDULERS.items():
        assert row.limits.keys() <= CLASSES[name].options.keys()
        for option, allowed in row.limits.items():
            assert all(map(CLASSES[name].options[option].accepts, allowed))


def test_the_usual_schedulers_need_nothing() -> None:
    for name in backends.SUPPORTED:
        assert backends.find_problems(name, {}, config=SD15) == []


def test_a_class_without_flax_is_refused() -> None:
    [problem] = backends.find_problems("UniPCMultistepScheduler", {}, config=SD15)
    assert "got UniPCMultistepScheduler: diffusers has none for Flax" in problem


def test_an_option_that_flax_lacks_is_refused_also_in_the_models_config() -> None:
    name = "DPMSolverMultistepScheduler"
    karras = {"use_karras_sigmas": True}
    own = backends.find_problems(name, karras, config=SD15)
    inherited = backends.find_problems(name, {}, config={**SD15, **karras})
    assert own == inherited
    assert own == [
        "use_karras_sigmas of DPMSolverMultistepScheduler must be false with "
        "`backend: flax`, got true; change it, or use `backend: torch`"
    ]
