"""Old rows whose scheduler is called something that it is not: found, and mended."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click import testing
from click.testing import CliRunner, Result

from producer.cli import cli
from producer.display import hashing
from producer.expansion.expand import read_jobs
from producer.models.cards import describe
from storage.files import relabelling
from storage.job import PlannedJob
from storage.jobs import speeds
from storage.jobs.speeds import Speed
from storage.jobs.sweeps import find_sweep, list_sweeps
from storage.models import fingerprint
from storage.queries.answers import find
from storage.queries.parsing import refine
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, KARRAS_SDE
from tests.databases import open_new
from tests.unit.filled_store import PROMPTS, finish, make_settings, submit
from tests.unit.tiny_folders import make_folder, weights, write

pytestmark = pytest.mark.databases("sqlite", "postgresql")

COMMIT = "c" * 40
KARRAS_INDEX = {"scheduler": ["diffusers", "DPMSolverMultistepScheduler"]}
#: What a sweep had of each of these names before they pinned their options: the class,
#: the options that differed from the config, and the name, which was often wrong.
OLD = (
    ("DPMSolverMultistepScheduler", {}, "dpmpp_2m"),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}, "dpmpp_3m"),
    ("EulerDiscreteScheduler", {}, "euler"),
    ("DDIMScheduler", {}, "ddim"),
)


@pytest.fixture
def settings(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(tmp_path / "home"))
    return make_settings(tmp_path / "home")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = open_new(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model folder whose scheduler config says Karras and SDE."""
    folder = make_folder(tmp_path / "karras", index=KARRAS_INDEX)
    write(folder, "scheduler/scheduler_config.json", KARRAS_SDE)
    return folder


def plan(folder: Path, schedulers: str, *, model: str) -> list[PlannedJob]:
    """Plan as a spec does; the model is any that is there."""
    file = folder / "sweep.yaml"
    file.write_text(
        f"name: night\nbase: {{model: '{model}', prompt: {PROMPTS[0]}, width: 64, "
        f"height: 64}}\naxes: {{scheduler: [{schedulers}]}}\n"
    )
    return list(read_jobs(file, describe).jobs())


def plan_old(folder: Path, *, model: Path) -> list[PlannedJob]:
    """Plan jobs as they were stored before names pinned their options."""
    (one,) = plan(folder, "ddim", model=str(model))
    return [
        replace(
            one,
            job=replace(one.job, scheduler_class=class_name, scheduler_options=options),
            position=position,
            cell={"scheduler": name},
            scheduler_name=name,
            scheduler_label=None,
            scheduler_names=(),
        )
        for position, (class_name, options, name) in enumerate(OLD)
    ]


def make_old(settings: Settings, folder: Path, *, model: Path) -> list[PlannedJob]:
    planned = plan_old(folder, model=model)
    submit(settings, "night", planned)
    finish(settings, planned)
    return planned


def verify(*options: str) -> Result:
    return CliRunner().invoke(
        cli, ["verify", "--json", *options], catch_exceptions=False
    )


def lines(said: Result) -> list[dict[str, str]]:
    return [json.loads(line) for line in said.stdout.splitlines()]


def called(database: Database, sweep: str = "night") -> list[str]:
    return [row["scheduler"] for row in find(database, refine("", sweep=sweep))]


def cells(database: Database, sweep: str = "night") -> list[str]:
    rows = find(database, refine("", sweep=sweep))
    return [json.loads(row["cell"])["scheduler"] for row in rows]


def test_wrong_names_are_found(settings: Settings, tmp_path: Path, model: Path) -> None:
    make_old(settings, tmp_path, model=model)
    said = verify()
    assert said.exit_code == 1
    assert [line["detail"] for line in lines(said)] == [
        f"1 job of {model} called dpmpp_2m: it is dpmpp_2m_sde_karras",
        f"1 job of {model} called dpmpp_3m: it is dpmpp_3m_sde_karras",
        f"1 job of {model} called euler: it is euler_karras",
    ]
    assert {line["problem"] for line in lines(said)} == {"mislabelled"}
    assert said.stderr == "4 images checked: 3 mislabelled; --repair mends that.\n"


def test_wrong_names_are_mended_and_nothing_else(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    planned = make_old(settings, tmp_path, model=model)
    before = list(find(database, refine("", sweep="night")))
    said = verify("--repair")
    assert said.exit_code == 0
    assert lines(said)[0]["repair"] == (
        "called dpmpp_2m_sde_karras now; image files keep what was written into them"
    )
    true = ["dpmpp_2m_sde_karras", "dpmpp_3m_sde_karras", "euler_karras", "ddim"]
    assert called(database) == cells(database) == true
    sweep = find_sweep(database, "night")
    assert sweep
    assert sweep.axes == {"scheduler": true}
    after = list(find(database, refine("", sweep="night")))
    for old, new in zip(before, after, strict=True):
        changed = {name for name in old if old[name] != new[name]}
        assert changed <= {"scheduler", "cell"}
    assert [row["key"] for row in after] == [one.job.key for one in planned]
    found = find(database, refine("", scheduler=["DPM++ 2M SDE Karras"]))
    assert [row["key"] for row in found] == [planned[0].job.key]
    assert list(find(database, refine("", scheduler=["dpmpp_2m"]))) == []


def test_what_is_mended_is_not_found_again(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    make_old(settings, tmp_path, model=model)
    verify("--repair")
    said = verify()
    assert (said.exit_code, said.stdout) == (0, "")
    shutil.rmtree(model)  # it is not asked again
    assert verify().stderr == "4 images checked, nothing is wrong.\n"


def test_only_the_named_sweep_is_looked_at(
    settings: Settings, tmp_path: Path, model: Path
) -> None:
    planned = plan_old(tmp_path, model=model)
    submit(settings, "euler", planned[2:3])
    submit(settings, "others", planned[:2])
    (line,) = lines(verify("--sweep", "euler"))
    assert line["detail"].endswith("called euler: it is euler_karras")


def test_what_a_sweep_calls_itself_stays(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    planned = plan_old(tmp_path, model=model)[:1]
    mine = replace(planned[0], scheduler_label="mine", cell={"scheduler": "mine"})
    submit(settings, "night", [mine])
    verify("--repair")
    (row,) = find(database, refine("", sweep="night"))
    assert (row["scheduler"], row["scheduler_label"]) == ("dpmpp_2m_sde_karras", "mine")
    assert cells(database) == ["mine"]


def test_a_name_that_another_model_has_rightly_stays_there(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    wrong = plan_old(tmp_path, model=model)[0]
    (right,) = plan(tmp_path, "dpmpp_2m", model="builtin:shapes")
    cell = {"model": "karras", "scheduler": "dpmpp_2m"}
    both = [
        replace(right, cell={**cell, "model": "shapes"}, position=0),
        replace(wrong, cell=cell, position=1),
    ]
    submit(settings, "night", both)
    verify("--repair")
    assert called(database) == cells(database) == ["dpmpp_2m", "dpmpp_2m_sde_karras"]
    sweep = find_sweep(database, "night")
    assert sweep
    assert sweep.axes["scheduler"] == ["dpmpp_2m", "dpmpp_2m_sde_karras"]


def test_a_sweep_that_is_submitted_again_makes_what_it_asked_for(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    (old,) = plan_old(tmp_path, model=model)[:1]
    submit(settings, "night", [old])
    finish(settings, [old])
    verify("--repair")
    (new,) = plan(tmp_path, "dpmpp_2m", model=str(model))
    submit(settings, "night", [new], scheduler=["dpmpp_2m"])
    rows = {row["scheduler"]: row for row in find(database, refine("", sweep="night"))}
    assert rows["dpmpp_2m"]["state"] == "pending"
    assert rows["dpmpp_2m_sde_karras"]["state"] == "done"


def test_a_sweep_that_is_submitted_again_corrects_the_labels_of_other_sweeps(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    old = plan_old(tmp_path, model=model)
    for name in ("night", "later"):
        submit(settings, name, old)
    labelled = [replace(one, scheduler_label="mine") for one in old[:1]]
    submit(settings, "own", labelled)
    new = plan(tmp_path, "dpmpp_2m, dpmpp_2m_sde_karras", model=str(model))
    # One at a time, as a long sweep's batches are.
    for one in reversed(new):
        asked = ["dpmpp_2m", "dpmpp_2m_sde_karras"]
        submit(settings, "later", [one], scheduler=asked)
    true = "dpmpp_2m_sde_karras"
    assert called(database) == cells(database) == [true, "dpmpp_3m", "euler", "ddim"]
    axes = {sweep.name: sweep.axes["scheduler"] for sweep in list_sweeps(database)}
    assert axes["night"] == [true, "dpmpp_3m", "euler", "ddim"]
    assert axes["later"] == ["dpmpp_2m", true]
    assert cells(database, "own") == axes["own"] == ["dpmpp_2m"]
    # What the new submission does not name is found as before.
    assert [
        line["detail"].rpartition(" ")[2] for line in lines(verify("--repair"))
    ] == [
        "dpmpp_3m_sde_karras",
        "euler_karras",
    ]
    assert called(database) == cells(database)


def test_a_model_that_is_gone_is_named(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    make_old(settings, tmp_path, model=model)
    shutil.rmtree(model)
    said = verify("--repair")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr.splitlines()[1] == (
        "The schedulers' names of old images were not checked for models that are not "
        f"here, or have other files now: {model}."
    )
    assert called(database) == [name for _, _, name in OLD]


@pytest.mark.parametrize("config", [KARRAS_SDE, {}], ids=["wrong", "right"])
def test_what_must_be_hashed_is_said_first_and_only_then(
    settings: Settings,
    tmp_path: Path,
    model: Path,
    config: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class_name = "DPMSolverMultistepScheduler"
    write(
        model, "scheduler/scheduler_config.json", {"_class_name": class_name, **config}
    )
    make_old(settings, tmp_path, model=model)
    monkeypatch.setattr(testing._NamedTextIOWrapper, "isatty", lambda _: True)
    monkeypatch.setattr(fingerprint, "UNSETTLED_NS", -1)  # all is remembered
    said = verify("--models")
    assert (said.exit_code, "Hashing" in said.stderr) == (0, False)
    (settings.home / "digests.json").unlink()
    monkeypatch.setattr(hashing, "LARGE_BYTES", 0)
    for options in (["--repair"], ["--models"]):
        assert verify(*options).stderr.count(f"Hashing {model}, ") == 1
        assert "Hashing" not in verify("--repair").stderr


def test_a_command_that_hashes_a_large_model_says_so(
    settings: Settings,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plan(tmp_path, "ddim", model=str(model))
    monkeypatch.setattr(testing._NamedTextIOWrapper, "isatty", lambda _: True)
    monkeypatch.setattr(hashing, "LARGE_BYTES", 0)
    for command in ("plan", "submit"):
        said = CliRunner().invoke(cli, [command, "sweep.yaml"])
        assert f"Hashing {model}, " in said.stderr


def test_a_folder_that_holds_another_model_now_is_not_believed(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    make_old(settings, tmp_path, model=model)
    write(model, "unet/diffusion_pytorch_model.safetensors", weights("another"))
    said = verify("--repair")
    assert said.stderr.splitlines()[1].endswith(f"have other files now: {model}.")
    assert called(database) == [name for _, _, name in OLD]


def test_a_model_is_looked_at_in_whichever_of_its_places_is_whole(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    old = plan_old(tmp_path, model=model)[:1]
    submit(settings, "night", old)
    submit(settings, "later", plan_old(tmp_path, model=copy)[:1])
    write(copy, "unet/diffusion_pytorch_model.safetensors", weights("another"))
    said = verify("--repair")
    (line,) = lines(said)
    assert line["detail"].endswith("called dpmpp_2m: it is dpmpp_2m_sde_karras")
    assert called(database) == ["dpmpp_2m_sde_karras"]


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_model_of_the_hub_is_looked_at_in_the_cache_alone(
    settings: Settings,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_cached: bool,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / COMMIT
    if is_cached:
        write(snapshot, "scheduler/scheduler_config.json", KARRAS_SDE)
    one = plan_old(tmp_path, model=model)[0]
    there = replace(one.job.model, name="org/name", revision="main", commit=COMMIT)
    submit(settings, "night", [replace(one, job=replace(one.job, model=there))])
    said = verify()
    if is_cached:
        (line,) = lines(said)
        assert line["detail"] == (
            "1 job of org/name called dpmpp_2m: it is dpmpp_2m_sde_karras"
        )
    else:
        assert said.stderr.splitlines()[1].endswith("have other files now: org/name.")


def test_old_images_of_a_model_as_released_get_all_their_names(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    (one,) = plan(tmp_path, "PLMS", model="builtin:shapes")
    old = replace(one, scheduler_label=None, scheduler_names=())
    submit(settings, "night", [old])
    finish(settings, [old])
    assert list(find(database, refine("", scheduler=["PLMS"]))) == []
    said = verify("--repair")
    assert said.stderr == "1 image checked, nothing is wrong.\n"
    (found,) = find(database, refine("", scheduler=["PLMS"]))
    assert (found["key"], found["scheduler"]) == (old.job.key, "pndm")


def test_a_repair_that_is_broken_off_goes_on(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = plan_old(tmp_path, model=model)[:1]
    several = [
        replace(one, job=replace(one.job, seed=seed), position=seed)
        for seed in range(5)
    ]
    submit(settings, "night", several)
    monkeypatch.setattr(relabelling, "RELABEL_ROWS", 2)
    rename, calls = relabelling.rename, []

    def break_off(*words: object, **names: str) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(words)
        rename(*words, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(relabelling, "rename", break_off)
    assert "Interrupted" in verify("--repair").output
    assert sorted(called(database)) == ["dpmpp_2m"] * 3 + ["dpmpp_2m_sde_karras"] * 2
    monkeypatch.setattr(relabelling, "rename", rename)
    (line,) = lines(verify("--repair"))
    assert line["detail"].startswith(f"3 jobs of {model} called dpmpp_2m")
    assert set(called(database)) == set(cells(database)) == {"dpmpp_2m_sde_karras"}


def test_measured_speeds_get_their_true_names_too(
    settings: Settings, database: Database, tmp_path: Path, model: Path
) -> None:
    planned = plan_old(tmp_path, model=model)
    submit(settings, "night", planned[3:])  # so that the model is known

    def measured(name: str, *, steps: int, median_s: float) -> Speed:
        return Speed(
            model=str(model),
            model_fingerprint=planned[0].job.model.fingerprint,
            gpu="CPU",
            dtype="float32",
            width=64,
            height=64,
            guidance=2.5,
            scheduler=name,
            scheduler_class="DPMSolverMultistepScheduler",
            steps=steps,
            evaluations=steps,
            images=3,
            median_s=median_s,
            least_s=median_s,
            most_s=median_s,
            measured_at="2026-01-02T03:04:05.678901+00:00",
        )

    old = [measured("dpmpp_2m", steps=steps, median_s=1.0) for steps in (4, 8)]
    new = measured("dpmpp_2m_sde_karras", steps=8, median_s=2.0)
    speeds.record(database, [*old, new], environment=ENVIRONMENT)
    (line,) = lines(verify())
    assert line["detail"] == (
        f"measured speeds of {model} called dpmpp_2m: it is dpmpp_2m_sde_karras"
    )
    verify("--repair")
    found = [(one.scheduler, one.steps, one.median_s) for one in speeds.read(database)]
    assert found == [("dpmpp_2m_sde_karras", 4, 1.0), ("dpmpp_2m_sde_karras", 8, 2.0)]
    assert verify().stdout == ""
