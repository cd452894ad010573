"""Back ends in a spec: their jobs, and what each cannot do."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from storage.job import backend_of
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes

NUMPY = "generator: numpy"


def expand_axes(folder: Path, axes: str) -> Expansion:
    return expand(read_spec(write_axes(folder, axes)), describe_fake)


def problems_of(folder: Path, axes: str) -> list[str]:
    with pytest.raises(SpecError) as raised:
        expand_axes(folder, axes)
    return [problem.message for problem in raised.value.problems]


def test_an_axis_of_back_ends_makes_jobs_of_different_keys_and_groups(
    tmp_path: Path,
) -> None:
    expansion = expand_axes(tmp_path, f"{{backend: [torch, flax], {NUMPY}}}")
    torch, flax = (planned.job for planned in expansion.jobs())
    assert (torch.backend, flax.backend) == ("torch", "flax")
    assert torch.generator == flax.generator == "numpy"
    assert torch.key != flax.key
    assert (backend_of(torch.group), backend_of(flax.group)) == ("torch", "flax")
    assert len(torch.group) == len(flax.group) == 16


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            "{backend: flax}",
            "generator must be numpy for `backend: flax`, got cpu; write `generator:"
            " numpy`, with which torch begins from the same noise too",
        ),
        (
            f"{{backend: flax, {NUMPY}, dtype: float16}}",
            "dtype must be float32 or bfloat16 for `backend: flax`, got float16; write"
            " `dtype: bfloat16`",
        ),
        (
            f"{{backend: flax, {NUMPY}, strict: true}}",
            "strict must be left out for `backend: flax`, which has no such input, got"
            " true; leave it out, or use `backend: torch`",
        ),
        (
            f"{{backend: flax, {NUMPY}, clip_skip: 1}}",
            "clip_skip must be left out for `backend: flax`, which has no such input,"
            " got 1; leave it out, or use `backend: torch`",
        ),
        (
            f"{{backend: flax, {NUMPY}, scheduler: ddim, eta: 0.5}}",
            "eta must be left out for `backend: flax`, which has no such input, got"
            " 0.5; leave it out, or use `backend: torch`",
        ),
        (
            f"{{backend: flax, {NUMPY}, scheduler: ddim_eta}}",
            "a scheduler of `backend: flax` must have an eta of 0, which Flax cannot"
            " set, got 1 from ddim_eta; name another, or use `backend: torch`",
        ),
    ],
)
def test_what_flax_cannot_do_is_refused_with_one_sentence(
    tmp_path: Path, axes: str, message: str
) -> None:
    assert problems_of(tmp_path, axes) == [message]


def test_a_model_of_another_pipeline_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(cards.CARD, pipeline_class="LatentConsistencyModelPipeline")
    monkeypatch.setitem(cards.CARDS, "builtin:shapes", other)
    axes = f"{{backend: flax, {NUMPY}, scheduler: ddim}}"
    assert (
        "a model of `backend: flax` must be a StableDiffusionPipeline, got a"
        " LatentConsistencyModelPipeline; use `backend: torch`"
    ) in problems_of(tmp_path, axes)


def test_a_single_file_is_refused_for_flax(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = replace(cards.CARD.model, name="/models/x.safetensors")
    monkeypatch.setitem(cards.CARDS, "builtin:shapes", replace(cards.CARD, model=file))
    axes = f"{{backend: flax, {NUMPY}, scheduler: ddim}}"
    assert (
        "a model of `backend: flax` must be a folder in diffusers format or a Hub id,"
        " got the single file /models/x.safetensors; use `backend: torch`"
    ) in problems_of(tmp_path, axes)


def test_weights_that_flax_saved_are_refused_for_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = replace(cards.CARD, saved_by_flax=True)
    monkeypatch.setitem(cards.CARDS, "builtin:shapes", saved)
    refusal = (
        "backend must be flax for a model that Flax has saved, got torch; write"
        " `backend: flax`, or name the model's safetensors"
    )
    rest = f"{NUMPY}, scheduler: ddim"
    assert problems_of(tmp_path, "{seed: [0, 1]}") == [refusal]
    assert problems_of(tmp_path, f"{{backend: [torch, flax], {rest}}}") == [refusal]
    assert expand_axes(tmp_path, f"{{backend: flax, {rest}}}").count == 1


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("ddpm", "DDPMScheduler"), ("lms", "LMSDiscreteScheduler")],
)
def test_a_scheduler_that_flax_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, name: str, class_name: str
) -> None:
    axes = f"{{backend: flax, {NUMPY}, scheduler: {name}}}"
    (message,) = problems_of(tmp_path, axes)
    assert message.startswith("a scheduler of `backend: flax` must be ")
    assert f", got {class_name}: that of diffusers for Flax ca" in message
    assert message.endswith(", or use `backend: torch`")


def test_torch_beside_flax_may_do_what_flax_cannot(tmp_path: Path) -> None:
    both = "{backend: [torch, flax], generator: [cpu, numpy], scheduler: [ddim, lms]}"
    assert len(problems_of(tmp_path, both)) == 2  # the generator, the scheduler
    file = write_axes(
        tmp_path,
        both,
        rest="exclude: [{backend: flax, generator: cpu}, {backend: flax, scheduler: "
        "lms}]",
    )
    expansion = expand(read_spec(file), describe_fake)
    flax = [one.job for one in expansion.jobs() if one.job.backend == "flax"]
    assert expansion.count == 5
    assert [(job.scheduler_class, job.generator) for job in flax] == [
        ("DDIMScheduler", "numpy")
    ]


def test_all_stands_for_the_schedulers_that_each_back_end_has(tmp_path: Path) -> None:
    axes = f"{{backend: [torch, flax], {NUMPY}, scheduler: all}}"
    expansion = expand_axes(tmp_path, axes)
    made: dict[str, set[str]] = {"torch": set(), "flax": set()}
    for planned in expansion.jobs():
        made[planned.job.backend].add(planned.job.scheduler_class)
    assert "DDIMScheduler" in made["flax"]
    assert "LMSDiscreteScheduler" in made["torch"] - made["flax"]
    assert any("`all` leaves out" in note for note in expansion.notes)
