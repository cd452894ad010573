"""What `find` writes, and which words of a command line mean what."""

import csv
import io
import json
import sys

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from producer.cli import cli
from producer.query_options import join
from storage.errors import UsageError
from storage.sql.database import open_database
from storage.sql.schema import jobs, results
from storage.store import Store
from tests.builders import make_planned
from tests.unit.filled_store import filled, make_settings, plan, submit


@pytest.fixture
def store(tmp_path):
    settings, planned = filled(tmp_path)
    return Store(settings), planned


@pytest.fixture
def run(tmp_path):
    environ = {"NIGHTSWEEP_HOME": str(tmp_path)}

    def call(*words):
        return CliRunner(env=environ).invoke(cli, words)

    return call


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["scheduler:ddim", "steps:..20"], "scheduler:ddim steps:..20"),
        (["red", "fox"], "red fox"),
        (["red fox"], '"red fox"'),
        (["prompt:red, big fox"], 'prompt:"red, big fox"'),
        (["scheduler:DPM++ 2M Karras,DDIM"], 'scheduler:"DPM++ 2M Karras",DDIM'),
        (["!model:my folder"], '!model:"my folder"'),
        (["scheduler:ddim steps:4 fox"], "scheduler:ddim steps:4 fox"),
        (["steps:4 fox"], "steps:4 fox"),
        (['prompt:"red fox" steps:4'], 'prompt:"red fox" steps:4'),
        (["sateps:4 fox"], "sateps:4 fox"),
        (["https://a.b and more"], '"https://a.b and more"'),
        (["a (cat:1.2) there"], '"a (cat:1.2) there"'),
        ([""], ""),
    ],
)
def test_what_the_shell_quoted_stays_together(words, text):
    assert join(words) == text


def test_a_query_its_short_forms_and_both_find_the_same(run, store):
    ways = (
        ["shapes", "scheduler:ddim", "steps:10..20"],
        ["--sweep", "shapes", "--scheduler", "ddim", "--steps", "10..20"],
        ["scheduler:ddim", "--steps", "10..20", "sweep:shapes"],
        ["shapes scheduler:ddim steps:10..20"],
    )
    said = [run("find", "--json", *words).stdout for words in ways]
    assert len(said[0].splitlines()) == 2
    assert set(said) == {said[0]}


def test_an_input_image_has_the_name_that_the_sweep_gives_it(run, tmp_path):
    settings = make_settings(tmp_path)
    extras = {"image": "12ab" * 16, "strength": 0.5}
    cat = make_planned(extras=extras, cell={"image": "cat.png"})
    none = make_planned(position=1, cell={"image": "none"})
    submit(settings, "pets", [cat, none])
    table = run("find", "pets").stdout
    assert "cat.png" in table
    assert "none" in table
    assert "12ab" not in table
    assert "12ab12ab  " in run("find").stdout  # which may be of several sweeps
    by_name = ("image:cat", "pets image:CAT.png", "image:c*.png")
    for query in (*by_name, "image:b12ab1", "-image:none"):
        assert run("find", query, "--json").stdout.count("\n") == 1
        assert json.loads(run("find", query, "--json").stdout)["key"] == cat.job.key
    assert json.loads(run("find", "image:none", "--json").stdout)["key"] == none.job.key
    submit(settings, "plain", [make_planned(seed=9)])  # has no such axis
    assert run("find", "plain -image:cat", "--count").stdout == "1\n"


def test_a_term_may_begin_with_a_minus_sign(run, store):
    said = run("find", "--count", "-state:done")
    assert (said.exit_code, said.stdout) == (0, "2\n")
    assert run("find", "--count", "!state:done").stdout == "2\n"


def test_a_name_of_a_sweep_means_the_sweep_and_the_command_says_so(run, store):
    settings = store[0].settings
    submit(settings, "red", plan({"seed": [7]}, prompt="a boat"))

    first = run("find", "red", "--count")
    later = run("find", "circle", "red", "--count")
    quoted = run("find", "prompt:red", "--count")

    assert (first.stdout, later.stdout, quoted.stdout) == ("1\n", "4\n", "4\n")
    assert "red is a sweep here; prompt:red searches prompts." in first.stderr
    assert later.stderr == quoted.stderr == ""


def test_what_matches_nothing_is_said_and_is_no_failure(run, store):
    for words in (["steps:3"], ["--json", "steps:3"], ["--paths", "steps:3"]):
        said = run("find", *words)
        assert (said.exit_code, said.stdout) == (0, "")
        assert said.stderr == "No image matches; the sweeps are shapes (8).\n"
    assert run("find", "steps:3", "--group-by", "steps").stderr == "No image matches.\n"


def test_a_mistake_in_a_query_is_shown_with_its_place(run, store):
    said = run("find", "scheduler:ddim", "sateps:4")
    assert said.exit_code == 2
    assert said.stderr == (
        "Error: a column must be one that images have, got 'sateps'; did you mean "
        "steps, or is it a text of a prompt, which needs quotes because of its colon?\n"
        "  scheduler:ddim sateps:4\n"
        "                 ^^^^^^\n"
    )


def test_columns_sorting_and_pages_go_together(run, store):
    words = (
        "find",
        "--columns",
        "key,seed,steps,time",
        "--sort",
        "-steps,key",
        "--csv",
    )
    every = list(csv.DictReader(io.StringIO(run(*words).stdout)))
    keys = [row["key"] for row in every]
    assert [row["steps"] for row in every] == ["20"] * 4 + ["2"] * 4

    pages, after = [], []
    while page := run(*words, "--limit", "3", *after).stdout.splitlines()[1:]:
        pages.append([line.split(",")[0] for line in page])
        after = ["--after-key", pages[-1][-1]]

    assert list(map(len, pages)) == [3, 3, 2]
    assert [key for page in pages for key in page] == keys


def test_paths_are_the_files_of_finished_images(run, store):
    said = run("find", "--paths", "steps:2")
    opened, planned = store
    done = [one.job.key for one in planned[:6] if one.job.steps == 2]
    assert said.stdout.splitlines() == [str(opened.path(key)) for key in done]


def test_groups_have_counts_means_and_spreads(run, store):
    opened, _ = store
    database = open_database(opened.settings.database_url)
    with database.write() as connection:
        ids = connection.execute(sa.select(results.c.job_id)).scalars().all()
        for number, job_id in enumerate(sorted(ids)):
            this = sa.update(results).where(results.c.job_id == job_id)
            connection.execute(this.values(warm_up=number == 0))
            this = sa.update(jobs).where(jobs.c.id == job_id)
            connection.execute(this.values(total_s=number))
    database.close()

    words = ("find", "shapes", "--group-by", "steps", "--percentiles", "50,95")
    rows = [json.loads(line) for line in run(*words, "--json").stdout.splitlines()]

    assert rows == [
        {
            "steps": 2,
            "n": 4,
            "time_n": 2,
            "time_mean": 3.0,
            "time_sd": pytest.approx(2**0.5),
            "time_p50": 3.0,
            "time_p95": pytest.approx(3.9),
        },
        {
            "steps": 20,
            "n": 4,
            "time_n": 3,
            "time_mean": 3.0,
            "time_sd": 2.0,
            "time_p50": 3.0,
            "time_p95": pytest.approx(4.8),
        },
    ]
    assert run(*words).stdout.splitlines() == [
        "steps  n  time n  time mean  time sd  time p50  time p95",
        "    2  4       2          3    1.414         3       3.9",
        "   20  4       3          3        2         3       4.8",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--group-by", "steps", "--count"],
            "--group-by shows groups, not images, got it with --count; leave it out.",
        ),
        (
            ["--group-by", "steps", "--percentiles", "101"],
            "--percentiles must be numbers from 0 to 100 such as 50,95, got '101'.",
        ),
        (
            ["--percentiles", "50"],
            "--percentiles are of groups, got no --group-by; add one.",
        ),
        (
            ["--group-by", "steps", "--sort", "seed"],
            "--sort must name a column of the groups (steps, n, time_n, time_mean, "
            "time_sd), got 'seed'.",
        ),
        (
            ["--after-key", "0" * 32],
            f"rows must begin after a row of the answer, got '{'0' * 32}'; give its "
            "key.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(run, store, words, said):
    done = run("find", *words)
    assert (done.exit_code, done.stderr) == (2, f"Error: {said}\n")


def test_a_file_of_rows_needs_a_package_and_says_which(
    run, store, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("find", "--parquet", str(tmp_path / "rows.parquet"))
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: a Parquet file needs the package pyarrow, which is not installed; run "
        "`pip install 'nightsweep[export]'`, or use --csv.\n",
    )


def test_a_file_of_rows_has_the_columns_of_the_view(run, store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    assert run("find", "shapes", "--parquet", str(file)).exit_code == 0
    rows = parquet.read_table(file).to_pylist()
    assert rows == store[0].find("shapes")
    assert run("find", "shapes", "steps:3", "--parquet", str(file)).exit_code == 0
    assert parquet.read_table(file).num_rows == 0


def test_a_notebook_without_a_database_has_empty_answers(tmp_path):
    store = Store(make_settings(tmp_path))
    assert store.find("steps:..20", sort="-time") == []
    assert store.count() == 0
    assert "total_s" in store.fields()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_the_rows_and_their_columns(store, library):
    pytest.importorskip(library)
    frame = store[0].frame("shapes steps:2", library=library, sort="seed")
    assert list(frame.columns) == list(store[0].fields("shapes"))
    assert list(frame["steps"]) == [2] * 4
    empty = store[0].frame("shapes steps:3", library=library)
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0


def test_a_frame_says_what_it_needs(store, monkeypatch):
    monkeypatch.setattr("storage.queries.frames.find_spec", lambda _name: None)
    with pytest.raises(UsageError) as refused:
        store[0].frame()
    assert str(refused.value) == (
        "a frame needs pandas or polars, which is not installed; run `pip install "
        "pandas`, or use Store.find, which returns dictionaries."
    )
    with pytest.raises(UsageError) as unknown:
        store[0].frame(library="dask")
    assert str(unknown.value) == "a frame must be of pandas or polars, got 'dask'."
