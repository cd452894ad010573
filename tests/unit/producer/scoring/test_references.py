"""What distances are measured from: the same job at many more steps."""

from pathlib import Path
from typing import Any

import pytest

from producer.models.cards import ModelCard, describe
from producer.scoring.references import Reference, References, Without, require_same
from storage.catalogue.schedulers import effective_options, resolve
from storage.errors import UsageError
from storage.job import Model, PlannedJob
from tests.builders import SHAPES, make_planned


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return describe("builtin:shapes", base_dir=Path())


def planned(card: ModelCard, name: str, **changes: Any) -> PlannedJob:
    asked = resolve(name)
    values = {
        "model": card.model,
        "dtype": "float32",
        "scheduler_class": asked.class_name,
        "scheduler_options": effective_options(asked, card.scheduler_config),
        "extras": asked.extras,
        "scheduler_name": name,
    }
    return make_planned(**{**values, **changes})


def found(card: ModelCard, one: PlannedJob, steps: int = 200) -> Reference | Without:
    return References(lambda _model: card, steps).of(one)


def test_a_reference_differs_in_its_steps_only(card: ModelCard) -> None:
    one = planned(card, "ddim", cell={"steps": "20"}, position=3)
    reference = found(card, one)
    assert isinstance(reference, Reference)
    for each, steps in ((reference.full, 200), (reference.half, 100)):
        changed = {**one.job.identity, "steps": steps}
        assert each.job.identity == changed
        assert (each.evaluations, each.cell) == (steps, {})
        assert each.position > one.position
        assert each.scheduler_name == "ddim"


def test_the_reference_of_a_schedule_has_none(card: ModelCard) -> None:
    extras = {"schedule": ("timesteps", 900, 100)}
    one = planned(card, "euler", steps=2, extras=extras)
    reference = found(card, one)
    assert isinstance(reference, Reference)
    assert (reference.full.job.steps, reference.full.job.schedule) == (200, {})
    assert reference.full.job == found_full(card, planned(card, "euler")).job
    assert isinstance(found(card, one, steps=2), Reference)


def found_full(card: ModelCard, one: PlannedJob) -> PlannedJob:
    reference = found(card, one)
    assert isinstance(reference, Reference)
    return reference.full


def test_a_scheduler_that_makes_two_calls_a_step_is_counted_right(
    card: ModelCard,
) -> None:
    reference = found(card, planned(card, "heun"))
    assert isinstance(reference, Reference)
    assert reference.full.evaluations == 399


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("euler_a", {}),
        ("ddpm", {}),
        ("dpmpp_sde", {}),
        ("dpmpp_2m_sde", {}),
        ("ddim", {"extras": {"eta": 0.5}}),
    ],
)
def test_a_scheduler_that_draws_noise_has_no_limit(
    card: ModelCard, name: str, changes: Any
) -> None:
    assert found(card, planned(card, name, **changes)) is Without.NOISE


def test_a_reference_is_not_compared_with_itself(card: ModelCard) -> None:
    assert found(card, planned(card, "ddim", steps=200)) is Without.ITSELF


def test_a_scheduler_of_another_version_is_said_to_be_unknown(card: ModelCard) -> None:
    without = found(card, planned(card, "ddim", scheduler_class="LaterScheduler"))
    assert without is Without.UNKNOWN
    assert without.value == "its scheduler is not known here"


def test_where_so_many_steps_cannot_run_the_most_that_can_are_taken(
    card: ModelCard,
) -> None:
    reference = found(card, planned(card, "ddim"), steps=1000)
    assert isinstance(reference, Reference)
    assert reference.full.job.steps == 999
    assert reference.half.job.steps == 499
    assert card.check_steps(resolve("ddim"), 1000, dtype="float32")


def test_a_model_whose_files_changed_is_refused(card: ModelCard) -> None:
    assert require_same(card, card.model) is card
    with pytest.raises(UsageError) as caught:
        require_same(card, Model(fingerprint="1" * 32, name=SHAPES.name))
    assert str(caught.value) == (
        "references need the model of the images, but the files of builtin:shapes have "
        "changed since these were made; restore them, or ask only for scores that "
        "compare with no reference"
    )
