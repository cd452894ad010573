"""A stored sweep and its file: what is asked before one of them undoes the other."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli import cli
from producer.commands.plan import make_plan
from producer.commands.plan_report import describe_plan
from producer.commands.submit import submit
from producer.submission import confirmation
from storage.jobs.results import record_done
from storage.jobs.sweep_counts import count_states
from storage.jobs.sweeps import Sweep, find_sweep
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import ENVIRONMENT, job_rows, make_result, take
from tests.processes import at_terminal

pytestmark = pytest.mark.usefixtures("app")

TEXT = (
    "# which steps?\nname: night\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
    "axes: {steps: [8, 20], seed: {start: 0, count: 3}}\n"
)


@pytest.fixture
def file(tmp_path: Path, database: Database) -> Path:
    """Submit a sweep file of six images, and give it."""
    path = tmp_path / "night.yaml"
    path.write_text(TEXT)
    submit(str(path))
    return path


def say(*words: object, code: int = 0) -> str:
    said = CliRunner().invoke(cli, [*map(str, words)])
    assert said.exit_code == code, said.output
    return said.output


def stored(database: Database, name: str = "night") -> tuple[Sweep, dict[str, int]]:
    sweep = find_sweep(database, name)
    assert sweep
    return sweep, count_states(database, sweep)


def make_all(database: Database) -> None:
    for row in {row.group_key for row in job_rows(database)}:
        done = {each.id: make_result() for each in take(database, limit=99, group=row)}
        record_done(database, done, worker="cpu0", environment=ENVIRONMENT)


def test_a_file_does_not_undo_an_extension_unasked(
    file: Path, database: Database
) -> None:
    say("extend", "night", "--axis", "steps+=40")
    said = say("submit", file, code=2)
    assert (
        "The stored sweep night must not lose unmade images unasked, but 0 come, 6 "
        "stay, 3 leave (3 unmade); add --yes to change it, or name another sweep with "
        "--name, or go on with what is stored by `"
    ) in said
    assert "run night`." in said
    sweep, jobs = stored(database)
    assert (sweep.revision, jobs) == (2, {"pending": 9})


def test_an_option_does_not_change_a_stored_sweep_unasked(
    file: Path, database: Database
) -> None:
    said = say("submit", file, "--axis", "steps=2", code=2)
    assert "Options must not change the stored sweep night unasked, but" in said
    assert "but 3 come, 0 stay, 6 leave (6 unmade); add --yes" in said
    said = say("submit", file, "--axis", "steps+=40", code=2)
    assert "but 3 come, 6 stay, 0 leave; add --yes" in said
    assert stored(database)[1] == {"pending": 6}


def test_what_is_agreed_to_beforehand_is_done(file: Path, database: Database) -> None:
    said = say("submit", file, "--axis", "steps=2", "--yes")
    assert "6 images that were unmade left the sweep." in said
    assert stored(database)[1] == {"pending": 3}


def test_the_same_command_again_is_no_change(file: Path, database: Database) -> None:
    more = ("--axis", "steps=2")
    say("submit", file, *more, "--yes")
    say("submit", file, *more)
    assert stored(database)[0].revision == 2


def test_an_option_that_changes_no_job_is_not_asked_about(
    file: Path, database: Database
) -> None:
    say("submit", file, "--set", "limits.min_free=2 GB")
    sweep, jobs = stored(database)
    assert (sweep.revision, jobs) == (2, {"pending": 6})


def test_another_name_makes_another_sweep(file: Path, database: Database) -> None:
    assert "quick: 3 images, 3 new" in say(
        "submit", file, "--axis", "steps=2", "--name", "quick"
    )
    assert stored(database)[1] == {"pending": 6}
    assert stored(database, "quick")[1] == {"pending": 3}


def test_where_all_is_made_a_file_may_say_less(file: Path, database: Database) -> None:
    make_all(database)
    file.write_text(TEXT.replace("8, 20", "8"))
    say("submit", file)
    assert stored(database)[1] == {"done": 6}


def test_a_file_that_says_more_is_not_asked_about(
    file: Path, database: Database
) -> None:
    file.write_text(TEXT.replace("8, 20", "8, 20, 40"))
    say("submit", file)
    assert stored(database)[1] == {"pending": 9}


def test_a_plan_says_what_comes_stays_and_leaves(
    file: Path, database: Database
) -> None:
    make_all(database)
    say("extend", "night", "--axis", "steps+=40")
    planned = json.loads(say("plan", file, "--axis", "steps=8,50", "--json"))
    assert planned["stored"] == {
        "sweep": "night",
        "revision": 2,
        "come": 3,
        "stay": 3,
        "lost": 3,
        "kept": 3,
    }
    assert json.loads(say("plan", file, "--name", "new", "--json"))["stored"] is None


def test_a_plan_for_people_says_that_it_is_asked_before_anything_is_lost(
    file: Path, settings: Settings
) -> None:
    def stored_line(*axes: str) -> str:
        planned = describe_plan(make_plan(file, axes=axes, settings=settings))
        return next(line for line in planned if line.startswith("Stored"))

    assert stored_line() == "Stored       0 come, 6 stay, 0 leave"
    assert stored_line("steps=8") == (
        "Stored       0 come, 3 stay, 3 leave (3 unmade); `run` and `submit` ask first"
    )


@pytest.mark.parametrize(
    ("text", "code", "revision"), [("y\n", 0, 2), ("n\n", 1, 1), ("\x04", 130, 1)]
)
def test_people_are_asked_at_a_terminal(
    file: Path, database: Database, text: str, code: int, revision: int
) -> None:
    ended, said = at_terminal("submit", file, "--axis", "steps=2", answer=text)
    assert ended == code, said
    assert "night is stored with 6 images (revision 1): 3 come, 0 stay, 6 " in said
    assert "Change it? [y/N]" in said
    assert stored(database)[0].revision == revision


def test_who_submits_between_question_and_answer_is_not_overruled(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def agree(found, **_options: object) -> None:
        told.append((found.revision, found.lost))
        if len(told) == 1:  # somebody extends the sweep meanwhile
            say("extend", "night", "--axis", "steps+=40")

    monkeypatch.setattr(confirmation, "_ask", agree)
    say("submit", file, "--axis", "steps=2")
    assert told == [(1, 6), (2, 9)]
    assert stored(database)[0].revision == 3


def test_two_that_extend_at_once_both_have_their_values(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, others = (
        confirmation.Consent.settle,
        [("extend", "night", "--axis", "seed+=9")],
    )

    def settle_late(*args: object) -> int | None:
        if others:
            say(*others.pop())
        return settle(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(confirmation.Consent, "settle", settle_late)
    say("extend", "night", "--axis", "steps+=40")
    assert stored(database)[0].axes == {"steps": ["8", "20", "40"], "seed": [*"0129"]}


def test_a_stored_sweep_goes_on_by_its_name(file: Path, database: Database) -> None:
    say("extend", "night", "--axis", "steps+=40")
    say("pause", "night")
    file.unlink()
    said = say("submit", "night")
    assert "night (revision 2): 9 images, 0 new, 0 made already; 9 to make." in said
    assert "night was paused; it is active again." in said
    assert json.loads(say("plan", "night", "--json"))["stored"]["stay"] == 9


def test_a_file_wins_over_a_sweep_of_that_name(
    file: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    (folder / "other").mkdir(parents=True)  # a folder is no sweep file
    monkeypatch.chdir(folder)
    submit(str(file), sets=["name=other"])
    assert "other: 6 images" in say("submit", "other")
    (folder / "night").write_text(TEXT.replace("name: night", "name: third"))
    assert "third: 6 images" in say("submit", "night")
    assert "check the path" in say("submit", "nihgt", code=2)


def test_a_stored_sweep_goes_on_without_its_files(
    tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "prompts.txt").write_text("a cat\na dog\n")
    text = TEXT.replace("a cat", "").replace(", prompt: ", "")
    text = text.replace("axes: {", "axes: {prompt: [{file: prompts.txt}], ")
    (folder / "night.yaml").write_text(text)
    submit(str(folder / "night.yaml"))
    say("cancel", "night")
    said = say("submit", "night")
    assert (
        "Warning: night goes on with the 12 images that are stored: its spec cannot be "
        "read here any more: the spec of night line 4: a prompt file must be a file"
    ) in said
    assert {row.priority for row in job_rows(database)} == {5}


def test_a_name_that_was_broken_off_is_stored_to_its_end(
    file: Path, database: Database
) -> None:
    def interrupt(_stored: int, _total: int) -> None:
        raise KeyboardInterrupt

    file.write_text(TEXT.replace("count: 3", "count: 600"))
    with pytest.raises(KeyboardInterrupt):
        submit(str(file), progress=interrupt)
    assert stored(database)[1] == {"pending": 1000}
    say("submit", "night")
    assert stored(database)[1] == {"pending": 1200}


def test_an_extension_says_what_to_do_next_and_writes_the_file(
    file: Path, database: Database
) -> None:
    said = say("extend", "night", "--axis", "steps+=40")
    assert "The sweep file is as before, and submitting it takes away" in said
    assert "make it here with `" in said
    said = say("extend", "night", "--axis", "steps+=50", "--write", file)
    assert f"{file} says the same now." in said
    assert file.with_name("night.yaml.bak").read_text() == TEXT
    assert "steps: [8, 20, 40, 50]" in file.read_text()
    before = stored(database)
    say("submit", file)
    assert stored(database) == before
    assert not [*file.parent.glob(".night*")]


def test_an_extension_never_writes_over_what_somebody_else_wrote(
    file: Path, database: Database
) -> None:
    ours = f"# My own words.\n{TEXT}"
    file.write_text(ours)
    words = ("extend", "night", "--write", file, "--axis")
    for value in (40, 50, 60):
        say(*words, f"steps+={value}")
    assert file.with_name("night.yaml.bak").read_text() == ours
    second = file.with_name("night.yaml.bak2")
    assert "steps: [8, 20, 40, 50]" in second.read_text()
    assert not file.with_name("night.yaml.bak3").exists()

    file.write_text(f"{file.read_text()}# And more.\n")
    say(*words, "steps+=70")
    say(*words, "steps+=80")
    assert file.with_name("night.yaml.bak").read_text() == ours
    assert "# And more." in second.read_text()
    assert (
        "steps: [8, 20, 40, 50, 60, 70]"
        in file.with_name("night.yaml.bak3").read_text()
    )


def test_a_file_to_write_is_where_relative_paths_start(
    file: Path, tmp_path: Path
) -> None:
    words = ("extend", "night", "--axis", "steps+=40", "--write")
    said = say(*words, file, "--folder", tmp_path.parent, code=2)
    assert "--write must name a file in the folder of the sweep file" in said
    submit(str(file), sets=["name=other"])
    said = say("extend", "other", *words[1:], file, code=2)
    assert "--write must be given for one sweep, got 2" in said


@pytest.mark.skipif(not Path("/proc").exists(), reason="a folder that takes no file")
def test_a_spec_that_cannot_be_written_says_that_the_sweep_is_extended(
    file: Path, database: Database
) -> None:
    words = ("extend", "night", "--axis", "steps+=40", "--write", "/proc/night.yaml")
    assert "the sweep is extended: run the command again with" in say(*words, code=1)
    assert stored(database)[0].revision == 2


def test_a_folder_that_is_missing_is_told_before_anything_is_stored(
    file: Path, tmp_path: Path, database: Database
) -> None:
    words = ("extend", "night", "--axis", "steps+=40", "--write", tmp_path / "no" / "x")
    assert "--write must name a file in a folder that exists, got" in say(
        *words, code=2
    )
    assert stored(database)[0].revision == 1
