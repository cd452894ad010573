"""What the rules accept runs to the end, and what they refuse does not.

Every name of the catalogue is tried on the configs of `tests.model_configs`, driven as
pipelines drive it, with a stand-in whose answers are as large as noise. A plan accepts
a scheduler, a number of steps and a precision if and only if plain diffusers runs with
them, gives finite numbers, and calls the network as often as the plan says.
"""

import re
from collections.abc import Iterable, Iterator

import pytest

from storage.catalogue.schedulers import NAMES
from tests.matrices import shorten
from tests.model_configs import KINDS, Kind
from tests.trials import Trial

#: What is refused though diffusers runs, by words of the sentence. These are decisions.
RUNS_ALL_THE_SAME = re.compile(
    "|".join(
        (
            # Paints noise: the network was trained for another kind of schedulers.
            "flow-matching model",
            "trained as in EDM",
            # Makes one step more than was asked for, at a timestep before the first.
            "the last at timestep -1",
            # Depends on what the network answers, or on last bits: the stand-in's
            # answers are one case of many.
            "float16 holds numbers up to 65504",
            "may be NaN",
            "may give NaN",
        )
    )
)
#: The same on kinds whose highest noise level gives the last timestep of the training.
#: The others miss it by a last bit of a logarithm, and a plan counts on that.
RUNS_BY_LAST_BITS = {"pixart": "can round to it twice"}
FEW = (1, 2, 3, 7)
MANY = range(1, 61)
LARGE = (61, 100, 250, 999, 1000)
#: Kinds that differ most: the others are tried by `make soak`.
DIFFERENT = (
    "sd15",
    "zero_snr",
    "edm",
    "sd3",
    "flux",
)
#: Kinds on which diffusers fails at some numbers of steps.
EDGES = ("sd15", "zero_snr", "cosine", "sd3")

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("kind", shorten(DIFFERENT, ("zero_snr", "flux")))
def test_a_plan_accepts_what_runs_and_nothing_else(kind: str) -> None:
    assert [*_disagreements(kind, FEW, dtype="float32")] == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["cosine", "zero_snr"])
def test_a_plan_accepts_what_runs_in_float16_too(kind: str) -> None:
    assert [*_disagreements(kind, (2, 8), dtype="float16")] == []


@pytest.mark.parametrize("kind", shorten(EDGES, ("zero_snr", "sd3")))
def test_a_plan_refuses_step_counts_from_where_diffusers_fails(kind: str) -> None:
    for trial in _different(KINDS[kind]):
        for steps in _edge(trial):
            refusal, fault = trial.refusal(steps), trial.fault_of_timesteps(steps)
            if _is_decided(refusal, kind):
                continue
            assert bool(refusal) is bool(fault), (trial.name, steps, refusal, fault)


@pytest.mark.slow
@each_kind
def test_a_plan_accepts_what_runs_at_many_step_counts(kind: str) -> None:
    assert [*_disagreements(kind, (*MANY, *LARGE), dtype="float32")] == []


@pytest.mark.slow
@each_kind
def test_a_plan_accepts_what_runs_at_many_step_counts_in_float16(kind: str) -> None:
    assert [*_disagreements(kind, MANY, dtype="float16")] == []


@pytest.mark.slow
@each_kind
def test_a_plan_knows_every_step_count_that_cannot_be_set(kind: str) -> None:
    assert [*_misjudged(kind)] == []


def _is_decided(refusal: str, kind: str) -> bool:
    """Tell whether it is refused on purpose, though diffusers may run it."""
    words = RUNS_BY_LAST_BITS.get(kind)
    runs_by_last_bits = words is not None and words in refusal
    return runs_by_last_bits or bool(RUNS_ALL_THE_SAME.search(refusal))


def _disagreements(kind: str, counts: Iterable[int], *, dtype: str) -> Iterator[str]:
    """Give a line for each name and number of steps that are judged wrongly."""
    for name in NAMES:
        trial = Trial(name, KINDS[kind])
        for steps in counts:
            refusal = trial.refusal(steps, dtype)
            if _is_decided(refusal, kind):
                continue
            outcome = trial.run(steps, dtype)
            is_miscounted = not refusal and outcome.evaluations != trial.count(steps)
            if outcome.is_finite is bool(refusal) or is_miscounted:
                was = outcome.error or f"{outcome.evaluations} evaluations"
                yield f"{name}, {steps} steps: {refusal or 'accepted'}; {was}"


def _misjudged(kind: str) -> Iterator[str]:
    """Give a line for each number of steps that is set otherwise than a plan thinks."""
    for trial in _different(KINDS[kind]):
        for steps in range(1, 1001):
            refusal = trial.refusal(steps)
            if _is_decided(refusal, kind):
                continue
            fault = trial.fault_of_timesteps(steps)
            if bool(fault) is not bool(refusal):
                yield f"{trial.name}, {steps} steps: {refusal or fault}"


def _edge(trial: Trial) -> tuple[int, ...]:
    """Return the last number of steps that is accepted, and the first that is not.

    Nothing where 1000 steps are accepted, or only distillation limits them.
    """
    right, wrong = 1, 1000
    if not trial.refusal(wrong) or "original_inference" in trial.refusal(wrong):
        return ()
    while wrong - right > 1:
        middle = (right + wrong) // 2
        is_wrong = bool(trial.refusal(middle))
        right, wrong = (right, middle) if is_wrong else (middle, wrong)
    return right, wrong


def _different(kind: Kind) -> list[Trial]:
    """Return the names that a kind of model can run, without those that are copies."""
    trials = (Trial(name, kind) for name in NAMES)
    fit = [trial for trial in trials if trial.is_fit]
    return list({trial.trajectory: trial for trial in fit}.values())
