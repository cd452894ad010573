"""Manual pages: every command has one, and `man` shows what the help says."""

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producer.cli import COMMANDS, cli
from producer.display.manual_pages import escaped, make_page, page_name, subcommands

ROOT = cli.make_context("nightsweep", [], resilient_parsing=True)
PAGES = [ROOT, *subcommands(ROOT)]
#: What roff would read as a request, an escape, or another character.
LINES = (
    ".TH at the beginning, and .PP within",
    "'quoted' at the beginning",
    r"C:\new\fB, and a \ alone",
    'say "this"',
    "--set base.width=768, a-b",
    "~/.bashrc `code` x^2",
    "a fox… 猫 · é",
)


def shown_by_man(*pages: Path) -> str:
    """Return pages as people read them; refuse anything that roff warns of."""
    groff = shutil.which("groff")
    if not groff or not shutil.which("grotty"):
        pytest.skip("there is no groff with its devices; install the package groff")
    words = [groff, "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=2000n", *map(str, pages)]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not said.stderr
    return " ".join(said.stdout.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man") / "share" / "man1"
    said = CliRunner().invoke(cli, ["man", "--to", str(made)])
    assert said.exit_code == 0, said.output
    assert said.stderr.startswith(f"Wrote {len(PAGES)} pages to {made}; begin with")
    return made


def test_every_command_has_a_page_and_the_program_one(folder: Path) -> None:
    names = {"nightsweep.1"} | {f"nightsweep-{name}.1" for name in COMMANDS}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize("context", PAGES, ids=page_name)
def test_a_page_has_the_text_of_every_option(
    context: click.Context, folder: Path
) -> None:
    page = (folder / f"{page_name(context)}.1").read_text()
    options = [
        each
        for each in context.command.get_params(context)
        if isinstance(each, click.Option) and not each.hidden
    ]
    assert options
    for option in options:
        record = option.get_help_record(context)
        assert record is not None
        term, about = (escaped(" ".join(each.split())) for each in record)
        assert f".TP\n\\fB{term}\\fR\n{about}\n" in page


def test_the_page_of_the_program_names_all_commands_with_their_summaries(
    folder: Path,
) -> None:
    shown = shown_by_man(folder / "nightsweep.1")
    for context in PAGES[1:]:
        help_text = context.command.help or ""
        assert f"{context.info_name} {help_text.splitlines()[0]}" in shown


def test_man_shows_what_the_help_says_and_warns_of_nothing(folder: Path) -> None:
    shown = shown_by_man(*sorted(folder.iterdir()))
    for context in PAGES:
        assert f"{page_name(context)} - " in shown
        about = (context.command.help or "").partition("\n\n")[2].replace("\b\n", "")
        for paragraph in about.split("\n\n"):
            assert " ".join(paragraph.split()) in shown


def test_roff_shows_every_character_as_it_is(tmp_path: Path) -> None:
    command = click.Command("odd", help="Odd.\n\n" + "\n\n".join(LINES))
    page = tmp_path / "odd.1"
    page.write_text(make_page(click.Context(command, info_name="odd"), version="1"))
    assert page.read_text().isascii()
    shown = shown_by_man(page)
    for line in LINES:
        assert line in shown


def test_pages_go_where_man_looks_for_the_programs_of_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert CliRunner().invoke(cli, ["man"]).exit_code == 0
    assert (tmp_path / "share/man/man1/nightsweep-run.1").is_file()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = CliRunner().invoke(cli, ["man", "--to", str(tmp_path / "file" / "man1")])
    assert said.exit_code == 2
    assert "--to must name a folder that can be written, got " in said.stderr
