"""Which database owns an image folder, and which folder an image is in."""

import errno
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from producer.health import holdings
from producer.health.check import guarded
from storage.errors import ImageStoreError, WrongFolderError
from storage.files import markers
from storage.files.folders import (
    Folder,
    count_elsewhere,
    look_at_folder,
    rows_here,
    take_folder,
)
from storage.files.images import ImageFolder, relative_path
from storage.files.markers import NAME, Marker, read_marker
from storage.host.environment import Environment
from storage.jobs.results import record_done
from storage.jobs.sweeps import find_sweep
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.schema import about, folder_places, jobs, results
from storage.store import Store
from tests.builders import (
    make_job,
    make_result,
    plan_seeds,
    save_image,
    states,
    submit,
    take_these,
)
from tests.processes import PATIENCE_S, find_workers, running, wait_until
from tests.unit.old_database import make_old as make_old_database
from tests.unit.storage.files.test_verify import make_old, png, verify

pytestmark = pytest.mark.databases("sqlite", "postgresql")

HERE = socket.gethostname()
NO_MARKER = shutil.ignore_patterns(NAME)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    """Give another database."""
    with closing(open_database(f"sqlite:///{tmp_path}/other.db")) as opened:
        yield opened


def make(
    database: Database, folder: Folder | Path, *seeds: int, host: str = HERE
) -> None:
    """Make images as workers of a host do; a path is a folder that no row notes."""
    submit(database, plan_seeds(*seeds), name=f"sweep{seeds[0]}")
    path, row_id = (
        (folder, None) if isinstance(folder, Path) else (folder.path, folder.id)
    )
    keys = [make_job(seed=seed).key for seed in seeds]
    done = {}
    for claim in take_these(database, keys):
        ImageFolder(path).save(claim.job.key, png("red"))
        done[claim.id] = make_result(
            path=relative_path(claim.job.key), size_bytes=len(png("red"))
        )
    record_done(
        database,
        done,
        worker="cpu0",
        environment=Environment(gpu="CPU", host=host),
        folder_id=row_id,
    )


def file_of(path: Path, seed: int) -> Path:
    return ImageFolder(path).path(make_job(seed=seed).key)


def elsewhere(database: Database, folder: Folder) -> dict[str, int]:
    return dict(count_elsewhere(database, rows_here(database, folder)))


def places(database: Database) -> list[str]:
    with database.read() as connection:
        query = sa.select(folder_places).order_by(folder_places.c.noted_at)
        return [f"{row.host}:{row.path}" for row in connection.execute(query)]


def test_the_first_who_writes_leaves_a_marker_that_all_others_read(
    settings: Settings, database: Database
) -> None:
    seen = look_at_folder(database, settings.images)
    assert (seen.id, [*settings.images.iterdir()], places(database)) == (None, [], [])
    first = take_folder(database, settings.images)
    said = json.loads((settings.images / NAME).read_text())
    with database.read() as connection:
        assert said["database"] == connection.scalar(sa.select(about.c.database_id))
    assert said["since_ns"] == first.since_ns == 0
    assert take_folder(database, settings.images) == first
    assert look_at_folder(database, settings.images) == first
    assert [each.name for each in settings.images.iterdir()] == [NAME]
    assert places(database) == [f"{HERE}:{settings.images}"]


@pytest.mark.parametrize("is_left_empty", [False, True])
@pytest.mark.parametrize("has_links", [True, False])
def test_many_first_writers_agree_on_one_marker(
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_links: bool,
    is_left_empty: bool,
) -> None:
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", _no_links)
    if is_left_empty:
        (settings.images / NAME).touch()
        monkeypatch.setattr(markers, "PAUSE_S", 0.0)
    start, taken = threading.Barrier(6), []

    def begin() -> None:
        start.wait()
        taken.append(take_folder(database, settings.images))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 6
    assert len(set(taken)) == 1
    assert len(places(database)) == 1
    assert [each.name for each in settings.images.iterdir()] == [NAME]


def _no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_of_two_databases_the_first_has_the_folder(
    settings: Settings, database: Database, other: Database
) -> None:
    start, said = threading.Barrier(2), []

    def begin(mine: Database) -> None:
        start.wait()
        try:
            said.append(take_folder(mine, settings.images).path)
        except WrongFolderError as exc:
            said.append(str(exc))

    threads = [threading.Thread(target=begin, args=(d,)) for d in (database, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings.images in said
    (refused,) = [each for each in said if isinstance(each, str)]
    assert refused == (
        f"An image folder must belong to one database, but {settings.images} belongs "
        "to another; set NIGHTSWEEP_IMAGES to a folder of this one's own, or, if the "
        f"other is gone for good, remove {settings.images / NAME}."
    )


@pytest.mark.parametrize(
    "words",
    [
        *(["worker", "--device", "cpu"], ["verify"], ["verify", "--repair", "--force"]),
        *(["run", "spec.yaml", "--device", "cpu"],),
    ],
    ids=" ".join,
)
def test_nobody_works_in_the_folder_of_another_database(
    settings: Settings,
    database: Database,
    other: Database,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = take_folder(other, settings.images)
    make(other, folder, 1, 2)
    orphan = make_old(ImageFolder(settings.images).path("0" * 32))
    monkeypatch.chdir(settings.home)
    Path("spec.yaml").write_text(
        "name: s\nbase: {model: 'builtin:shapes', prompt: a, steps: 2}\n"
    )
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert said.exit_code == 2
    assert said.stderr.count("must belong to one database, but") == 1
    assert find_sweep(database, "s") is None, "nothing is stored"
    assert orphan.exists()
    assert file_of(settings.images, 1).exists()
    assert not (settings.images / "orphans").exists()


@pytest.mark.long
def test_a_worker_that_finds_itself_in_anothers_folder_is_not_started_again(
    settings: Settings, database: Database, app, other: Database, tmp_path: Path
) -> None:
    # The supervisor looks first; the folder changes hands under it.
    said = tmp_path / "said"
    words = ("nightsweep", "worker", "--device", "cpu", "--workers", "1")
    with running(*words, said=said) as process:
        wait_until((settings.images / NAME).exists)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        take_folder(other, elsewhere)
        # At once, or a second worker would leave a marker in between.
        (elsewhere / NAME).replace(settings.images / NAME)
        for worker in find_workers(settings.home):
            worker.kill()
        assert process.wait(PATIENCE_S) == 1
    assert "must belong to one database, but" in said.read_text()


def test_what_was_there_before_is_left_alone(
    settings: Settings, database: Database, other: Database
) -> None:
    # Two homes that shared a folder before there were markers.
    make(database, settings.images, 1, 2)
    make(other, settings.images, 3, 4)
    take_folder(database, settings.images)
    ours = save_image(ImageFolder(settings.images), "0" * 32, b"png")
    said = verify("--repair")
    assert said.exit_code == 0
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert sorted((each["problem"], each["repair"]) for each in found) == [
        ("foreign", None),
        ("foreign", None),
        ("orphaned", f"moved to orphans/{relative_path('0' * 32)}"),
    ]
    assert "2 images checked: 1 orphaned; 1 repaired." in said.stderr
    assert "Left alone: 2 foreign, which may be another database's" in said.stderr
    assert not ours.exists()
    assert file_of(settings.images, 3).exists()
    assert verify("--repair", "--force").exit_code == 0
    assert not file_of(settings.images, 3).exists()
    assert states(database) == {1: "done", 2: "done"}


def test_what_lies_in_another_hosts_folder_is_not_made_again(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = take_folder(database, settings.images)
    theirs = take_on("night7", database, tmp_path / "theirs", monkeypatch)
    make(database, mine, 1, 2)
    make(database, theirs, 3, 4, 5, host="night7")
    file_of(theirs.path, 3).unlink()
    file_of(mine.path, 1).unlink()
    said = verify()
    assert said.exit_code == 1
    assert said.stderr == (
        "2 images checked: 1 missing; --repair mends that.\n"
        f"Not looked at: 3 images in other image folders (night7:{theirs.path}).\n"
    )
    assert verify("--repair").exit_code == 0
    assert states(database) == {1: "pending", **dict.fromkeys((2, 3, 4, 5), "done")}
    there = Settings(home=settings.home, images=theirs.path, database_url="")
    monkeypatch.setenv("NIGHTSWEEP_IMAGES", str(there.images))
    assert verify("--repair").exit_code == 0
    assert states(database)[3] == "pending"
    assert states(database)[2] == "done"


def take_on(
    host: str, database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Folder:
    path.mkdir(exist_ok=True)
    with on(host, monkeypatch):
        return take_folder(database, path)


@contextmanager
def on(host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be another host."""
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: host)
        yield


def test_a_host_that_is_gone_for_good_is_given_up_by_force_only(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(database, take_folder(database, settings.images), 1)
    theirs = take_on("night7", database, tmp_path / "theirs", monkeypatch)
    make(database, theirs, 2, 3, host="night7")
    shutil.rmtree(theirs.path)
    assert verify("--repair").exit_code == 0
    assert states(database) == {1: "done", 2: "done", 3: "done"}
    said = verify("--force")
    assert (said.exit_code, said.stdout) == (0, "")
    assert verify("--repair", "--force").exit_code == 0
    assert states(database) == {1: "done", 2: "pending", 3: "pending"}


def test_a_folder_that_is_mounted_elsewhere_is_the_same(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    folder = take_folder(database, settings.images)
    make(database, folder, 1)
    moved = settings.images.rename(tmp_path / "moved")
    assert look_at_folder(database, moved).id == folder.id
    assert take_folder(database, moved).id == folder.id
    assert places(database) == [f"{HERE}:{moved}"]
    assert elsewhere(database, take_folder(database, moved)) == {}


def test_rows_that_note_no_folder_are_known_by_their_host(
    settings: Settings, database: Database
) -> None:
    folder = take_folder(database, settings.images)
    make(database, settings.images, 1, 2)
    make(database, settings.images, 3, 4, 5, host="shares-the-folder")
    make(database, settings.images, 6, 7, 8, host="has-its-own")
    for seed in (1, 2, 3, 6, 7):
        file_of(settings.images, seed).unlink()
    assert elsewhere(database, folder) == {"has-its-own": 3}
    assert verify("--repair").exit_code == 0
    gone = dict.fromkeys((1, 2, 3), "pending")
    assert states(database) == {**gone, **dict.fromkeys((4, 5, 6, 7, 8), "done")}


def test_a_folder_that_lost_its_marker_is_known_by_its_images(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    folder = take_folder(database, settings.images)
    make(database, folder, 1, 2, 3)
    (settings.images / NAME).unlink()
    assert look_at_folder(database, settings.images).id == folder.id
    again = take_folder(database, settings.images)
    assert again.id == folder.id
    # Another database's files may have come in the meantime.
    assert again.since_ns > 0
    (tmp_path / "empty").mkdir()
    assert take_folder(database, tmp_path / "empty").id != folder.id


def test_a_new_folder_in_the_place_of_another_is_told_of(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    make(database, take_folder(database, settings.images), 1)
    settings.images.rename(settings.home / "not mounted")
    settings.images.mkdir()
    assert verify().exit_code == 1
    folder = take_folder(database, settings.images)
    assert "see that the right disk is mounted" in caplog.text
    make(database, folder, 2)
    for options in ([], ["--repair"]):
        said = verify(*options)
        assert said.exit_code == 1
        assert "1 image checked, nothing is wrong" in said.stderr
        assert "another, " in said.stderr
        assert "without 1 image; mount the disk that holds them" in said.stderr


@pytest.mark.parametrize("is_there", [False, True])
def test_run_and_the_doctor_tell_of_a_folder_without_its_images(
    settings: Settings, database: Database, tmp_path: Path, is_there: bool
) -> None:
    make(database, take_folder(database, settings.images), 1)
    settings.images.rename(settings.home / "not mounted")
    if is_there:
        settings.images.mkdir()
    told = f"another, {settings.images}, without 1 image; mount the disk"

    (check,) = holdings.check_images(settings, database)
    said = CliRunner().invoke(cli, ["run", "sweep1"])

    assert check.verdict == "fail"
    assert told in check.detail
    assert "Warning: The image folder must be the one" in said.stderr
    assert told in said.stderr


def test_folders_that_were_put_together_are_one(
    settings: Settings, database: Database
) -> None:
    make(database, take_folder(database, settings.images), 1)
    away = settings.images.rename(settings.home / "away")
    settings.images.mkdir()
    make(database, take_folder(database, settings.images), 2, 3, 4)
    shutil.copytree(settings.images, away, dirs_exist_ok=True, ignore=NO_MARKER)
    settings.images.rename(settings.home / "mount point")
    away.rename(settings.images)

    said = verify()

    assert (said.exit_code, said.stderr) == (0, "4 images checked, nothing is wrong.\n")
    file_of(settings.images, 2).unlink()
    said = verify("--repair")
    assert said.exit_code == 0
    assert "4 images checked: 1 missing; 1 repaired" in said.stderr


@pytest.mark.parametrize("host", [HERE, "night7"])
def test_a_shared_folder_that_is_not_mounted_is_missed_on_each_host(
    settings: Settings,
    database: Database,
    host: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = settings.images
    make(database, take_folder(database, path), 1)
    take_on("night7", database, path, monkeypatch)
    path.rename(settings.home / "not mounted")
    with on(host, monkeypatch):
        path.mkdir()
        for options in ([], ["--repair"]):
            said = verify(*options)
            assert said.exit_code == 1
            assert "without 1 image; mount the disk that holds them" in said.stderr
        assert caplog.text == ""
        take_folder(database, path)
        assert "see that the right disk is mounted" in caplog.text
        said = verify()
        assert said.exit_code == 1
        assert f"another, {path}, without 1 image; mount" in said.stderr


def test_each_change_of_the_folder_in_a_place_is_told_of_once(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    path, away = settings.images, settings.home / "away"
    first = take_folder(database, path)
    make(database, first, 1)
    path.rename(away)
    path.mkdir()
    second = take_folder(database, path)
    assert take_folder(database, path) == second
    assert len(caplog.records) == 1
    # Nothing was written to it, so that nothing is missed when the disk is back.
    path.rename(settings.home / "mount point")
    away.rename(path)
    assert take_folder(database, path).id == first.id
    assert len(caplog.records) == 1
    # The marker of the mount point is there already.
    path.rename(away)
    (settings.home / "mount point").rename(path)
    assert take_folder(database, path).id == second.id
    assert [record.getMessage() for record in caplog.records] == [
        f"The image folder {path} is not the one that was there before, to which "
        "images were written; see that the right disk is mounted."
    ] * 2


def test_a_folder_is_called_by_its_place_on_the_own_host(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = settings.images
    make(database, take_folder(database, path), 1)
    take_on("night7", database, path, monkeypatch)
    store, key = Store(settings), make_job(seed=1).key
    assert store.show(key)["folder"] == f"{HERE}:{path}"
    other = take_folder(database, tmp_path)
    assert elsewhere(database, other) == {f"{HERE}:{path}": 1}
    with on("night9", monkeypatch):
        assert store.show(key)["folder"] == f"night7:{path}"


@pytest.mark.databases("sqlite")
def test_the_places_of_folders_are_kept_by_an_upgrade(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_database(database_url, "0007")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO folders VALUES (1, 'm', 'night7:/mnt/a:b', '2026-01-02'),"
            " (2, 'n', 'night8:/images', '2026-01-03')"
        )
        connection.exec_driver_sql("UPDATE results SET folder_id = 1")
        connection.execute(sa.update(jobs).values(key=make_job().key))
    engine.dispose()
    with closing(open_database(database_url)) as upgraded:
        assert places(upgraded) == ["night7:/mnt/a:b", "night8:/images"]
        with on("night7", monkeypatch):
            folder = Folder(path=Path("/mnt/a:b"), id=None, since_ns=0)
            assert elsewhere(upgraded, folder) == {folder.place: 1}


@pytest.mark.databases("sqlite")
def test_a_copy_of_the_database_has_the_same_folder(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    folder = take_folder(database, settings.images)
    database.close()
    path = settings.database_path
    assert path
    shutil.copy(path, tmp_path / "copy.db")
    copied = open_database(f"sqlite:///{tmp_path}/copy.db")
    assert take_folder(copied, settings.images) == folder
    copied.close()


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", "{}", '{"database": "a", "folder": "b", "since_ns": []}']
)
def test_a_damaged_marker_is_nobodys(
    settings: Settings, database: Database, text: str
) -> None:
    (settings.images / NAME).write_text(text)
    for opening in (take_folder, look_at_folder):
        with pytest.raises(WrongFolderError, match="must be as nightsweep wrote it"):
            opening(database, settings.images)
    (settings.images / NAME).unlink()
    assert take_folder(database, settings.images).id == 1


def test_a_marker_that_is_just_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = Marker(database="a", folder="b", since_ns=7)
    (tmp_path / NAME).touch()

    def write(_seconds: float) -> None:
        text = json.dumps({"database": "a", "folder": "b", "since_ns": 7})
        (tmp_path / NAME).write_text(text)

    monkeypatch.setattr(markers.time, "sleep", write)
    assert read_marker(tmp_path) == marker


def test_what_a_killed_writer_left_is_no_marker(
    settings: Settings, database: Database
) -> None:
    (settings.images / f"{NAME}.0123.tmp").write_text('{"database": "')
    assert look_at_folder(database, settings.images).id is None
    assert take_folder(database, settings.images).id == 1


def test_a_kill_without_hard_links_leaves_a_folder_that_can_be_used(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """if True:
        import errno, os, signal, sys
        from pathlib import Path
        from storage.files.markers import leave_marker

        def refuse(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        Path.hardlink_to = refuse
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        leave_marker(Path(sys.argv[1]), database="d", folder="f")
    """
    done = subprocess.run([sys.executable, "-c", code, settings.images], check=False)
    assert done.returncode == -signal.SIGKILL
    names = sorted(each.name for each in settings.images.iterdir())
    assert names[0] == NAME
    assert (settings.images / NAME).read_bytes() == b""
    monkeypatch.setattr(markers, "PAUSE_S", 0.0)
    assert look_at_folder(database, settings.images).id is None
    folder = take_folder(database, settings.images)
    assert take_folder(database, settings.images) == folder
    make(database, folder, 1)
    # The killed one's own file goes as soon as nobody can be about to use it.
    (left,) = names[1:]
    assert verify().exit_code == 0
    make_old(settings.images / left)
    assert verify("--repair").exit_code == 0
    assert not (settings.images / left).exists()
    assert (settings.images / NAME).exists()


def test_a_folder_that_cannot_be_written_is_an_outage(database: Database) -> None:
    with pytest.raises(ImageStoreError, match="Images must be writable, but /proc/"):
        take_folder(database, Path("/proc/self"))
    assert look_at_folder(database, Path("/proc/self")).id is None


def test_an_image_in_another_folder_is_said_to_be_there(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_folder(database, settings.images)
    theirs = take_on("night7", database, tmp_path / "theirs", monkeypatch)
    make(database, theirs, 1, host="night7")
    store, key = Store(settings), make_job(seed=1).key
    ask: Callable[[str], object]
    for ask in (store.image, store.path):
        with pytest.raises(
            ImageStoreError,
            match=f"was written to night7:{theirs.path}, and this is {HERE}:",
        ):
            ask(key)
    assert store.show(key)["folder"] == f"night7:{theirs.path}"
    mounted = Store(
        Settings(
            home=settings.home,
            images=theirs.path,
            database_url=settings.database_url,
        )
    )
    assert mounted.path(key) == file_of(theirs.path, 1)
    assert mounted.image(key).size == (8, 8)


def test_a_doctor_writes_nothing_into_anothers_folder(
    settings: Settings, database: Database, other: Database
) -> None:
    take_folder(other, settings.images)
    (check,) = guarded("image folder", holdings.check_images(settings, database))
    assert check.verdict == "fail"
    assert "must belong to one database" in check.detail
    assert [each.name for each in settings.images.iterdir()] == [NAME]


def test_a_doctor_misses_no_image_of_another_folder(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_folder(database, settings.images)
    theirs = take_on("night7", database, tmp_path / "theirs", monkeypatch)
    make(database, theirs, 1, host="night7")
    checks = [*holdings.check_images(settings, database)]
    assert {check.verdict for check in checks} == {"ok"}


def test_the_rows_of_a_folder_are_found_by_the_keys_of_the_tables(
    settings: Settings, database: Database
) -> None:
    folder = take_folder(database, settings.images)
    make(database, folder, *range(4))
    query = sa.select(results.c.job_id).where(rows_here(database, folder))
    query = query.join(jobs, jobs.c.id == results.c.job_id).order_by(results.c.job_id)
    with database.read() as connection:
        assert len(connection.execute(query.where(results.c.job_id > 1)).all()) == 3
