"""`nightsweep verify`: what is wrong is found, mended once, and no picture is lost."""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from PIL import Image

from producer.cli import cli
from storage.files import orphans, repairs, verification
from storage.files.folders import take_folder
from storage.files.images import ImageFolder, relative_path
from storage.files.inputs import InputFolder
from storage.files.pictures import pixel_sha256
from storage.files.verification import Finding
from storage.jobs import lifecycle, remaking
from storage.jobs.claims import hand_back
from storage.jobs.eviction import evict
from storage.jobs.results import record_done
from storage.jobs.sweeps import require_sweeps
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from storage.sql.schema import jobs, sweeps
from tests.builders import (
    ENVIRONMENT,
    job_rows,
    make_job,
    make_planned,
    make_result,
    plan_seeds,
    save_image,
    states,
    submit,
    take,
    take_these,
    untold,
)
from tests.unit.old_database import make_old as make_old_database
from workers.execution.encode import encode_png

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OLD_S = 7200


@pytest.fixture
def database(database: Database, settings: Settings) -> Database:
    """Give a database whose image folder is taken, as a worker does first of all."""
    take_folder(database, settings.images)
    return database


def png(colour: str) -> bytes:
    """Give a picture whose file is as large as that of any other colour."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG", compress_level=0)
    return out.getvalue()


def make_images(settings: Settings, database: Database, *seeds: int) -> None:
    """Submit these seeds, and make their images."""
    submit(database, plan_seeds(*seeds))
    finish(settings, database, *seeds)


def finish(
    settings: Settings, database: Database, *seeds: int, content: bytes | None = None
) -> None:
    """Make images of these seeds, which wait."""
    folder = take_folder(database, settings.images)
    keys = [make_job(seed=seed).key for seed in seeds]
    made = content or png("red")
    digest = hashlib.sha256(Image.open(io.BytesIO(made)).tobytes()).hexdigest()
    taken = take_these(database, keys)
    done = {}
    for claim in taken:
        ImageFolder(settings.images).save(claim.job.key, made)
        done[claim.id] = make_result(
            path=relative_path(claim.job.key),
            size_bytes=len(made),
            pixel_sha256=digest,
            finished_at=f"2026-01-02T03:04:05.{time.monotonic_ns() % 10**6:06}+00:00",
        )
    record_done(
        database, done, worker="cpu0", environment=ENVIRONMENT, folder_id=folder.id
    )


def file_of(settings: Settings, seed: int) -> Path:
    return ImageFolder(settings.images).path(make_job(seed=seed).key)


def make_old(file: Path, content: bytes = b"png") -> Path:
    """Write a file as of two hours ago."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (time.time() - OLD_S,) * 2)
    return file


def files_below(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*.png")}


def verify(*options: str) -> Result:
    return CliRunner().invoke(
        cli, ["verify", "--json", *options], catch_exceptions=False
    )


def found(said: Result) -> dict[str, str]:
    """Give the problem of each path, as piped."""
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    return {line["path"]: line["problem"] for line in lines}


def found_by(looks: Sequence[verification.Checked]) -> list[Finding]:
    return [finding for look in looks for finding in look.findings]


def test_images_as_workers_write_them_are_right(settings, database) -> None:
    job = make_job(width=16, height=16)
    submit(database, [make_planned(width=16, height=16)])
    (claim,) = take(database, group=job.group)
    picture = Image.effect_noise((16, 16), 60).convert("RGB")
    content = encode_png(picture, job, scheduler="ddim")
    ImageFolder(settings.images).save(job.key, content)
    made = make_result(size_bytes=len(content), pixel_sha256=pixel_sha256(picture))
    record_done(database, {claim.id: made}, worker="cpu0", environment=ENVIRONMENT)
    said = verify("--full")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == "1 image checked, nothing is wrong.\n"


def test_missing_truncated_and_orphaned_files_are_found(settings, database) -> None:
    make_images(settings, database, 1, 2, 3)
    file_of(settings, 1).unlink()
    file_of(settings, 2).write_bytes(png("red")[:-20])
    stranger = save_image(ImageFolder(settings.images), "0" * 32, b"png")
    said = verify()
    assert said.exit_code == 1
    assert [json.loads(line) for line in said.stdout.splitlines()] == [
        {
            "problem": "missing",
            "key": make_job(seed=1).key,
            "path": relative_path(make_job(seed=1).key),
            "detail": "there is no file",
            "repair": None,
        },
        {
            "problem": "truncated",
            "key": make_job(seed=2).key,
            "path": relative_path(make_job(seed=2).key),
            "detail": f"{len(png('red')) - 20:,} bytes instead of {len(png('red')):,}",
            "repair": None,
        },
        {
            "problem": "orphaned",
            "key": "0" * 32,
            "path": str(stranger.relative_to(settings.images)),
            "detail": "no job has this key",
            "repair": None,
        },
    ]
    assert said.stderr == (
        "3 images checked: 1 missing, 1 truncated, 1 orphaned; --repair mends that.\n"
    )
    assert set(states(database).values()) == {"done"}


def test_a_file_of_the_right_size_is_judged_by_its_pixels_where_asked(
    settings, database
) -> None:
    make_images(settings, database, 1, 2, 3)
    file_of(settings, 1).write_bytes(png("blue"))
    file_of(settings, 2).write_bytes(bytes(len(png("red"))))
    assert verify().exit_code == 0
    said = verify("--full")
    assert said.exit_code == 1
    details = [json.loads(line)["detail"] for line in said.stdout.splitlines()]
    assert details == ["the pixels differ", "it cannot be decoded"]
    assert set(found(said).values()) == {"wrong_digest"}


@pytest.mark.databases("sqlite")
def test_a_file_with_any_bytes_turned_is_no_crash(settings, database) -> None:
    make_images(settings, database, 1)
    whole = bytearray(png("red"))
    problems = set()
    for place in range(len(whole)):
        turned = whole.copy()
        turned[place] ^= 0xFF
        file_of(settings, 1).write_bytes(turned)
        looks = verification.check_images(database, settings.images, by_digest=True)
        problems |= {each.problem for each in found_by([*looks])}
    assert problems == {"wrong_digest"}


def test_files_that_workers_may_be_about_to_use_are_left_out(
    settings, database
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    take(database, limit=1)
    make_old(file_of(settings, 1))
    file_of(settings, 2).parent.mkdir(parents=True)
    file_of(settings, 2).write_bytes(b"of a worker that lost its lease")
    old = make_old(file_of(settings, 3))
    said = verify()
    assert found(said) == {str(old.relative_to(settings.images)): "orphaned"}
    assert json.loads(said.stdout)["detail"] == "its job is pending"


def test_what_a_killed_worker_left_is_found_when_it_is_old(settings, database) -> None:
    make_images(settings, database, 1)
    image = file_of(settings, 1)
    image.with_name(f".{image.name}.0123456789abcdef.tmp").write_bytes(b"young")
    old = make_old(image.with_name(f".{image.name}.fedcba9876543210.tmp"))
    said = verify()
    assert found(said) == {str(old.relative_to(settings.images)): "leftover"}
    assert json.loads(said.stdout)["key"] is None
    assert verify("--repair").exit_code == 0
    assert not old.exists()
    assert verify().exit_code == 0


def test_a_file_in_the_wrong_folder_is_nobodys_and_other_files_are_not_looked_at(
    settings, database
) -> None:
    make_images(settings, database, 1)
    name = file_of(settings, 1).name
    make_old(settings.images / "00" / "00" / name)
    for other in ("sheet.png", f"orphans/{name}", f"ab/{name}", "ab/cd/notes.txt"):
        make_old(settings.images / other)
    said = verify()
    assert found(said) == {f"00/00/{name}": "orphaned"}
    assert json.loads(said.stdout)["detail"] == "it is in the wrong folder"


def test_a_sweep_is_checked_without_the_others_and_without_orphans(
    settings, database
) -> None:
    make_images(settings, database, 1, 2)
    submit(database, plan_seeds(2, 3), name="other")
    finish(settings, database, 3)
    for seed in (1, 2):
        file_of(settings, seed).unlink()
    make_old(ImageFolder(settings.images).path("0" * 32))
    said = verify("--sweep", "other")
    assert found(said) == {relative_path(make_job(seed=2).key): "missing"}
    assert said.stderr.startswith("2 images checked: 1 missing; ")
    said = verify("--sweep", "othr")
    assert said.exit_code == 2
    assert "got 'othr'; did you mean 'other'?" in said.stderr


@pytest.mark.databases("sqlite")
def test_a_repair_may_be_the_first_command_after_an_upgrade(
    settings: Settings,
) -> None:
    make_old_database(settings.database_url)
    engine = sa.create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET key = '{'0' * 32}'")  # noqa: S608
    engine.dispose()
    ImageFolder(settings.images).save("0" * 32, bytes(1000))
    said = verify()
    assert said.exit_code == 2
    assert "run any command that writes" in said.stderr
    assert "or `nightsweep verify --repair`, to upgrade it" in said.stderr
    said = verify("--repair")
    assert (said.exit_code, said.stdout) == (0, "")
    assert "1 image checked, nothing is wrong." in said.stderr
    assert verify().exit_code == 0


@pytest.mark.databases("sqlite")
def test_a_repair_makes_no_database(database_url: str) -> None:
    settings = read_settings()
    said = verify("--repair")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == ("There is no database yet, so there is nothing to check.\n")
    assert not settings.home.exists()


def test_all_pages_are_read(settings, database, monkeypatch) -> None:
    monkeypatch.setattr(verification, "CHECK_ROWS", 2)
    make_images(settings, database, *range(5))
    looks = [*verification.check_images(database, settings.images)]
    assert [look.images for look in looks] == [2, 2, 1]
    assert verification.count_made(database) == 5


def test_a_repair_queues_lost_images_again_and_keeps_every_picture(
    settings, database
) -> None:
    make_images(settings, database, 1, 2, 3, 4)
    file_of(settings, 1).unlink()
    file_of(settings, 2).write_bytes(b"short")
    file_of(settings, 3).write_bytes(png("blue"))
    stranger = "0" * 32
    ImageFolder(settings.images).save(stranger, b"stranger")
    said = verify("--repair", "--full")
    assert said.exit_code == 0
    assert [json.loads(line)["repair"] for line in said.stdout.splitlines()] == [
        *["queued again"] * 3,
        f"moved to orphans/{relative_path(stranger)}",
    ]
    assert "; 4 repaired." in said.stderr
    assert states(database) == {1: "pending", 2: "pending", 3: "pending", 4: "done"}
    with database.read() as connection:
        times = sa.select(jobs.c.total_s).order_by(jobs.c.id)
        *lost, kept = connection.execute(times).scalars()
    assert lost == [None, None, None]
    assert kept is not None
    moved = settings.images / repairs.ORPHANS
    assert (moved / relative_path(stranger)).read_bytes() == b"stranger"
    short = moved / relative_path(make_job(seed=2).key)
    assert short.read_bytes() == b"short"
    assert len(files_below(moved)) == 3
    again = verify("--repair", "--full")
    assert (again.exit_code, again.stdout) == (0, "")


def test_what_was_queued_again_is_made_like_any_other(settings, database) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    verify("--repair")
    (row,) = [row for row in job_rows(database) if row.seed == 1]
    assert (row.attempts, row.deaths, row.error, row.priority) == (0, 0, None, 5)
    finish(settings, database, 1)
    assert states(database) == {1: "done", 2: "done"}
    assert verify("--full").exit_code == 0


def test_a_job_is_queued_again_for_its_most_urgent_sweep(settings, database) -> None:
    make_images(settings, database, 1, 2)
    submit(database, plan_seeds(1), name="urgent", priority=2)
    file_of(settings, 1).unlink()
    verify("--repair")
    assert {row.seed: row.priority for row in job_rows(database)} == {1: 2, 2: 5}


def test_a_job_that_no_live_sweep_wants_waits(settings, database) -> None:
    make_images(settings, database, 1, 2)
    with database.write() as connection:
        connection.execute(sa.update(sweeps).values(state="cancelled"))
    file_of(settings, 1).unlink()
    said = verify("--repair")
    assert said.exit_code == 0
    assert json.loads(said.stdout)["repair"] == "pending; no active sweep wants it"
    assert {row.seed: row.priority for row in job_rows(database)} == {1: None, 2: 5}


@pytest.mark.parametrize("content", [None, b"short"])
def test_an_image_that_was_mended_meanwhile_is_left_alone(
    settings, database, content
) -> None:
    make_images(settings, database, 1)
    file_of(settings, 1).unlink()
    if content:
        file_of(settings, 1).write_bytes(content)
    seen = found_by([*verification.check_images(database, settings.images)])
    file_of(settings, 1).write_bytes(png("red"))
    assert [*repairs.mend(database, settings.images, seen)] == seen
    assert states(database) == {1: "done"}
    assert file_of(settings, 1).exists()


def test_an_image_that_was_restored_with_its_size_and_time_is_left_alone(
    settings, database
) -> None:
    make_images(settings, database, 1)
    file = file_of(settings, 1)
    whole = file.read_bytes()
    file.write_bytes(png("blue"))
    before = file.stat()
    looks = verification.check_images(database, settings.images, by_digest=True)
    seen = [finding for look in looks for finding in look.findings]
    assert [finding.problem for finding in seen] == ["wrong_digest"]
    restored = file.with_name("restored")  # as rsync does
    restored.write_bytes(whole)
    os.utime(restored, ns=(before.st_atime_ns, before.st_mtime_ns))
    restored.rename(file)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert [*repairs.mend(database, settings.images, seen)] == seen
    assert file.read_bytes() == whole
    assert states(database) == {1: "done"}


def test_a_result_that_is_another_by_now_is_left_alone(settings, database) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    seen = found_by([*verification.check_images(database, settings.images)])
    verify("--repair")
    finish(settings, database, 1)
    file_of(settings, 1).unlink()
    assert [*repairs.mend(database, settings.images, seen)] == seen
    assert states(database) == {1: "done", 2: "done"}


def test_an_orphan_whose_job_is_done_meanwhile_is_left_alone(
    settings, database
) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database)
    make_old(file_of(settings, 1), png("red"))
    hand_back(database, owner="host:1:1", ids=[claim.id])
    seen = found_by([*orphans.check_files(database, settings.images)])
    assert [finding.problem for finding in seen] == ["orphaned"]
    done = {claim.id: make_result(size_bytes=len(png("red")))}
    record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
    assert [*repairs.mend(database, settings.images, seen)] == seen
    assert file_of(settings, 1).exists()
    taken_away = [replace(each, path=relative_path("f" * 32)) for each in seen]
    assert [*repairs.mend(database, settings.images, taken_away)] == taken_away


def test_a_second_picture_of_the_same_name_is_kept_beside_the_first(
    settings, database
) -> None:
    make_images(settings, database, 1)
    for content in (b"one", b"other"):
        ImageFolder(settings.images).save("0" * 32, content)
        assert verify("--repair").exit_code == 0
    kept = (settings.images / repairs.ORPHANS / "00" / "00").iterdir()
    assert sorted(each.read_bytes() for each in kept) == [b"one", b"other"]


def test_a_folder_that_has_nothing_to_do_with_the_database_is_not_repaired(
    settings, database
) -> None:
    make_images(settings, database, 1, 2)
    elsewhere = settings.images.rename(settings.home / "elsewhere")
    settings.images.mkdir()
    stranger = save_image(ImageFolder(settings.images), "0" * 32, b"png")
    for options in ((), ("--repair",)):
        said = verify(*options)
        assert said.exit_code == 1
        assert "The image folder must be the one that workers wrote to" in said.stderr
        assert "without 2 images; mount the disk that holds them, or" in said.stderr
    assert stranger.exists()
    assert states(database) == {1: "done", 2: "done"}
    assert verify("--repair", "--force").exit_code == 0
    assert states(database) == {1: "pending", 2: "pending"}
    assert len(files_below(elsewhere)) == 2


def test_a_folder_without_any_of_its_images_is_not_repaired(settings, database) -> None:
    make_images(settings, database, 1, 2)
    for seed in (1, 2):
        file_of(settings, seed).unlink()
    said = verify("--repair")
    assert said.exit_code == 2
    assert "At least one image must be in its place" in said.stderr
    assert "--force" in said.stderr
    assert states(database) == {1: "done", 2: "done"}
    assert verify("--repair", "--force").exit_code == 0
    assert states(database) == {1: "pending", 2: "pending"}


def test_an_image_folder_that_is_not_there_is_an_error(settings, database) -> None:
    submit(database, plan_seeds(1))
    shutil.rmtree(settings.images)
    said = verify()
    assert said.exit_code == 1
    assert f"{settings.images} is not; mount it, or set" in said.stderr


def test_a_file_or_folder_that_cannot_be_looked_at_is_an_error(
    settings, database
) -> None:
    make_images(settings, database, 1, 2)
    file = file_of(settings, 1)
    file.unlink()
    file.symlink_to(file)
    said = verify("--repair")
    assert said.exit_code == 1
    assert f"Images must be readable, but {file} gives: Too many levels" in said.stderr
    file.unlink()
    (settings.images / "00").symlink_to(settings.images / "00")
    said = verify("--sweep", "night", "--repair")
    assert said.exit_code == 0
    assert "00 gives: Too many levels" in verify().stderr


def test_a_repair_that_the_disk_refuses_changes_no_row(settings, database) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).write_bytes(b"short")
    (settings.images / repairs.ORPHANS).write_text("in the way")
    said = verify("--repair")
    assert said.exit_code == 1
    assert "Images must be movable to be repaired" in said.stderr
    assert states(database) == {1: "done", 2: "done"}
    assert file_of(settings, 1).exists()


@pytest.mark.databases("sqlite")
def test_without_a_database_there_is_nothing_to_check(settings) -> None:
    said = verify("--repair")
    assert (said.exit_code, said.stdout) == (0, "")
    assert "There is no database yet" in said.stderr
    assert not (settings.home / "nightsweep.db").exists()


def test_nothing_made_yet_is_nothing_wrong(settings, database) -> None:
    said = verify("--repair")
    assert said.exit_code == 0
    assert said.stderr == "0 images checked, nothing is wrong.\n"


def test_people_get_a_table_and_the_number_of_rows_left_out(
    settings, database, monkeypatch
) -> None:
    monkeypatch.setattr("producer.commands.verify.TABLE_ROWS", 2)
    monkeypatch.setattr("producer.commands.verify.terminal_width", lambda: 200)
    make_images(settings, database, 1, 2, 3)
    for seed in (1, 2, 3):
        file_of(settings, seed).unlink()
    said = CliRunner().invoke(cli, ["verify"])
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["problem", "path", "detail", "repair"]
    assert lines[1].split()[:2] == ["missing", relative_path(make_job(seed=1).key)]
    assert len(lines) == 3
    monkeypatch.setattr("producer.commands.verify.terminal_width", lambda: None)
    assert len(CliRunner().invoke(cli, ["verify"]).stdout.splitlines()) == 4
    assert "1 more; a pipe or --json has them all." in said.stderr


def test_a_repair_does_not_start_redis(settings, database) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    assert verify("--repair").exit_code == 0
    assert not (settings.home / "redis").exists()


@pytest.mark.databases("sqlite")
def test_a_redis_that_is_away_does_not_stop_a_repair(
    settings, database, monkeypatch
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_REDIS_URL", "redis://127.0.0.1:1/0")
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    said = verify("--repair")
    assert said.exit_code == 0
    assert "workers find these jobs when it can" in said.stderr
    assert "Nobody works on it yet" in said.stderr
    assert "run NAME`" in said.stderr
    assert states(database)[1] == "pending"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("by_sweep", [False, True])
def test_pages_are_found_by_the_keys_of_the_tables(database, by_sweep) -> None:
    sweep = submit(database, plan_seeds(1))
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection, _cursor, statement, parameters, *_rest) -> None:
        asked.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    which = sweep if by_sweep else None
    assert [*verification.check_images(database, Path(), sweep=which)] == []
    ((query, values),) = [each for each in asked if "results" in each[0]]
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)
        steps = " / ".join(row.detail for row in plan)
    assert "SCAN" not in steps
    assert "TEMP B-TREE" not in steps


@pytest.mark.databases("postgresql")
def test_jobs_whose_sweep_is_resumed_during_their_repair_hear_of_it(
    settings, database, monkeypatch
) -> None:
    make_images(settings, database, 1, 2)
    file_of(settings, 1).unlink()
    sweep = require_sweeps(database, ["night"])[0]
    lifecycle.set_state(database, sweep, "paused")
    rank = remaking.rank

    def rank_then_resume(*args: object) -> int:
        """Rank the jobs, and have the sweep resumed before the commit."""
        changed = rank(*args)
        monkeypatch.setattr(remaking, "rank", rank)
        lifecycle.set_state(database, sweep, "active")
        return changed

    monkeypatch.setattr(remaking, "rank", rank_then_resume)
    verify("--repair")
    assert states(database) == {1: "pending", 2: "done"}
    assert untold(database) == []


@pytest.mark.parametrize(
    "extras_of",
    [
        lambda digest: {"image": digest, "strength": 0.5},
        lambda digest: {"controlnet": [["f" * 32, digest, 1.0, 0.0, 1.0]]},
    ],
)
def test_a_lost_copy_of_an_input_image_is_said_and_not_called_repaired(
    settings: Settings,
    database: Database,
    extras_of: Callable[[str], dict[str, Any]],
) -> None:
    folder = InputFolder(settings.images)
    there, gone = (folder.save(Image.new("RGB", (8, 8), c)) for c in ("red", "blue"))
    for digest in (there, gone):
        submit(database, [make_planned(extras=extras_of(digest))])
    folder.path(gone).unlink()
    for options in ((), ("--repair",)):
        result = verify(*options)
        assert result.exit_code == 1
        assert f"inputs/{gone}.png" in result.stdout
        assert there not in result.stdout
        assert "1 lost input; " in result.stderr
        assert "a submission brings lost inputs back" in result.stderr


def test_the_file_of_a_removed_image_goes_and_the_image_is_not_made_again(
    settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2)
    assert list(evict(database, [1], folder_id=1, still=sa.true())) == [1]
    assert "1 evicted" in verify().output
    assert "evicted" in verify("--repair").output
    assert not file_of(settings, 1).exists()
    assert file_of(settings, 2).exists()
    assert verify("--repair").exit_code == 0
    assert states(database) == {1: "evicted", 2: "done"}


def test_removed_images_are_missed_in_no_folder(
    settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1)
    list(evict(database, [1], folder_id=1, still=sa.true()))
    file_of(settings, 1).unlink()
    outcome = verify("--repair")
    assert outcome.exit_code == 0, outcome.output
    assert "nothing is wrong" in outcome.output
