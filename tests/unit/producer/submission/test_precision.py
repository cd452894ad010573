"""The precision of a sweep whose file names none: nothing is made twice for it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from producer.commands import plan, run
from producer.expansion.expand import Expansion, read_jobs
from producer.spec.yamltext import InputText, Source
from producer.submission.precision import settle_precision
from storage.jobs.sweeps import find_sweep, save_sweep
from storage.settings import Settings
from storage.sql.database import Database
from tests.unit import cards
from tests.unit.cards import describe_fake, write_spec

TEXT = "name: s\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
NAMED = TEXT.replace("a cat", "a cat, dtype: float16")


@pytest.fixture(autouse=True)
def _half(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(cards.CARD, dtype_default="float16")
    monkeypatch.setattr(cards, "CARDS", {**cards.CARDS, "builtin:shapes": card})


def settle(
    database: Database, source: Source, *, for_cpu: bool, axes: Sequence[str] = ()
) -> Expansion:
    """Settle a sweep, and store it as a submission does."""
    expansion = settle_precision(
        lambda *sets: read_jobs(source, describe_fake, sets=sets, axes=axes),
        lambda name: find_sweep(database, name),
        for_cpu=for_cpu,
    )
    save_sweep(
        database,
        expansion.spec.name,
        spec=expansion.spec.text,
        axes={},
        meanings=expansion.what_is_meant,
    )
    return expansion


def dtypes_of(expansion: Expansion) -> set[str]:
    return {planned.job.dtype for planned in expansion.jobs()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_spec(tmp_path, TEXT)


def test_a_new_sweep_that_a_cpu_makes_is_float32_and_says_so(
    database: Database, file: Path
) -> None:
    expansion = settle(database, file, for_cpu=True)

    assert dtypes_of(expansion) == {"float32"}
    assert "dtype: float32" in expansion.spec.text
    assert expansion.taken == (
        "s is made in float32, since a CPU makes it here; `--set base.dtype=float16` "
        "makes it as a GPU would."
    )


@pytest.mark.parametrize("own", ["float32", "bfloat16"])
def test_several_models_are_each_made_as_a_gpu_would_where_dtype_is_null(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    other = replace(cards.CARDS["org/other"], dtype_default=own)
    monkeypatch.setattr(cards, "CARDS", {**cards.CARDS, "org/other": other})
    text = "name: s\nbase: {prompt: p}\naxes: {model: [org/other, 'builtin:shapes']}\n"
    file = write_spec(tmp_path, text)

    expansion = settle(database, file, for_cpu=True)

    assert dtypes_of(expansion) == {"float32"}
    assert expansion.taken == (
        "s is made in float32, since a CPU makes it here; `--axis dtype=null` makes it "
        "as a GPU would."
    )
    followed = settle(database, file, for_cpu=True, axes=("dtype=null",))
    assert dtypes_of(followed) == {own, "float16"}
    keys = {planned.job.key for planned in followed.jobs()}
    save_sweep(database, "s", spec="base: {dtype: float99}", axes={})
    as_gpu = settle(database, file, for_cpu=False)
    assert keys == {planned.job.key for planned in as_gpu.jobs()}


def test_submit_takes_what_the_model_wants_on_any_machine(
    database: Database, file: Path
) -> None:
    expansion = settle(database, file, for_cpu=False)

    assert dtypes_of(expansion) == {"float16"}
    assert expansion.spec.text == TEXT
    assert expansion.taken is None


@pytest.mark.parametrize("for_cpu", [True, False])
def test_a_sweep_that_a_cpu_began_goes_on_in_float32_anywhere(
    database: Database, file: Path, for_cpu: bool
) -> None:
    settle(database, file, for_cpu=True)
    before = find_sweep(database, "s")

    expansion = settle(database, file, for_cpu=for_cpu)

    assert dtypes_of(expansion) == {"float32"}
    assert find_sweep(database, "s") == before
    assert expansion.taken == (
        "s goes on in float32, as it was submitted; name a `dtype` to have it made "
        "anew in another."
    )


def test_a_sweep_that_was_submitted_goes_on_as_it_was_on_a_cpu(
    database: Database, file: Path
) -> None:
    settle(database, file, for_cpu=False)
    before = find_sweep(database, "s")

    expansion = settle(database, file, for_cpu=True)

    assert dtypes_of(expansion) == {"float16"}
    assert find_sweep(database, "s") == before
    assert expansion.taken == (
        "s goes on in float16, as it was submitted, though a CPU is slow at that; "
        "`--set base.dtype=float32` makes it anew."
    )


@pytest.mark.parametrize(
    "text",
    [
        NAMED,
        f"{TEXT}axes: {{dtype: [float16, bfloat16]}}\n",
        f"{TEXT}axes: {{kind: [{{set: {{dtype: float16, steps: 4}}}}]}}\n",
    ],
)
def test_a_precision_that_the_file_names_is_taken(
    database: Database, tmp_path: Path, text: str
) -> None:
    settle(database, write_spec(tmp_path, TEXT), for_cpu=True)

    expansion = settle(database, write_spec(tmp_path, text), for_cpu=True)

    assert "float32" not in dtypes_of(expansion)
    assert expansion.spec.text == text
    assert expansion.taken is None


def test_null_names_no_precision(database: Database, tmp_path: Path) -> None:
    file = write_spec(tmp_path, TEXT.replace("a cat", "a cat, dtype: null"))
    assert dtypes_of(settle(database, file, for_cpu=True)) == {"float32"}


def test_null_of_an_option_names_no_precision(database: Database, file: Path) -> None:
    expansion = settle_precision(
        lambda *sets: read_jobs(
            file, describe_fake, sets=("base.dtype=null", *sets), axes=()
        ),
        lambda name: find_sweep(database, name),
        for_cpu=True,
    )
    assert dtypes_of(expansion) == {"float32"}


def test_a_model_that_wants_float32_needs_no_word(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": cards.CARD})

    expansion = settle(database, file, for_cpu=True)

    assert (expansion.spec.text, expansion.taken) == (TEXT, None)


def test_a_stored_spec_that_is_no_yaml_names_nothing(
    database: Database, file: Path
) -> None:
    save_sweep(database, "s", spec="base: {dtype: float99}", axes={})
    assert dtypes_of(settle(database, file, for_cpu=False)) == {"float16"}
    save_sweep(database, "s", spec=": {", axes={})
    assert dtypes_of(settle(database, file, for_cpu=False)) == {"float16"}


def test_standard_input_is_read_once(database: Database) -> None:
    expansion = settle(database, InputText(TEXT), for_cpu=True)
    assert dtypes_of(expansion) == {"float32"}
    assert expansion.spec.text.startswith("# --set base.dtype=float32\n")


@pytest.mark.parametrize(
    ("gpus_asked", "device", "has", "taken"),
    [
        (None, None, True, True),
        (None, None, False, False),
        ("all", None, False, True),
        (None, "cpu", True, False),
    ],
)
def test_gpus_are_taken_where_there_are_any_or_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
    gpus_asked: str | None,
    device: str | None,
    has: bool,
    taken: bool,
) -> None:
    monkeypatch.setattr(run, "has_nvidia", lambda: has)
    assert run.takes_gpus(gpus=gpus_asked, device=device) is taken


def test_gpus_that_the_environment_names_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "has_nvidia", lambda: False)
    monkeypatch.setenv("NIGHTSWEEP_GPUS", "0")
    assert run.takes_gpus()
    assert not run.takes_gpus(device="cpu")


def test_a_plan_says_what_a_submission_would_keep(
    database: Database,
    file: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle(database, file, for_cpu=True)
    monkeypatch.setattr(plan, "describe", describe_fake)

    made = plan.make_plan(file, settings=settings)

    assert made.taken
    assert made.taken.startswith("s goes on in float32")
