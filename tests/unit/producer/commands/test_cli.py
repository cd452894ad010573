"""The command line: every command has help, an example, and a summary that is true."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

import nightsweep
from producer.cli import COMMANDS, SUMMARIES, LazyGroup, cli
from storage.settings import VARIABLES
from storage.sql.database import Database
from tests.builders import plan_seeds, submit


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command


def options() -> list[tuple[str, click.Option]]:
    return [
        (name, option)
        for name, command in commands()
        for option in command.params
        if isinstance(option, click.Option)
    ]


def test_the_summaries_are_the_first_lines_of_the_commands_help() -> None:
    own = {name: (command.help or "").splitlines()[0] for name, command in commands()}
    assert own == dict(SUMMARIES)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_ends_in_an_example(name: str) -> None:
    said = CliRunner().invoke(cli, [name, "--help"])
    assert said.exit_code == 0, said.output
    last = said.output.strip().splitlines()[-1]
    assert last.strip().startswith("Example: nightsweep")


@pytest.mark.parametrize(("name", "option"), options())
def test_every_option_has_help(name: str, option: click.Option) -> None:
    assert option.help, f"{name} {option.opts}"


def test_every_variable_of_an_option_is_in_the_table_of_settings() -> None:
    used = {option.envvar for _, option in options() if option.envvar}
    assert used <= set(VARIABLES)


def test_a_command_has_at_most_one_argument() -> None:
    for name, command in commands():
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        assert len(arguments) <= 1, name


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (["steps=10,20"], "got steps=10,20 too; write `--axis steps=10,20`"),
        (["++cfg=7"], "got ++cfg=7 too; write `--axis guidance=7`"),
        (["prompt=a red cat"], "too; write `--axis 'prompt=a red cat'`"),
        (["base.steps=4"], "too; write `--set base.steps=4`"),
        (["base.steps=4,8"], "too; write `--axis steps=4,8`"),
        (["axes.seed=1"], "too; write `--axis seed=1`"),
        (["other.yaml"], "got other.yaml too; give each a command of its own"),
        (
            ["-m"],
            "--multirun must not be given, since every axis is swept; leave it out",
        ),
        (["--multirun"], "must not be given, since every axis is swept; leave it out"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan", "submit"])
def test_words_of_hydra_are_told_to_be_options(
    command: str, words: list[str], way_out: str
) -> None:
    said = CliRunner().invoke(cli, [command, "sweep.yaml", *words])
    assert said.exit_code == 2
    assert way_out in " ".join(said.output.split())


@pytest.mark.parametrize("name", ["status", "find", "grid", "retry", "verify"])
@pytest.mark.parametrize("words", [["nihgt"], ["--sweep", "nihgt"]])
def test_a_sweep_is_named_with_or_without_the_option(
    name: str, words: list[str], database: Database
) -> None:
    submit(database, plan_seeds(0))
    said = CliRunner().invoke(cli, [name, *words])
    assert said.exit_code == 2
    assert "sweep must be" in said.output
    assert "got 'nihgt'" in said.output
    assert "night" in said.output


def test_every_command_that_takes_a_sweep_by_option_takes_its_name() -> None:
    by_option = {name for name, option in options() if "--sweep" in option.opts}
    takes_query = {
        "export",
        *("find", "grid", "open", "reproduce", "retry", "rm", "score", "show"),
    }
    compares = {"compare", "report"}
    names_workers = {"logs"}
    assert by_option == {"status", "verify", *takes_query, *compares, *names_workers}


def test_an_unknown_command_is_bad_usage() -> None:
    said = CliRunner().invoke(cli, ["statsu"])
    assert said.exit_code == 2
    assert "status" in said.output


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "words",
    [["caf\udce9"], ["--any", "caf\udce9"], ["--any=caf\udce9"], ["x", "caf\udce9"]],
)
def test_a_word_that_is_no_text_is_refused(name: str, words: list[str]) -> None:
    said = CliRunner().invoke(cli, [name, *words])
    assert said.exit_code == 2
    assert "words of the command line must be UTF-8 text, got " in said.output
    assert "caf\\xe9; write it in UTF-8" in said.output


def test_bytes_that_are_no_text_are_shown_as_they_came() -> None:
    command = [sys.executable, "-m", "nightsweep", "plan", "a.yaml", "--axis"]
    said = subprocess.run(
        [*command, b"prompt=caf\xe9"], capture_output=True, check=False, text=True
    )
    assert said.returncode == 2
    assert "UTF-8 text, got prompt=caf\\xe9;" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_letter_that_a_locale_does_not_have_ends_no_command(encoding: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "nightsweep", "plan", "猫.yaml"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    shown = "猫" if encoding == "utf-8" else "\\u732b"
    assert said.returncode == 2
    assert f"got {shown}.yaml (No such file" in said.stderr.decode(encoding)


def test_a_prompt_that_a_locale_has_no_letters_for_is_escaped() -> None:
    code = """if True:
        import sys
        from contextlib import suppress
        import nightsweep
        sys.argv[1:] = ["--version"]
        with suppress(SystemExit):
            nightsweep.main()
        print("猫")
    """
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == b"\\u732b"


def test_our_errors_are_one_sentence_with_their_exit_code(tmp_path) -> None:
    said = CliRunner().invoke(cli, ["plan", str(tmp_path / "missing.yaml")])
    assert said.exit_code == 2
    assert "missing.yaml" in said.output
    assert "Traceback" not in said.output


def press_in_a_finalizer() -> None:
    class Watched:
        pass

    watched = Watched()
    weakref.finalize(watched, signal.raise_signal, signal.SIGINT)
    del watched


def press_while_a_class_is_made() -> None:
    class Name:
        def __set_name__(self, *_args: object) -> None:
            signal.raise_signal(signal.SIGINT)

    type("Named", (), {"name": Name()})


@pytest.mark.parametrize("press", [press_in_a_finalizer, press_while_a_class_is_made])
def test_a_ctrl_c_ends_a_command_whenever_it_comes(
    monkeypatch: pytest.MonkeyPatch, press: Callable[[], None]
) -> None:
    def work() -> None:
        press()
        while True:
            time.sleep(1)

    command = click.Command("status", callback=work)
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_args: command)
    said = CliRunner().invoke(cli, ["status"])
    assert said.exit_code == 130
    assert said.output == "\nInterrupted; the same command goes on from here.\n"


def test_a_ctrl_c_that_comes_while_one_is_repeated_is_repeated_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, pressed = threading.Timer.start, []

    def start_late(timer: threading.Timer) -> None:
        if not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        start(timer)

    def work() -> None:
        press_in_a_finalizer()
        while True:
            time.sleep(1)

    command = click.Command("status", callback=work)
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_args: command)
    monkeypatch.setattr(threading.Timer, "start", start_late)
    assert CliRunner().invoke(cli, ["status"]).exit_code == 130
    assert pressed


@pytest.fixture
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def run_unread(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run Python, with a pipe for its output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-P", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)


@pytest.mark.usefixtures("buffered")
@pytest.mark.parametrize("words", [["status", "--json"], ["find", "--json"]])
def test_a_reader_that_ends_first_is_no_error(
    words: list[str], database: Database
) -> None:
    submit(database, plan_seeds(0, 1))
    assert not run_unread("-m", "nightsweep", *words).stderr


@pytest.mark.usefixtures("buffered")
def test_what_is_unwritten_at_ctrl_c_and_nobody_reads_is_no_error() -> None:
    script = (
        "import sys, nightsweep; from producer import cli\n"
        "def begin(*args):\n"
        "    sys.stdout.write('{}'); raise KeyboardInterrupt\n"
        "cli.LazyGroup.resolve_command = begin\n"
        "sys.argv[1:] = ['find']; nightsweep.main()"
    )
    said = run_unread("-c", script)
    assert said.returncode == 130
    assert said.stderr == "\nInterrupted; the same command goes on from here.\n"


@pytest.mark.usefixtures("buffered")
def test_the_count_of_images_follows_their_rows(database: Database) -> None:
    submit(database, plan_seeds(0, 1))
    for words in (["find"], ["find", "--json"]):
        said = subprocess.run(
            [sys.executable, "-P", "-m", "nightsweep", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        assert said.stdout.splitlines()[-1] == "2 images."


def test_the_module_gives_its_public_names() -> None:
    assert nightsweep.Store.__name__ == "Store"
    assert callable(nightsweep.submit)
    assert nightsweep.__version__
    with pytest.raises(AttributeError, match="no attribute 'Sture'"):
        nightsweep.Sture  # noqa: B018 - the look-up is the test


def test_a_folder_of_the_same_name_is_refused(tmp_path, monkeypatch) -> None:
    other = type(nightsweep)("workers")
    other.__path__ = [str(tmp_path / "workers")]
    monkeypatch.setitem(nightsweep.sys.modules, "workers", other)
    with pytest.raises(ImportError, match="needs its own package 'workers'"):
        nightsweep._check_packages()
