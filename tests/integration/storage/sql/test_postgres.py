"""PostgreSQL: what it alone has, many at work at once, and a server that dies."""

import random
import re
import signal
import threading
import time
from collections.abc import Callable, ItemsView, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage.errors import DatabaseError
from storage.files.relabelling import relabel
from storage.files.verification import Finding, Mislabelled
from storage.jobs import claims, lifecycle, membership
from storage.jobs.batch_sizes import DatabaseWidths
from storage.jobs.membership import ADD_LOCK, add_jobs, drop_absent
from storage.jobs.results import record_done, record_failure
from storage.jobs.sweeps import require_sweeps, retry, save_sweep
from storage.sql import engines
from storage.sql.clocks import clock
from storage.sql.database import (
    HEAD,
    Database,
    current_revision,
    open_database,
    open_existing,
    open_for_reading,
)
from storage.sql.partial_indexes import metadata
from storage.sql.schema import jobs, sweeps
from storage.sql.upgrading import MIGRATION_LOCK
from storage.sql.views import VIEWS
from tests.builders import (
    ENVIRONMENT,
    SHAPES,
    job_rows,
    make_job,
    make_result,
    plan_seeds,
    states,
    submit,
    take,
    untold,
)
from tests.matrices import shorten
from tests.postgresql import SHARED, Server
from tests.processes import wait_until
from tests.unit.old_database import make_old, read_old, read_scores

#: What is said of a server that is away: who, what, and the way out; no password.
#: Finds whoever waits for a lock.
WAITING = "SELECT FROM pg_locks WHERE NOT granted"
SAID = (
    r"The database must be reachable and writable, but postgresql\+psycopg://me:\*\*\*@"
    r"/shared\?host=[^ ]+ says: .+; check NIGHTSWEEP_DATABASE_URL, the disk and the "
    r"server\."
)

pytestmark = pytest.mark.databases("postgresql")


def in_threads(*acts: Any) -> None:
    """Do all at once; raise the first error of any."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(acts))

    def do(act: Any) -> None:
        start.wait()
        try:
            act()
        except BaseException as exc:  # noqa: BLE001 - raised below
            errors.append(exc)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_the_migrations_make_the_schema_and_the_views(database: Database) -> None:
    assert current_revision(database) == HEAD
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        for view, query in VIEWS.items():
            everything = sa.select(sa.text("*")).select_from(sa.table(view))
            shown = list(connection.execute(everything).keys())
            assert shown == list(connection.execute(query()).keys())


def test_an_older_database_is_upgraded_with_its_rows(url: str) -> None:
    make_old(url)
    database = open_database(url)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    image, member = read_old(database)
    assert (image["path"], image["total_s"], image["gpu"]) == ("ab/k.png", 1.5, "CPU")
    assert (image["engine"], image["decode_dtype"]) == ("plain", "")
    assert member == {**image, "position": 7, "scheduler_label": None, "cell": "{}"}
    carried = ("k", "clip", "", "small", "{}", "higher", "done", 0.25)
    assert read_scores(database) == [carried]
    database.close()


def test_a_new_database_may_be_opened_by_several_at_once(url: str) -> None:
    in_threads(*[lambda: open_database(url).close()] * 3)
    reader = open_for_reading(url)
    assert reader is not None
    reader.close()


@pytest.mark.parametrize("opening", [open_for_reading, open_existing])
def test_an_empty_database_is_none_to_who_makes_no_new_one(
    url: str, opening: Callable[[str], Database | None]
) -> None:
    assert opening(url) is None
    assert opening(url) is None


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    url = "postgresql+psycopg://me:geheim@127.0.0.1:1/db"
    with pytest.raises(
        DatabaseError, match=r"must be reachable and writable, but postgresql\+"
    ) as caught:
        open_database(url)
    assert "geheim" not in str(caught.value)


def test_memory_only_lowers_a_width_whoever_comes_first(database: Database) -> None:
    known = DatabaseWidths(database)
    known.set(make_job(), "H200", width=64, reason="calibrated", images_per_s=27.5)

    def note(width: int) -> None:
        known.set(make_job(), "H200", width=width, reason="memory")

    in_threads(*[lambda width=width: note(width) for width in (32, 8, 16)])
    assert known.get(make_job(), "H200") == 8
    known.set(make_job(), "H200", width=16, reason="calibrated", images_per_s=9.5)
    assert known.get(make_job(), "H200") == 16
    assert known.get(make_job(guidance=1), "H200") is None


def test_producers_at_the_same_time_do_not_block_each_other(
    database: Database,
) -> None:
    planned = plan_seeds(*range(300))
    in_threads(
        lambda: submit(database, planned),
        lambda: submit(database, planned[::-1]),
        lambda: submit(database, planned[::-1], name="other"),
    )
    assert states(database) == dict.fromkeys(range(300), "pending")


def test_nobody_waits_for_a_job_that_another_is_claiming(database: Database) -> None:
    submit(database, plan_seeds(1, 2, 3))
    first = sa.select(jobs.c.id).where(jobs.c.seed == 1).with_for_update()
    with database.write() as connection:
        connection.execute(first)
        assert [claim.job.seed for claim in take(database, limit=2)] == [2, 3]


def test_a_lease_ends_by_the_clock_of_the_server(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(database, plan_seeds(1, 2))
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: 0.0)
        (claim,) = take(database, "host:1:1", limit=1)
        take(database, "host:2:2", limit=1, lease_s=-1)
        claims.renew(database, owner="host:1:1", ids=[claim.id], lease_s=90)
        assert claims.free_expired(database) == 1
    assert states(database) == {1: "leased", 2: "pending"}
    with database.read() as connection:
        left = job_rows(database)[0].lease_until - clock(connection)
    assert 60 < left <= 90


def test_a_submission_locks_all_of_its_jobs_before_it_moves_some(
    database: Database,
) -> None:
    submit(database, plan_seeds(1, 2, 3))
    changing: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FOR NO KEY UPDATE" in statement or statement.startswith("UPDATE jobs"):
            changing.append(statement)

    submit(database, plan_seeds(3, 2, 1), spec="another order")
    of_jobs = [each for each in changing if "FROM jobs" in each or "UPDATE" in each[:6]]
    assert "FOR NO KEY UPDATE" in of_jobs[0]
    assert any("position" in each for each in of_jobs[1:])


def test_those_who_change_the_same_jobs_never_lock_each_other_out(
    database: Database,
) -> None:
    # A deadlock is ended by the server after a second, with an error for one of two.
    names, seeds = ("one", "two"), range(60)
    for name in names:
        submit(database, plan_seeds(*seeds), name=name)
    ids = [row.id for row in job_rows(database)]

    def claim(owner: str, chance: random.Random) -> None:
        mine = [each.id for each in take(database, owner, limit=9, lease_s=0.01)]
        chance.shuffle(mine)
        claims.renew(database, owner=owner, ids=mine, lease_s=0.01)
        done = {each: make_result() for each in mine[:1]}
        record_done(database, done, worker="cpu0", environment=ENVIRONMENT)
        for each in mine[1:3]:
            record_failure(database, each, owner=owner, error="latents are NaN")
        claims.hand_back(database, owner=owner, ids=mine[:6])

    def steer(name: str, chance: random.Random) -> None:
        sweep = submit(database, plan_seeds(1), name=name)
        lifecycle.set_state(database, sweep, chance.choice(["paused", "active"]))
        lifecycle.set_priority(database, sweep, chance.randrange(10))
        lifecycle.settle_all(database)
        retry(database, sweep)

    def plan(name: str, chance: random.Random) -> None:
        mine = chance.sample(seeds, 40)
        spec = str(chance.random())
        sweep = submit(database, plan_seeds(*mine), name=name, spec=spec)
        drop_absent(database, sweep)

    def repair(owner: str, chance: random.Random) -> None:
        claims.free_expired(database)
        claims.free_owner(database, owner, died=True)
        held = chance.sample(ids, 20)
        claims.renew(database, owner=owner, ids=held, lease_s=0.01)

    in_threads(
        *(repeat(claim, f"host:{number}:1") for number in range(3)),
        *(repeat(act, name) for act in (steer, plan) for name in names),
        *(repeat(repair, f"host:{number}:") for number in range(2)),
    )
    lifecycle.settle_all(database)
    assert untold(database) == []


def test_jobs_that_are_added_while_their_sweep_is_paused_hear_of_it(
    server: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = submit(database, plan_seeds(1))
    store = membership.store_templates
    with server.connect(SHARED) as client, ThreadPoolExecutor(1) as pool:

        def pause_first(*args: Any) -> Any:
            """Have the sweep paused in the midst of the transaction."""
            nonlocal pausing
            pausing = pool.submit(lifecycle.set_state, database, sweep, "paused")
            wait_until(lambda: client.execute(WAITING).fetchone() is not None)
            return store(*args)

        pausing: Future[object] | None = None
        monkeypatch.setattr(membership, "store_templates", pause_first)
        add_jobs(database, sweep, plan_seeds(1, 2, 3))
        assert pausing
        pausing.result()
    assert untold(database) == []
    assert take(database) == []


def meet(
    server: Server,
    database: Database,
    act: Callable[[], object],
    *,
    first: sa.Executable,
    then: sa.Executable,
) -> None:
    """Lock what `first` names, do `act` until it waits for that, then lock `then`."""
    with server.connect(SHARED) as client, ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            connection.execute(first)
            acting = pool.submit(act)
            wait_until(lambda: client.execute(WAITING).fetchone() is not None)
            connection.execute(then)
        acting.result()


def test_a_submission_that_mends_names_locks_jobs_in_the_order_of_their_ids(
    server: Server, database: Database
) -> None:
    # As an older version called it: the last job has another name.
    known = plan_seeds(1, 2)
    submit(database, [*known, *plan_seeds(3, steps=9, scheduler_name="euler")])
    ids = [row.id for row in job_rows(database)]
    again = [*plan_seeds(3, steps=9, scheduler_names=("ddim",)), *known]
    lock = sa.select(jobs.c.id).with_for_update(key_share=True)
    first, *_, then = (lock.where(jobs.c.id == job_id) for job_id in ids)
    meet(server, database, lambda: submit(database, again), first=first, then=then)
    with database.read() as connection:
        named = connection.exec_driver_sql("SELECT scheduler FROM images").scalars()
        assert set(named) == {"ddim"}


def test_a_repair_of_names_and_a_pause_of_their_sweep_do_not_lock_each_other_out(
    server: Server, database: Database
) -> None:
    cell = {"scheduler": "euler"}
    sweep = save_sweep(database, "night", spec="one", axes={"scheduler": ["euler"]})
    add_jobs(database, sweep, plan_seeds(1, scheduler_name="euler", cell=cell))
    wrong = Mislabelled(
        model_id=job_rows(database)[0].model_id,
        fingerprint=SHAPES.fingerprint,
        class_name="DDIMScheduler",
        options="{}",
        called="euler",
        name="ddim",
        names=("ddim",),
    )
    found = Finding(problem="mislabelled", path="", detail="", mislabelled=wrong)
    pause = sa.update(sweeps).values(state="paused")
    of_jobs = sa.select(jobs.c.id).with_for_update(key_share=True)
    meet(server, database, lambda: relabel(database, found), first=pause, then=of_jobs)
    with database.read() as connection:
        row = connection.exec_driver_sql("SELECT scheduler, cell FROM sweep_images")
        assert row.one() == ("ddim", '{"scheduler": "ddim"}')
        assert connection.scalar(sa.select(sweeps.c.axes)) == '{"scheduler": ["ddim"]}'


def repeat(act: Callable[[str, random.Random], None], who: str) -> Callable[[], None]:
    def go() -> None:
        chance = random.Random(who)  # noqa: S311 - only an order
        for _ in range(25):
            act(who, chance)

    return go


WORK = "UPDATE sweeps SET priority = 1"


def write(database: Database, meanwhile: Callable[[], None]) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(WORK)
        meanwhile()
        connection.exec_driver_sql(WORK)


def write_once(database: Database, meanwhile: Callable[[], None]) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(WORK)
        meanwhile()


def read(database: Database, meanwhile: Callable[[], None]) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("SELECT 1")
        meanwhile()
        connection.exec_driver_sql("SELECT 1")


def begin(database: Database, meanwhile: Callable[[], None]) -> None:
    meanwhile()
    states(database)


@pytest.mark.parametrize("work", shorten([write, write_once, read, begin], [write]))
def test_a_server_that_dies_is_an_error_until_it_is_back(
    server: Server, database_url: str, work: Callable[..., None]
) -> None:
    database = open_database(database_url.replace("//me@", "//me:geheim@"))
    submit(database, plan_seeds(1, 2))
    take(database, limit=1)
    try:
        with pytest.raises(DatabaseError) as first:
            work(database, lambda: server.end(signal.SIGQUIT))
        with pytest.raises(DatabaseError) as second:
            take(database)
    finally:
        server.start()
    for caught in (first, second):
        assert caught.value.retryable
        assert re.fullmatch(SAID, str(caught.value), re.DOTALL)
    assert states(database) == {1: "leased", 2: "pending"}
    assert [claim.job.seed for claim in take(database)] == [2]
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT priority FROM sweeps").scalar() == 5
    database.close()


def test_a_server_that_was_started_again_between_two_calls_goes_unnoticed(
    server: Server, database: Database
) -> None:
    submit(database, plan_seeds(1))
    server.end(signal.SIGQUIT)
    server.start()
    assert [claim.job.seed for claim in take(database)] == [1]


def test_a_server_that_says_nothing_is_not_waited_for_long(database_url: str) -> None:
    with closing(open_database(f"{database_url}&keepalives_idle=99")) as database:
        assert agreed(database) >= {
            ("keepalives_idle", "99"),
            ("keepalives_count", "4"),
        }
    with closing(open_database(database_url)) as database:
        assert agreed(database) >= {
            ("keepalives_idle", "10"),
            ("connect_timeout", "10"),
        }


@pytest.fixture
def impatient(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Give a database whose locks are waited for but a moment."""
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.05)
    with closing(open_database(database_url)) as database:
        yield database


LOCK = "LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize("work", [states, take])
def test_a_table_that_a_client_keeps_locked_is_an_error_that_says_so(
    server: Server, impatient: Database, work: Callable[[Database], object]
) -> None:
    submit(impatient, plan_seeds(1))
    with server.connect(SHARED) as client, client.transaction():
        client.execute(LOCK)
        with pytest.raises(
            DatabaseError,
            match=r"lock timeout(.|\n)*; end the client that holds the lock",
        ) as caught:
            work(impatient)
    assert caught.value.retryable
    assert [claim.job.seed for claim in take(impatient)] == [1]


def test_a_producer_that_waits_long_for_another_is_told_so(
    server: Server, impatient: Database
) -> None:
    with server.connect(SHARED) as client, client.transaction():
        client.execute("SELECT pg_advisory_xact_lock(%s)", [ADD_LOCK])
        with pytest.raises(DatabaseError, match="lock timeout") as caught:
            submit(impatient, plan_seeds(1))
    assert caught.value.retryable
    submit(impatient, plan_seeds(1))
    assert states(impatient) == {1: "pending"}


def test_a_migration_of_another_is_waited_for_whatever_it_takes(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.05)
    waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with server.connect(url.partition("?")[0].rpartition("/")[2]) as client:
        client.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        opening = threading.Thread(target=lambda: open_database(url).close())
        opening.start()
        wait_until(lambda: client.execute(waiting).fetchone() is not None)
        time.sleep(0.2)
        assert opening.is_alive()
        client.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
        opening.join()
    with closing(open_database(url)) as database:
        assert current_revision(database) == HEAD
        assert wait_limit(database) == "50ms"


def test_the_trigger_of_kubernetes_counts_jobs_that_wait(database: Database) -> None:
    text = Path("deploy/kubernetes/scaled-workers.yaml").read_text()
    (trigger,) = yaml.safe_load(text)["spec"]["triggers"]
    submit(database, plan_seeds(0, 1, 2))
    submit(database, plan_seeds(2, 3), name="paused")
    (paused,) = require_sweeps(database, ["paused"])
    lifecycle.set_state(database, paused, "paused")
    take(database, limit=1)
    with database.read() as connection:
        query = trigger["metadata"]["query"]
        assert connection.exec_driver_sql(query).scalar_one() == 2


def test_a_limit_that_the_url_names_is_kept(database_url: str) -> None:
    with closing(open_database(database_url)) as database:
        assert wait_limit(database) == "30s"
    theirs = f"{database_url}&options=-c%20lock_timeout%3D7s"
    with closing(open_database(theirs)) as database:
        assert wait_limit(database) == "7s"


def wait_limit(database: Database) -> Any:
    """Give how long a connection waits for a lock."""
    with database.read() as connection:
        return connection.exec_driver_sql("SHOW lock_timeout").scalar()


def agreed(database: Database) -> ItemsView[str, str]:
    """Give what a connection to the server was made with."""
    with database.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        agreed_on: dict[str, str] = driver.info.get_parameters()
    return agreed_on.items()
