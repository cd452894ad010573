import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from PIL import Image
from sqlalchemy.dialects.postgresql import psycopg

from storage.errors import ImageStoreError, UsageError, WrongDatabaseError
from storage.store import Store
from tests.unit.filled_store import filled, make_settings, paint, plan, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def store(tmp_path, database_url):
    settings, planned = filled(tmp_path)
    with Store(settings) as opened:
        yield opened, planned


def test_images_are_found_by_what_a_notebook_writes(store):
    opened, _ = store

    assert len(opened.find()) == 8
    assert len(opened.find(sweep="shapes", scheduler="ddim", steps="10..20")) == 2
    assert len(opened.find(scheduler=["ddim", "DPM++ 2M Karras"], steps=[2, 20])) == 8
    assert len(opened.find(prompt="star", guidance=2.5, seed=0, state="done")) == 2
    assert len(opened.find(model="builtin", state=["done", "failed"])) == 7
    assert len(opened.find(limit=3)) == 3


def test_an_image_opens_as_rgb_by_the_beginning_of_its_key(store):
    opened, planned = store
    key = planned[0].job.key

    image = opened.image(key[:16])

    assert image.mode == "RGB"
    assert image.tobytes() == paint(planned[0].job).tobytes()
    assert opened.path(key[:16]).name == f"{key}.png"
    assert opened.path(key).is_file()


def test_an_image_that_is_not_made_is_refused_with_the_reason(store):
    opened, planned = store

    with pytest.raises(UsageError, match=r"failed \(latents are NaN\)"):
        opened.image(planned[6].job.key)
    with pytest.raises(UsageError, match=r"pending; `nightsweep status`"):
        opened.image(planned[7].job.key)


@pytest.mark.parametrize("content", [None, b"", b"no picture", "cut"])
def test_a_file_that_is_gone_or_damaged_is_one_clear_error(store, content):
    opened, planned = store
    path = opened.path(planned[0].job.key)
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[:150] if content == "cut" else content)

    with pytest.raises(ImageStoreError, match="NIGHTSWEEP_IMAGES"):
        opened.image(planned[0].job.key)


def test_all_that_is_known_of_an_image_is_shown(store):
    opened, planned = store
    submit(opened.settings, "later", planned[:1])

    known = opened.show(planned[0].job.key[:16])

    assert known["scheduler_class"] == "DDIMScheduler"
    assert known["file"] == str(opened.path(planned[0].job.key))
    assert known["environment"] == {"torch": "2.13.0"}
    assert known["scores"] == []
    assert [each["sweep"] for each in known["sweeps"]] == ["shapes", "later"]
    assert known["sweeps"][0]["cell"]["steps"] == "2"
    assert json.loads(json.dumps(known)) == known


def test_an_image_that_is_not_made_is_shown_without_a_file(store):
    opened, planned = store

    known = opened.show(planned[7].job.key)

    assert known["file"] is None
    assert known["environment"] == {}
    assert known["state"] == "pending"


def test_sweeps_tell_their_axes_and_how_far_they_are(store):
    (sweep,) = store[0].sweeps()

    assert sweep["name"] == "shapes"
    assert sweep["axes"]["steps"] == ["2", "20"]
    assert sweep["jobs"] == {"done": 6, "failed": 1, "pending": 1}


def test_the_views_are_asked_in_sql(store):
    opened, _ = store
    query = "SELECT scheduler, count(*) AS n FROM images WHERE prompt LIKE '%star%' "

    rows = opened.sql(query + "AND state != ':x' GROUP BY 1 ORDER BY 1")

    assert rows == [
        {"scheduler": "ddim", "n": 2},
        {"scheduler": "dpmpp_2m_karras", "n": 2},
    ]


@pytest.mark.parametrize(
    "query",
    [
        *("DELETE FROM jobs", "DROP VIEW images", "SELECT nothing FROM images"),
        "UPDATE sqlite_master SET sql = ''",
        *("", "SELECT 1; DELETE FROM jobs", "CREATE TEMP TABLE mine (a int)"),
        "COMMIT; DELETE FROM sweep_jobs; BEGIN",
        "SELECT 1; COMMIT; DELETE FROM sweep_jobs",
        "COMMIT",
        "DELETE FROM sweep_jobs RETURNING job_id",
    ],
)
def test_what_is_no_reading_query_is_refused_and_changes_nothing(store, query):
    opened, _ = store

    with pytest.raises(UsageError, match="one SQL statement that reads"):
        opened.sql(query)

    assert len(opened.find(sweep="shapes")) == 8


@pytest.mark.databases("sqlite")
def test_a_damaged_database_is_no_mistake_of_the_query(store):
    opened, _ = store
    path = opened.settings.database_path
    with closing(sqlite3.connect(path)) as raw:
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
        ).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    with (
        closing(Store(opened.settings)) as reopened,
        pytest.raises(WrongDatabaseError, match=r"must be whole, but .*malformed"),
    ):
        reopened.sql("SELECT count(steps) FROM images")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "query",
    [
        *("ATTACH DATABASE '{file}' AS mine", "VACUUM INTO '{file}'"),
        *(
            "PRAGMA query_only=OFF",
            "PRAGMA journal_mode=DELETE",
            "EXPLAIN DROP VIEW images",
        ),
        "REINDEX",
    ],
)
def test_a_query_makes_no_file_and_changes_no_setting(store, tmp_path, query):
    opened, _ = store
    file = tmp_path / "mine.db"

    with pytest.raises(UsageError, match=r"would do more than read|cannot VACUUM"):
        opened.sql(query.format(file=file))

    assert not file.exists()


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("WITH gone AS (DELETE FROM scores RETURNING 1) SELECT * FROM gone", "WITH"),
        ("SELECT nextval('sweeps_id_seq')", "read-only transaction"),
        ("SET TRANSACTION READ WRITE", "syntax error"),
        ("COPY sweeps TO '/tmp/sweeps'", "syntax error"),
        (
            "SELECT set_config('transaction_read_only', 'off', false)",
            "must be set before any query",
        ),
        ("SELECT 1; SELECT 2", "multiple commands"),
    ],
)
def test_a_server_refuses_what_would_write(store, query, reason):
    opened, _ = store

    with pytest.raises(UsageError, match=f"one SQL statement .*{reason}"):
        opened.sql(query)


@pytest.mark.databases("postgresql")
def test_a_driver_that_sends_several_statements_gets_one(store, monkeypatch):
    opened, _ = store
    monkeypatch.setattr(psycopg.PGDialect_psycopg, "driver", "psycopg2")

    assert len(opened.sql("SELECT key FROM images")) == 8
    with pytest.raises(UsageError, match="it holds a semicolon"):
        opened.sql("SELECT 1; COMMIT; DELETE FROM sweep_jobs")


def test_a_query_may_be_anything_that_reads(store):
    opened, _ = store

    for query, count in {
        "SELECT ';' AS mark FROM images; ": 8,
        "WITH a AS (SELECT * FROM images) SELECT steps FROM a GROUP BY 1": 2,
        "-- mine\nVALUES (1), (2), (3)": 3,
        "SELECT row_number() OVER (ORDER BY key) AS place FROM sweep_images": 8,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) "
        "SELECT i FROM n": 4,
    }.items():
        assert len(opened.sql(query)) == count


@pytest.mark.databases("sqlite")
def test_json_opens_in_a_query(store):
    opened, _ = store
    query = "SELECT e.key, e.value FROM sweep_images, json_each(cell) AS e"

    assert {row["key"] for row in opened.sql(query)} == {"prompt", "scheduler", "steps"}


def test_without_a_database_answers_are_empty_and_none_is_made(tmp_path):
    settings = make_settings(tmp_path)
    opened = Store(settings)

    assert opened.find(sweep="any") == []
    assert opened.sweeps() == []
    assert opened.sql("SELECT * FROM images") == []
    with pytest.raises(UsageError, match="no database yet"):
        opened.show("abc")
    assert not settings.database_path.exists()


def test_an_open_store_sees_a_database_that_comes_later(tmp_path):
    settings = make_settings(tmp_path)
    opened = Store(settings)
    before = opened.find()

    submit(settings, "late", plan({"seed": [1, 2]}))

    assert before == []
    assert len(opened.find()) == 2


def test_a_closed_store_answers_nothing(store):
    opened, _ = store
    opened.close()

    with pytest.raises(UsageError, match="closed"):
        opened.find()


@pytest.mark.databases("sqlite")
def test_the_image_folder_may_be_elsewhere(store, tmp_path):
    opened, planned = store
    moved = tmp_path / "shared"
    opened.settings.images.rename(moved)
    environ = {"NIGHTSWEEP_HOME": str(tmp_path), "NIGHTSWEEP_IMAGES": str(moved)}
    code = (
        "from nightsweep import Store; s = Store(); "
        f"i = s.image({planned[0].job.key!r}); "
        "import sys; assert 'torch' not in sys.modules; print(i.size)"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("(64, 64)\n", "")


def test_an_image_keeps_no_file_open(store):
    opened, planned = store

    image = opened.image(planned[0].job.key)
    opened.path(planned[0].job.key).unlink()

    assert isinstance(image, Image.Image)
    assert image.getpixel((0, 0)) == (0, 0, 255)
