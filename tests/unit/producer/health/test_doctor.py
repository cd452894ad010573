"""`nightsweep doctor`: each look says what is wrong and what to do."""

import json
import socket
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from producer.cli import cli
from producer.commands.doctor import examine
from producer.health import holdings, machine, services
from producer.health.check import Check, guarded
from storage.files.images import ImageFolder
from storage.host.environment import Environment
from storage.jobs.results import record_done
from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_database
from tests.builders import SHAPES, make_result, plan_seeds, save_image, submit, take
from tests.unit.fake_torch import install_torch
from tests.unit.filled_store import filled
from tests.unit.old_database import make_old


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the import of torch in another process."""
    answer = {"reason": "torch finds no GPU"}
    monkeypatch.setattr(machine, "ask_program", lambda _command: answer)


def by_name(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def made_by(host: str, settings: Settings, database: Database) -> Path:
    """Make an image on a host; give its file."""
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    file = save_image(ImageFolder(settings.images), claim.job.key, b"png")
    record_done(
        database,
        {claim.id: make_result()},
        worker="cpu0",
        environment=Environment(gpu="CPU", host=host),
    )
    return file


@pytest.mark.usefixtures("no_gpus")
def test_a_new_machine_is_fine_and_nothing_is_made_on_it(tmp_path) -> None:
    home = tmp_path / "home"
    said = CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False)
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert said.exit_code == 0, said.stdout
    assert {row["check"] for row in rows} == {
        *("Python", "packages", "torch", "state folder", "image disk", "state disk"),
        *("Redis", "SQL", "clock", "image folder", "models", "GPUs"),
    }
    assert all(set(row) == {"check", "verdict", "detail", "advice"} for row in rows)
    assert "0 fail." in said.stderr
    assert not home.exists()


@pytest.mark.usefixtures("no_gpus")
def test_what_fails_is_told_in_a_line_and_by_the_exit_code(
    settings, monkeypatch
) -> None:
    monkeypatch.setattr(machine, "MIN_FREE_BYTES", 10**18)
    said = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False)
    assert said.exit_code == 1
    (line,) = [line for line in said.stdout.splitlines() if "image disk" in line]
    assert line.startswith("fail  image disk     ")
    assert f"is free for {settings.images}; keep 1,000,000 TB free" in line
    assert "2 fail." in said.stderr


@pytest.mark.usefixtures("no_gpus")
def test_no_password_is_ever_shown(monkeypatch) -> None:
    server = "postgresql+psycopg://me:ge%2Fheim@127.0.0.1:1/db?password=auch"
    monkeypatch.setenv("NIGHTSWEEP_DATABASE_URL", server)
    monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", "redis://:verborgen@127.0.0.1:1/0")
    said = CliRunner().invoke(cli, ["doctor", "--json"], catch_exceptions=False)
    assert said.exit_code == 1
    verdicts = {}
    for line in said.stdout.splitlines():
        row = json.loads(line)
        verdicts[row["check"]] = row["verdict"]
    assert (verdicts["Redis"], verdicts["SQL"]) == ("fail", "fail")
    for password in ("ge%2Fheim", "ge/heim", "auch", "verborgen"):
        assert password not in said.output


def test_packages_that_are_missing_or_of_another_version_are_named() -> None:
    needs = [
        Requirement(text)
        for text in ("pillow>=999", "click>=1", "no-such-package>=1", "sqlalchemy<2")
    ]
    missing, pillow, sqlalchemy = machine._unmet(needs)
    assert missing == "no-such-package is missing"
    assert pillow.startswith("pillow must be >=999, got ")
    assert sqlalchemy.startswith("sqlalchemy must be <2, got ")
    assert list(machine._unmet(machine._needs(""))) == []
    extra = {need.name for need in machine._needs("torch")}
    assert {"torch", "diffusers", "celery"} <= extra
    assert "torch" not in {need.name for need in machine._needs("")}


def test_a_machine_without_torch_can_submit(monkeypatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine, "version", version)
    (torch,) = machine.check_torch()
    assert (torch.verdict, torch.advice) == (
        "warn",
        "pip install 'nightsweep[torch]' where workers run",
    )
    (gpus,) = machine.check_gpus()
    assert (gpus.verdict, gpus.detail) == ("ok", "not checked: torch is not installed")


@pytest.mark.parametrize(
    ("answer", "has_nvidia", "verdict", "detail"),
    [
        (
            {"gpus": [{"name": "H200", "uuid": "1f"}, {"name": "A2", "uuid": ""}]},
            True,
            "ok",
            "H200, A2",
        ),
        (
            {"reason": "no driver"},
            True,
            "fail",
            "torch cannot use this machine's: no driver",
        ),
        (
            {"reason": "CPUs only"},
            False,
            "ok",
            "none (CPUs only): workers use the CPU",
        ),
    ],
)
def test_gpus_are_named_or_told_why_not(
    monkeypatch, answer, has_nvidia, verdict, detail
) -> None:
    monkeypatch.setattr(machine, "version", lambda _name: "2.13.0")
    monkeypatch.setattr(machine, "ask_program", lambda _command: answer)
    monkeypatch.setattr(machine, "has_nvidia", lambda: has_nvidia)
    (check,) = machine.check_gpus()
    assert (check.verdict, check.detail) == (verdict, detail)


def test_the_gpus_are_those_that_torch_names(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(machine, "version", lambda _name: "2.13.0")
    install_torch(tmp_path, monkeypatch, names=["H200", "A2"], built_for="12.8")
    (check,) = machine.check_gpus()
    assert (check.verdict, check.detail) == ("ok", "H200, A2")


def test_a_state_folder_that_others_can_look_into_is_told(settings) -> None:
    assert by_name(machine.check_home(settings))["state folder"].verdict == "ok"
    settings.home.chmod(0o755)
    check = by_name(machine.check_home(settings))["state folder"]
    assert check.verdict == "warn"
    assert check.detail == f"others can look into {settings.home} (mode 0755)"
    assert check.advice == f"chmod 700 {settings.home}"


def test_a_state_folder_on_a_network_disk_fails(settings, monkeypatch) -> None:
    monkeypatch.setattr("storage.settings.filesystem_of", lambda _folder: "nfs4")
    (check,) = guarded("state folder", machine.check_home(settings))
    assert check.verdict == "fail"
    assert "State must be on a local disk" in check.detail


def test_an_error_of_the_disk_is_a_check_that_fails(settings) -> None:
    settings.logs.rmdir()
    settings.logs.symlink_to(settings.home / "logs.real")
    (settings.home / "logs.real").mkdir()
    (settings.home / "logs.real" / "gone.log").symlink_to(settings.home / "nowhere")
    check = by_name(guarded("state folder", machine.check_home(settings)))
    assert check["state folder"].verdict == "fail"
    assert "No such file or directory" in check["state folder"].detail
    assert "look at its owner" in check["state folder"].advice


def test_a_disk_that_is_soon_full_is_told(settings, monkeypatch) -> None:
    free = machine.free_bytes(settings.images)
    monkeypatch.setattr(machine, "MIN_FREE_BYTES", free // 3)
    assert {check.verdict for check in machine.check_disks(settings)} == {"warn"}


def test_the_database_is_new_enough_and_can_be_written(settings, database) -> None:
    (check,) = services.check_sql(settings)
    assert check.verdict == "ok"
    assert "WAL, writable" in check.detail
    (clock,) = services.check_clock(database)
    assert clock.detail.startswith("not checked")


def test_an_older_database_is_told_and_left_as_it_is(settings) -> None:
    make_old(settings.database_url)
    for _ in range(2):
        (check,) = guarded("SQL", services.check_sql(settings))
        assert check.verdict == "fail"
        assert "to upgrade it" in check.detail


@pytest.mark.usefixtures("no_gpus")
def test_a_database_that_is_broken_does_not_stop_the_other_checks(settings) -> None:
    (settings.home / "nightsweep.db").write_bytes(b"no database" * 100)
    (check,) = guarded("SQL", services.check_sql(settings))
    assert check.verdict == "fail"
    assert "file is not a database" in check.detail
    checks = by_name(examine(settings))
    assert checks["models"].detail == "not checked: there is no database to ask"
    assert checks["image folder"].verdict == "ok"


def test_an_image_folder_that_cannot_be_written_fails(settings) -> None:
    (settings.images / holdings.PROBES).write_text("in the way")
    (check,) = guarded("image folder", holdings.check_images(settings, None))
    assert check.verdict == "fail"
    assert "Images must be writable" in check.detail


def test_one_host_alone_has_nobody_to_read_from(settings, database) -> None:
    made_by(socket.gethostname(), settings, database)
    checks = by_name(holdings.check_images(settings, database))
    assert checks["image folder"].verdict == "ok"
    assert checks["shared images"].detail.startswith("not checked: only this host")


def test_a_host_reads_what_another_hosts_doctor_wrote(settings, monkeypatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "night1/a")
    list(holdings.check_images(settings, None))
    monkeypatch.setattr(socket, "gethostname", lambda: "night2")
    shared = by_name(holdings.check_images(settings, None))["shared images"]
    assert shared.verdict == "ok"
    assert shared.detail.startswith("what night1/a wrote at 20")


def test_an_image_of_another_host_is_read(tmp_path) -> None:
    settings, _ = filled(tmp_path)
    database = open_database(settings.database_url)
    shared = by_name(holdings.check_images(settings, database))["shared images"]
    assert shared.verdict == "ok"
    assert shared.detail.endswith(".png of night3 can be read")
    database.close()


def test_an_image_of_another_host_that_is_not_here_fails(settings, database) -> None:
    made_by("night3", settings, database).unlink()
    shared = by_name(holdings.check_images(settings, database))["shared images"]
    assert shared.verdict == "fail"
    assert "the newest image of night3 cannot be read" in shared.detail
    assert "let all hosts share one image folder" in shared.advice


def test_models_are_looked_for_where_jobs_need_them(settings, database) -> None:
    (check,) = holdings.check_models(settings, database)
    assert check.detail == "none is needed: no job waits"
    found = locate("builtin:shapes", download=False)
    model = replace(SHAPES, fingerprint=fingerprint(found, Digests()))
    submit(database, plan_seeds(1, model=model))
    (check,) = holdings.check_models(settings, database)
    assert check.verdict == "ok"
    assert check.detail.startswith("builtin:shapes, ")


def test_a_model_that_is_gone_or_changed_fails(settings, database) -> None:
    gone = replace(SHAPES, name=str(settings.home / "gone"), fingerprint="1" * 32)
    submit(database, [*plan_seeds(1), *plan_seeds(2, model=gone)])
    take(database)
    changed, missing = holdings.check_models(settings, database)
    assert (changed.verdict, missing.verdict) == ("fail", "fail")
    assert "must have the files that were planned" in changed.detail
    assert "model_index.json" in missing.detail


def test_a_model_that_is_whole_in_another_place_is_found_there(
    settings, database
) -> None:
    found = locate("builtin:shapes", download=False)
    model = replace(SHAPES, fingerprint=fingerprint(found, Digests()))
    gone = replace(model, name=str(settings.home / "gone"))
    submit(database, plan_seeds(1, model=model), name="one")
    submit(database, plan_seeds(1, 2, model=gone), name="two")
    (check,) = holdings.check_models(settings, database)
    assert (check.verdict, check.detail[:16]) == ("ok", "builtin:shapes, ")


def test_a_model_that_is_in_no_place_fails_with_all_of_them(settings, database) -> None:
    for place in ("one", "two"):
        model = replace(SHAPES, name=str(settings.home / place))
        submit(database, plan_seeds(1, model=model), name=place)
    (check,) = holdings.check_models(settings, database)
    assert check.verdict == "fail"
    assert f"{settings.home}/one" in check.detail
    assert f"{settings.home}/two" in check.detail


def test_a_model_on_the_hub_that_cannot_be_reached_fails(
    settings, database, monkeypatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_CACHE", str(settings.home / "hub")
    )
    model = replace(SHAPES, name="org/model", fingerprint="2" * 32)
    submit(database, plan_seeds(1, model=model))
    (check,) = holdings.check_models(settings, database)
    assert check.verdict == "fail"
    assert "org/model" in check.detail


def test_a_server_that_is_not_running_is_fine_where_one_is_installed() -> None:
    (check,) = services.check_redis(read_settings())
    assert check.verdict == "ok"
    assert "started when needed, by" in check.detail
