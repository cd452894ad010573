"""`nightsweep verify --models`: models hashed anew, whatever is remembered."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from producer.cli import cli
from producer.health.holdings import check_models
from producer.models.cards import describe
from storage.host.file_stamps import Stamp
from storage.job import Model, PlannedJob
from storage.jobs.results import record_done
from storage.models.control_nets import FAMILY, describe_control_net
from storage.models.fingerprint import Digests
from storage.models.part_files import LORA, describe_part
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import (
    ENVIRONMENT,
    make_result,
    plan_seeds,
    submit,
    take_these,
)
from tests.unit.lora_files import write_tensors
from tests.unit.tiny_folders import make_folder, weights, write

pytestmark = pytest.mark.databases("sqlite", "postgresql")

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
NEVER, ALWAYS = "2001-01-01T00:00:00.000000+00:00", "2101-01-01T00:00:00.000000+00:00"


def verify(*options: str) -> Result:
    return CliRunner().invoke(cli, ["verify", "--models", "--json", *options])


def rows_of(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "model")


@pytest.fixture
def model(folder: Path) -> Model:
    return describe(str(folder), base_dir=Path()).model


def finish(database: Database, model: Model, *, at: str, **result: Any) -> None:
    (claim,) = take_these(database, [plan_seeds(1, model=model)[0].job.key])
    made = {claim.id: make_result(finished_at=at, **result)}
    record_done(database, made, worker="cpu0", environment=ENVIRONMENT)


def test_a_model_as_it_was_planned_is_fine(
    settings: Settings, database: Database, model: Model
) -> None:
    submit(database, plan_seeds(1, model=model))
    done = verify()
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "1 model checked, whole in 1 place; nothing is wrong.\n"


def test_a_changed_model_is_found_whatever_is_remembered_of_it(
    settings: Settings, database: Database, model: Model, folder: Path
) -> None:
    submit(database, plan_seeds(1, model=model))
    finish(database, model, at=NEVER)
    before = Digests().of(folder / WEIGHTS)
    (folder / WEIGHTS).write_bytes(weights("other"))
    # As if the stamp had not told that it changed.
    entry = [*Stamp.of((folder / WEIGHTS).stat()), before]
    write(settings.home, "digests.json", {str(folder / WEIGHTS): entry})
    done = verify("--json")
    assert done.exit_code == 1
    other = describe(str(folder), base_dir=Path()).model.fingerprint
    assert rows_of(done) == [
        {
            "problem": "model_differs",
            "key": None,
            "path": str(folder),
            "detail": f"fingerprint {other} instead of {model.fingerprint}",
            "repair": None,
        }
    ]
    assert "whole in 0 places; 1 model differs: restore the files" in done.stderr


@pytest.mark.parametrize("is_recorded", [True, False])
def test_images_that_were_finished_after_a_change_are_counted(
    settings: Settings,
    database: Database,
    model: Model,
    folder: Path,
    is_recorded: bool,
) -> None:
    submit(database, plan_seeds(1, model=model))
    finish(database, model, at=ALWAYS, place=model if is_recorded else None)
    (folder / WEIGHTS).write_bytes(weights("other"))
    (row,) = rows_of(verify("--json"))
    assert row["detail"].endswith("; 1 of its images were finished after that change")


def test_a_model_that_is_gone_is_missing(
    settings: Settings, database: Database, model: Model, folder: Path
) -> None:
    submit(database, plan_seeds(1, model=model))
    shutil.rmtree(folder)
    done = verify("--json")
    assert done.exit_code == 1
    (row,) = rows_of(done)
    assert (row["problem"], row["path"]) == ("model_missing", str(folder))
    assert "model_index.json" in row["detail"]


def test_a_place_that_is_gone_is_nothing_wrong_while_another_is_whole(
    settings: Settings, database: Database, model: Model, folder: Path
) -> None:
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    submit(database, plan_seeds(1, model=model))
    submit(database, plan_seeds(1, model=replace(model, name=str(copy))), name="two")
    assert "whole in 2 places" in verify().stderr
    shutil.rmtree(folder)
    done = verify("--json")
    assert (done.exit_code, done.stdout) == (0, "")
    (copy / WEIGHTS).write_bytes(weights("other"))
    problems = {row["path"]: row["problem"] for row in rows_of(verify("--json"))}
    assert problems == {str(copy): "model_differs", str(folder): "model_missing"}


def test_a_model_of_the_hub_that_is_not_here_can_be_fetched(
    settings: Settings,
    database: Database,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_CACHE", str(settings.home / "hub")
    )
    submit(database, plan_seeds(1, model=replace(model, name="org/name")))
    done = verify()
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "1 model checked, whole in 0 places; nothing is wrong.\n"


def test_only_the_models_of_a_sweep_are_checked_where_one_is_named(
    settings: Settings, database: Database, model: Model, folder: Path
) -> None:
    gone = replace(model, fingerprint="0" * 32, name="/gone")
    submit(database, plan_seeds(1, model=model), name="one")
    submit(database, plan_seeds(1, model=gone), name="two")
    assert verify("--sweep", "one").exit_code == 0
    assert verify("--sweep", "two").exit_code == 1


def test_a_job_of_a_former_fingerprint_finds_its_model_whole(
    settings: Settings, database: Database, model: Model, folder: Path
) -> None:
    submit(database, plan_seeds(1, model=model))
    write(folder, "tokenizer/chat_template.jinja", "{{ messages }}")
    assert verify().exit_code == 0


def test_control_nets_of_jobs_are_checked_too(
    settings: Settings, database: Database, model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    write(folder, "config.json", "{}")
    file = folder / "diffusion_pytorch_model.safetensors"
    file.write_bytes(weights("net"))
    place = Model(fingerprint="", name=str(folder), family=FAMILY)
    net, _ = describe_control_net(place, Digests())
    extras = {"controlnet": [[net.fingerprint, "0" * 64]]}
    submit(database, plan_seeds(1, model=model, extras=extras, parts=(net,)))
    assert "2 models checked, whole in 2 places" in verify().stderr
    assert [each.verdict for each in check_models(settings, database)] == ["ok", "ok"]
    file.write_bytes(weights("other"))
    (row,) = rows_of(verify("--json"))
    assert (row["problem"], row["path"]) == ("model_differs", str(folder))
    shutil.rmtree(folder)
    (row,) = rows_of(verify("--json"))
    assert (row["problem"], row["path"]) == ("model_missing", str(folder))


@pytest.mark.parametrize("option", ["--repair", "--full", "--force"])
def test_models_are_not_repaired(
    settings: Settings, database: Database, option: str
) -> None:
    done = verify(option)
    assert done.exit_code == 2
    assert "--models looks at models alone and repairs nothing" in done.stderr


def test_people_get_a_table(
    settings: Settings,
    database: Database,
    model: Model,
    folder: Path,
) -> None:
    submit(database, plan_seeds(1, model=model))
    (folder / WEIGHTS).write_bytes(weights("other"))
    done = CliRunner().invoke(cli, ["verify", "--models"])
    assert "model differs" in done.stdout
    assert str(folder) in done.stdout


def plan_lora(file: Path, model: Model) -> list[PlannedJob]:
    """Write a LoRA, and plan a job with it."""
    write_tensors(file, {"x.lora_A.weight": np.zeros((1, 4))})
    at = Model(fingerprint="", name=str(file), family=LORA)
    part, _ = describe_part(at, Digests())
    [planned] = plan_seeds(1, model=model)
    extras = {"loras": [[part.fingerprint, 0.5]]}
    return [replace(planned, job=replace(planned.job, extras=extras, parts=(part,)))]


def test_a_lora_is_hashed_as_its_model_is(
    settings: Settings, database: Database, model: Model, tmp_path: Path
) -> None:
    file = tmp_path / "ink.safetensors"
    submit(database, plan_lora(file, model))
    done = verify()
    assert done.stderr == "2 models checked, whole in 2 places; nothing is wrong.\n"
    write_tensors(file, {"x.lora_A.weight": np.ones((1, 4))})
    (row,) = rows_of(verify())
    assert (row["problem"], row["path"]) == ("model_differs", str(file))
    file.unlink()
    (row,) = rows_of(verify())
    assert (row["problem"], row["path"]) == ("model_missing", str(file))


def test_the_doctor_looks_for_the_loras_of_waiting_jobs(
    settings: Settings, database: Database, model: Model, tmp_path: Path
) -> None:
    file = tmp_path / "ink.safetensors"
    submit(database, plan_lora(file, model))
    base, lora = check_models(settings, database)
    assert (base.verdict, lora.verdict) == ("ok", "ok")
    assert lora.detail.startswith(f"{file}, ")
    file.unlink()
    _, lora = check_models(settings, database)
    assert lora.verdict == "fail"
    assert f"must be a file, got {file}" in lora.detail
