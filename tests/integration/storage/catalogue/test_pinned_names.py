"""What a name pins and a class does not, held against the schedulers of diffusers."""

import itertools
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from storage.catalogue import schedulers  # noqa: E402
from storage.catalogue.scheduler_sets import choose  # noqa: E402
from storage.catalogue.schedulers import CLASSES, NAMES, Scheduler  # noqa: E402
from storage.catalogue.tables import OF_THE_MODEL  # noqa: E402
from storage.errors import JobError  # noqa: E402
from tests.builders import (  # noqa: E402
    DEIS,
    KARRAS_SDE,
    SD3,
    SD15,
    TRAILING,
    ZERO_SNR,
)
from tests.integration.storage.catalogue.test_catalogue import run  # noqa: E402
from tests.matrices import sample  # noqa: E402
from workers.engine.schedulers import build  # noqa: E402

#: A tenth of what models have: some schedulers take half a second to be made for 1,000.
TRAINED = {"num_train_timesteps": 100}
#: By what they are: the family, and a scheduler config as it may be on disk.
KINDS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "sd15": ("sd", SD15),
    "karras+sde": ("sd", KARRAS_SDE),
    "trailing": ("sd", TRAILING),
    "deis": ("sd", DEIS),
    "deis to sigma_min": ("sd", DEIS | {"final_sigmas_type": "sigma_min"}),
    "zero snr": ("sd", ZERO_SNR),
    "unipc of order 3": (
        "sd",
        SD15
        | {"_class_name": "UniPCMultistepScheduler", "solver_order": 3}
        | {"solver_type": "bh1", "predict_x0": False, "final_sigmas_type": "sigma_min"},
    ),
    "dpm-solver": (
        "sd",
        SD15
        | {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}
        | {"final_sigmas_type": "sigma_min", "use_lu_lambdas": True}
        | {"euler_at_final": True, "lower_order_final": False, "solver_type": "heun"},
    ),
    "unipc with heun": (
        "sd",
        SD15 | {"_class_name": "UniPCMultistepScheduler", "solver_type": "heun"},
    ),
    "log-linear": (
        "sd",
        SD15
        | {"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "sigma_min"}
        | {"interpolation_type": "log_linear", "use_exponential_sigmas": True},
    ),
    "sd3": ("sd3", SD3),
    "flow with noise": (
        "sd3",
        SD3 | {"stochastic_sampling": True, "use_karras_sigmas": True},
    ),
    "flow by dpm": (
        "other",
        {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}
        | {"prediction_type": "flow_prediction", "flow_shift": 3.0, "solver_order": 3},
    ),
}
CONFIGS = {
    # Of so few with zero SNR, three steps would repeat some.
    kind: (family, on_disk if kind == "zero snr" else on_disk | TRAINED)
    for kind, (family, on_disk) in KINDS.items()
}

#: Nothing beside the noise levels, spacings, an order of two algorithms, and flows.
DIFFERENT = ("sd15", "karras+sde", "deis to sigma_min", "sd3", "flow by dpm")
#: A config with options that names pin, and one of flow matching.
QUICK = ("karras+sde", "flow by dpm")
#: Those on which schedulers are run, not only made.
RUN = ("sd15", "karras+sde", "deis", "zero snr", "sd3", "flow by dpm")
#: With more of them some spacings repeat timesteps on a zero-SNR config, and diffusers
#: fails, whatever the name.
STEPS = 3


@cache
def loaded(config: str) -> dict[str, Any]:
    """Give a config as workers have it: of the model's own scheduler, once made."""
    on_disk = CONFIGS[config][1]
    own = getattr(diffusers, on_disk["_class_name"])
    return dict(own.from_config(on_disk).config)


@cache
def made(name: str, config: str) -> Any:
    """Make the scheduler of a job as the producer and a worker do between them."""
    asked = schedulers.resolve(name)
    options = schedulers.effective_options(asked, CONFIGS[config][1])
    return build(asked.class_name, options, config=loaded(config), seed=8)


@cache
def picture(name: str, config: str) -> tuple[Any, int]:
    """Run the scheduler of a job; give the latents, and the evaluations."""
    eta = schedulers.resolve(name).extras.get("eta", 0.0)
    return run(deepcopy(made(name, config)), steps=STEPS, eta=eta)


def usable(config: str) -> list[schedulers.Name]:
    family, on_disk = CONFIGS[config]
    return [
        name
        for name in NAMES.values()
        if not schedulers.check(name.scheduler, config=on_disk, family=family)
    ]


@pytest.mark.parametrize("config", sample(CONFIGS, DIFFERENT, quick=QUICK))
def test_a_name_has_what_it_pins_whatever_the_model_says(config: str) -> None:
    assert usable(config)
    for name in usable(config):
        found = made(name.name, config).config
        assert {option: found[option] for option in name.pins} == name.pins, name.name


@pytest.mark.parametrize("config", sample(CONFIGS, DIFFERENT, quick=QUICK))
def test_a_name_leaves_to_the_model_what_is_the_models(config: str) -> None:
    on_disk = CONFIGS[config][1]
    for name in usable(config):
        found = made(name.name, config).config
        left = CLASSES[name.class_name].options.keys() & OF_THE_MODEL.keys()
        for option in (left - name.options.keys()) & on_disk.keys():
            assert found[option] == on_disk[option], (name.name, option)


@pytest.mark.parametrize("config", sample(CONFIGS, DIFFERENT, quick=QUICK))
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_from_config_untouched_or_refused(name: str, config: str) -> None:
    family, on_disk = CONFIGS[config]
    own = {"noise_sampler_seed": 8} if schedulers.takes_seed(name) else {}
    asked = Scheduler(class_name=name)
    problems = schedulers.check(asked, config=on_disk, family=family)
    if any("cannot be made" in each for each in problems):
        with pytest.raises(JobError):
            made(name, config)
        return
    plain = getattr(diffusers, name).from_config(loaded(config), **own)
    assert dict(made(name, config).config) == dict(plain.config)


@pytest.mark.parametrize("config", RUN)
@pytest.mark.parametrize("word", ["all", "every"])
def test_what_a_word_stands_for_runs(word: str, config: str) -> None:
    family, on_disk = CONFIGS[config]
    for each in choose(word, family=family, config=on_disk).schedulers:
        latents, count = picture(each.name or each.class_name, config)
        assert torch.isfinite(latents).all(), each
        assert count == schedulers.evaluations(
            each.class_name,
            schedulers.effective_options(each, on_disk),
            config=on_disk,
            steps=STEPS,
        )


@pytest.mark.parametrize("config", RUN)
def test_all_names_of_a_job_paint_one_picture(config: str) -> None:
    on_disk = CONFIGS[config][1]
    for name in usable(config):
        options = schedulers.effective_options(name.scheduler, on_disk)
        of_job = (name.class_name, options, name.extras)
        for other in schedulers.names_of(*of_job, config=on_disk):
            mine, others = picture(name.name, config)[0], picture(other, config)[0]
            assert torch.equal(mine, others), (name.name, other)


def test_six_names_on_a_karras_and_sde_config_paint_six_pictures() -> None:
    names = (
        *("DPM++ 2M", "DPM++ 2M Karras", "DPM++ 2M SDE", "DPM++ 2M SDE Karras"),
        *("Euler", "Euler Karras"),
    )
    latents = [picture(name, "karras+sde")[0] for name in names]
    for one, other in itertools.combinations(latents, 2):
        assert not torch.equal(one, other)


def test_a_class_on_a_karras_and_sde_config_paints_what_its_name_says() -> None:
    by_class = picture("DPMSolverMultistepScheduler", "karras+sde")[0]
    assert torch.equal(by_class, picture("dpmpp_2m_sde_karras", "karras+sde")[0])
    assert not torch.equal(by_class, picture("dpmpp_2m", "karras+sde")[0])


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_2m_sde_karras", "dpmpp_2s"])
def test_a_name_paints_the_same_on_models_that_differ_in_their_solver(
    name: str,
) -> None:
    plain = picture(name, "deis")[0]
    assert torch.equal(plain, picture(name, "sd15")[0])
