import inspect
import itertools
import typing
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from diffusers.utils import dummy_torch_and_torchsde_objects as dummies  # noqa: E402

from storage.catalogue import schedulers  # noqa: E402
from storage.catalogue.scheduler_sets import choose  # noqa: E402
from storage.catalogue.schedulers import CLASSES, NAMES, Option, Scheduler  # noqa: E402
from storage.errors import JobError, UnfitError  # noqa: E402
from tests.builders import SD3, SD15  # noqa: E402
from tests.matrices import sample  # noqa: E402
from workers.engine.schedulers import build, fetch_class  # noqa: E402

#: A config in which many keys differ from the defaults of the classes.
RICH = {
    **SD15,
    "_class_name": "DPMSolverMultistepScheduler",
    "clip_sample_range": 2.0,
    "solver_order": 3,
    "solver_type": "heun",
    "algorithm_type": "sde-dpmsolver++",
    "timestep_spacing": "trailing",
    "use_karras_sigmas": True,
    "final_sigmas_type": "sigma_min",
    "thresholding": True,
}
#: Classes that take half a second to be made for 1,000 timesteps.
SLOW = {
    "DPMSolverSDEScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
}
#: Noise of its own, a linear system of equations, flow matching.
QUICK = {
    "EulerAncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
}
#: How many evaluations there are follows from the class, but for options of few names.
OF_EACH_CLASS = {row.class_name: name for name, row in NAMES.items()}.values()
KINDS = {"sd15": SD15, "rich": RICH, "sd3": SD3}


def config_for(row: schedulers.Name) -> dict[str, Any]:
    return SD3 if row.family == "flow" else SD15


def family_for(row: schedulers.Name) -> str:
    return "sd3" if row.family == "flow" else "sd"


def run(
    scheduler: Any, *, steps: int, eta: float = 0.0, noise_seed: int = 3
) -> tuple[Any, int]:
    """Denoise 4x4 latents, always the same, with a smooth stand-in for a network."""
    moved = {"mu": 0.7} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(steps, **moved)
    first = torch.Generator().manual_seed(1)
    latents, bias = torch.randn(2, 1, 4, 4, 4, generator=first)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    generator = torch.Generator().manual_seed(noise_seed)
    given = {"eta": eta, "generator": generator}
    accepted = inspect.signature(scheduler.step).parameters
    given = {name: value for name, value in given.items() if name in accepted}
    scale = getattr(scheduler, "scale_model_input", lambda latents, _: latents)
    for timestep in scheduler.timesteps:
        noise = torch.tanh(scale(latents, timestep)) + 0.1 * bias
        stepped = scheduler.step(noise, timestep, latents, return_dict=False, **given)
        latents = stepped[0]
    return latents, len(scheduler.timesteps)


def samples(option: Option) -> list[Any]:
    """Give values of an option that are worth trying, its default not among them."""
    own: dict[str, list[Any]] = {"sigma_min": [0.1], "sigma_max": [10.0]}
    if option.kind == "bool":
        values: list[Any] = [True, False]
    elif option.choices:
        values = list(option.choices)
    elif option.kind == "int" and option.maximum == 3:
        values = [1, 2, 3]
    elif option.kind == "ints":
        values = [[0, 1]]
    else:
        values = own.get(option.name, [100 if option.kind == "int" else 0.9])
    return [value for value in values if value != option.default]


@pytest.mark.parametrize("name", CLASSES)
def test_the_catalogue_knows_every_option_of_a_class(name: str) -> None:
    taken = list(inspect.signature(fetch_class(name).__init__).parameters)[1:]
    of = CLASSES[name]
    assert sorted([*of.options, *of.fixed]) == sorted(taken)


@pytest.mark.parametrize("name", CLASSES)
def test_the_catalogue_knows_every_default(name: str) -> None:
    parameters = inspect.signature(fetch_class(name).__init__).parameters
    for option in CLASSES[name].options.values():
        default = parameters[option.name].default
        assert option.default == default, option.name
        assert type(option.default) is type(default), option.name


@pytest.mark.parametrize("name", CLASSES)
def test_choices_are_those_that_diffusers_declares(name: str) -> None:
    hints = inspect.signature(fetch_class(name).__init__).parameters
    left_out = {"sample", "epsilon", "v_prediction", "fixed_large_log"}
    left_out |= {"learned", "learned_range"}
    for option in CLASSES[name].options.values():
        declared = set(typing.get_args(hints[option.name].annotation))
        if option.choices and all(isinstance(each, str) for each in declared):
            assert not declared or set(option.choices) == declared - left_out


def test_the_catalogue_covers_what_diffusers_calls_compatible() -> None:
    compatible = {each.__name__ for each in diffusers.PNDMScheduler().compatibles}
    assert compatible - {"EDMEulerScheduler"} <= set(CLASSES)


def test_all_is_the_compatible_classes_without_edm_and_with_sa_solver() -> None:
    compatible = {each.__name__ for each in diffusers.PNDMScheduler().compatibles}
    found = choose("all", family="sd", config=SD15).schedulers
    wanted = (compatible - {"EDMEulerScheduler"}) | {"SASolverScheduler"}
    assert {each.class_name for each in found} == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_name_runs_and_costs_what_the_catalogue_says(name: str) -> None:
    check_runs(NAMES[name], config_for(NAMES[name]), steps=(1, 4, 20))


def test_pndm_costs_more_with_its_runge_kutta_start() -> None:
    check_runs(NAMES["pndm"], SD15 | {"skip_prk_steps": False}, steps=(4, 20))


def check_runs(
    row: schedulers.Name, config: dict[str, Any], *, steps: tuple[int, ...]
) -> None:
    made = build(row.class_name, row.options, config=config, seed=8)
    assert schedulers.check(row.scheduler, config=config, family=family_for(row)) == []
    for each in steps:
        asked = {"config": config, "steps": each}
        assert schedulers.check_steps(row.scheduler, **asked) == []
        eta = row.extras.get("eta", 0.0)
        latents, count = run(deepcopy(made), steps=each, eta=eta)
        assert torch.isfinite(latents).all()
        assert count == schedulers.evaluations(row.class_name, row.options, **asked)


@pytest.mark.parametrize("name", sample(NAMES, OF_EACH_CLASS))
def test_evaluations_are_the_length_of_the_timesteps(name: str) -> None:
    row = NAMES[name]
    for spacing in ("leading", "trailing"):
        config = config_for(row) | {"timestep_spacing": spacing}
        made = build(row.class_name, row.options, config=config, seed=0)
        for steps in (1, 2, 3, 5, 7, 13, 33, 50, 61, 103):
            if row.family == "distilled" and steps > 50:
                continue
            made.set_timesteps(steps)
            counted = schedulers.evaluations(
                row.class_name, row.options, config=config, steps=steps
            )
            assert counted == len(made.timesteps), (spacing, steps)


def test_pndm_with_its_runge_kutta_start_fails_below_four_steps() -> None:
    made = build("PNDMScheduler", {"skip_prk_steps": False}, config=SD15, seed=0)
    with pytest.raises(ValueError, match="broadcast"):
        made.set_timesteps(3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLASSES)
def test_what_is_inherited_is_what_from_config_gives(name: str, kind: str) -> None:
    config, made = plain_of(name, kind)
    for option in CLASSES[name].options:
        assert CLASSES[name].inherited(option, config) == made[option], option


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLASSES)
def test_an_option_is_dropped_only_where_from_config_gives_it_anyway(
    name: str, kind: str
) -> None:
    config, plain = plain_of(name, kind)
    for option in CLASSES[name].options.values():
        for value in [option.default, *samples(option)]:
            scheduler = Scheduler(class_name=name, options={option.name: value})
            kept = schedulers.effective_options(scheduler, config)
            assert (not kept) is bool(plain[option.name] == value), (option, value)


@pytest.mark.parametrize("name", sample(CLASSES, CLASSES.keys() - SLOW, quick=QUICK))
def test_options_that_pass_the_checks_run_and_are_finite(name: str) -> None:
    assert check_options(name, most=1, steps=(1, 4, 20))
    assert check_options(name, most=2, steps=(1, 4), every=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_all_pairs_of_options_that_pass_the_checks_run(name: str) -> None:
    assert check_options(name, most=2, steps=(1, 4, 20))


def check_options(
    name: str, *, most: int, steps: tuple[int, ...], every: int = 1
) -> int:
    """Run a class with up to `most` options at once; return how many runs it took."""
    tried = 0
    for options, config, family in [*_combinations(name, most)][::every]:
        scheduler = Scheduler(class_name=name, options=options)
        if schedulers.check(scheduler, config=config, family=family):
            continue
        made = build(name, options, config=config, seed=8)
        for count in steps:
            if schedulers.check_steps(scheduler, config=config, steps=count):
                continue
            latents, made_of = run(made, steps=count)
            assert torch.isfinite(latents).all(), (options, count)
            assert made_of == schedulers.evaluations(
                name, options, config=config, steps=count
            )
            tried += 1
    return tried


@pytest.mark.parametrize("name", NAMES)
def test_determinism_is_what_the_catalogue_says(name: str) -> None:
    row = NAMES[name]
    eta = row.extras.get("eta", 0.0)
    drawn = [
        run(
            build(row.class_name, row.options, config=config_for(row), seed=seed),
            steps=6,
            eta=eta,
            noise_seed=seed,
        )[0]
        for seed in (1, 2)
    ]
    assert torch.equal(*drawn) is row.is_deterministic


def test_a_seed_of_the_job_decides_the_noise_of_dpm_solver_sde() -> None:
    first, again, other = (
        run(build("DPMSolverSDEScheduler", {}, config=SD15, seed=seed), steps=4)[0]
        for seed in (8, 8, 9)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_options_do_not_leak_from_one_scheduler_to_the_next() -> None:
    build("EulerDiscreteScheduler", {"use_karras_sigmas": True}, config=SD15, seed=0)
    made = build("DPMSolverMultistepScheduler", {}, config=SD15, seed=0)
    assert made.config.use_karras_sigmas is False


@pytest.mark.parametrize(
    "algorithm", ["deis", "dpmsolver++", "sde-dpmsolver++", "sde-dpmsolver"]
)
@pytest.mark.parametrize("final", ["sigma_min", "zero"])
@pytest.mark.parametrize("name", CLASSES)
def test_a_config_that_a_class_cannot_read_is_refused(
    name: str, final: str, algorithm: str
) -> None:
    # Of few timesteps: some classes take half a second to be made for 1,000.
    config = SD15 | {"num_train_timesteps": 100, "final_sigmas_type": final}
    config |= {"algorithm_type": algorithm}
    plain = Scheduler(class_name=name)
    found = "".join(schedulers.check(plain, config=config, family="other"))
    said = ("cannot be made from a model's config", "cannot end at sigma zero")
    is_refused = any(words in found for words in said)
    try:
        build(name, {}, config=config, seed=0)
    except JobError:
        assert is_refused
    else:
        assert not is_refused


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        diffusers, "DPMSolverSDEScheduler", dummies.DPMSolverSDEScheduler
    )
    with pytest.raises(UnfitError, match="pip install torchsde"):
        build("DPMSolverSDEScheduler", {}, config=SD15, seed=0)


def test_a_class_that_diffusers_lacks_is_a_job_error() -> None:
    with pytest.raises(JobError, match="must be a class of diffusers, got NoScheduler"):
        fetch_class("NoScheduler")


def test_options_that_diffusers_refuses_are_a_job_error() -> None:
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    with pytest.raises(JobError, match="Only one of"):
        build("EulerDiscreteScheduler", both, config=SD15, seed=0)


@cache
def plain_of(name: str, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a model's config, and that of a class without options made from it."""
    config = KINDS[kind]
    if name in ("SASolverScheduler", "DEISMultistepScheduler"):
        # Some algorithm types make them raise.
        config = {key: each for key, each in config.items() if key != "algorithm_type"}
    return config, dict(build(name, {}, config=config, seed=0).config)


def _combinations(
    name: str, most: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Yield every choice of up to `most` options; of one for a class of `SLOW`."""
    of = CLASSES[name]
    values = [(each, v) for each, o in of.options.items() for v in samples(o)]
    sizes = range(2 if name in SLOW else most + 1)
    chosen = [c for size in sizes for c in itertools.combinations(values, size)]
    for pairs in chosen:
        if len(dict(pairs)) < len(pairs):
            continue
        if of.family == "flow":
            yield dict(pairs), SD3, "sd3"
        else:
            yield dict(pairs), SD15, "sd"
        if "use_flow_sigmas" in of.options:
            flow = dict(NAMES["flow_unipc"].options)
            yield flow | dict(pairs), SD3, "sd3"
