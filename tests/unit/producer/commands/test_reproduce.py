"""`nightsweep reproduce` without torch: what it chooses, and what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from producer.commands.reproduce import _choose
from producer.running import programs
from storage.job import PlannedJob
from storage.queries.parsing import parse
from storage.store import Store
from tests.unit.filled_store import filled, make_settings


@pytest.fixture
def planned(tmp_path: Path) -> list[PlannedJob]:
    return filled(tmp_path)[1]


def reproduce(tmp_path: Path, *words: str) -> Result:
    environ = {"NIGHTSWEEP_HOME": str(tmp_path)}
    return CliRunner(env=environ).invoke(cli, ["reproduce", *words])


def chosen(
    tmp_path: Path, query: str, *, limit: int | None = None, sample: int | None = None
) -> list[str]:
    store = Store(make_settings(tmp_path))
    found = _choose(store, parse(query), limit=limit, sample=sample)
    return [record.key for record in found]


def test_a_key_or_its_beginning_chooses_one_image(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    key = planned[2].job.key
    assert chosen(tmp_path, key[:12]) == chosen(tmp_path, key.upper()) == [key]


def test_a_sweep_chooses_its_images_that_are_made(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    made = [one.job.key for one in planned[:6]]
    assert chosen(tmp_path, "shapes") == chosen(tmp_path, "") == made
    assert chosen(tmp_path, "shapes", limit=2) == made[:2]
    assert chosen(tmp_path, "shapes steps:2") == made[::2]


def test_a_sample_is_always_the_same(tmp_path: Path, planned: list[PlannedJob]) -> None:
    made = sorted(one.job.key for one in planned[:6])
    assert chosen(tmp_path, "shapes", sample=3) == made[:3]
    assert chosen(tmp_path, "shapes", sample=99) == made


def test_an_image_that_is_not_made_is_refused(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    failed, pending = planned[6].job.key, planned[7].job.key
    result = reproduce(tmp_path, failed)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: an image must be done to be made again, but {failed} is failed "
        "(latents are NaN); `nightsweep status` says how far its sweep is.\n",
    )
    assert f"but {pending} is pending;" in reproduce(tmp_path, pending).stderr


def test_a_question_without_an_answer_is_refused(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    result = reproduce(tmp_path, "shapes", "--steps", "77")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: images must be done to be made again, but none that is done matches; "
        "`nightsweep find` lists them all.\n",
    )


def test_the_options_of_find_narrow_a_key_too(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    result = reproduce(tmp_path, planned[0].job.key, "--steps", "77")
    assert "but none that is done matches; " in result.stderr


def test_a_name_that_is_no_sweep_and_no_key_is_refused(
    tmp_path: Path, planned: list[PlannedJob]
) -> None:
    result = reproduce(tmp_path, "shpes")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: sweep must be one that was submitted, got 'shpes'; did you mean "
        "'shapes'?\n  shpes state:done\n  ^^^^^\n",
    )


def test_a_device_must_have_the_name_of_one(tmp_path: Path) -> None:
    result = reproduce(tmp_path, "abc", "--device", "gpu")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: --device must be cpu, or cuda:0 and so on, got 'gpu'.\n",
    )


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, planned: list[PlannedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _name: None)
    result = reproduce(tmp_path, "shapes")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: Reproducing needs the GPU packages, but torch is not installed; run "
        "`pip install 'nightsweep[torch]'`.\n",
    )
