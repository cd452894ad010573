"""Manual pages, for `man`: the help of a command in roff.

They use only what groff and mandoc both read
(https://man.openbsd.org/man.7, https://man.openbsd.org/mandoc_char.7).
"""

import inspect
import re
from collections.abc import Iterable, Iterator

import click

#: What roff reads as something else than itself.
_ESCAPES = str.maketrans(
    {
        "\\": r"\e",
        "-": r"\-",  # else a hyphen, which nobody can paste as an option
        "'": r"\(aq",
        "`": r"\(ga",
        "^": r"\(ha",
        "~": r"\(ti",
        '"': r"\(dq",
    }
)
_EXAMPLE = "Example: "
_EXIT_CODES = {
    "0": "Done.",
    "1": "Something failed.",
    "2": "Bad usage, or a bad sweep file.",
    "130": "Interrupted.",
}


def escaped(text: str) -> str:
    """Return a line of text such that roff shows it as it is."""
    shown = text.translate(_ESCAPES)
    shown = re.sub(r"[^\x00-\x7f]", lambda one: rf"\[u{ord(one[0]):04X}]", shown)
    # At the beginning of a line, a dot begins a request.
    return rf"\&{shown}" if shown.startswith(".") else shown


def page_name(context: click.Context) -> str:
    """Return the name of a command's page: `nightsweep-find`."""
    return context.command_path.replace(" ", "-")


def make_page(context: click.Context, *, version: str) -> str:
    """Return the manual page of a command.

    Args:
        context: The command, under the name and the parent that it is called with.
        version: The program's.
    """
    name, command = page_name(context), context.command
    about = inspect.cleandoc(command.help or "").partition("\n\n")[2]
    lines = [
        f'.TH "{escaped(name.upper())}" 1 "" "nightsweep {version}" "nightsweep"',
        ".nh",  # no hyphenation: a name must be found and pasted whole
        ".ad l",
        *_section("NAME", [rf"{escaped(name)} \- {_line(_summary(command))}"]),
        *_section("SYNOPSIS", _synopsis(context)),
        *_section("DESCRIPTION", _paragraphs(about)),
        *_section("OPTIONS", _options(context)),
        *_section("COMMANDS", _commands(context)),
        *_section("EXAMPLE", _example(command)),
        *_section("EXIT STATUS", _terms(_EXIT_CODES.items())),
        *_section("SEE ALSO", _see_also(context)),
    ]
    return "\n".join(lines) + "\n"


def subcommands(context: click.Context) -> Iterator[click.Context]:
    """Yield the commands of a group, in its order; none of another command."""
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            if command := group.get_command(context, name):
                yield click.Context(command, info_name=name, parent=context)


def _summary(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0]


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a section; nothing if it has no lines."""
    found = list(lines)
    if found:
        yield f".SH {title}"
        yield from found


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))


def _bold(text: str) -> str:
    return rf"\fB{escaped(text)}\fR"


def _synopsis(context: click.Context) -> Iterator[str]:
    words = context.command.collect_usage_pieces(context)
    yield f"{_bold(context.command_path)} {_line(' '.join(words))}"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs; those that click is told not to wrap stay as they are."""
    for number, paragraph in enumerate(filter(None, text.split("\n\n"))):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".nf", *map(escaped, paragraph.splitlines()[1:]), ".fi")
        else:
            yield _line(paragraph)


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, about in terms:
        yield from (".TP", _bold(term), _line(about))


def _options(context: click.Context) -> Iterator[str]:
    for each in context.command.get_params(context):
        record = each.get_help_record(context)
        if record and isinstance(each, click.Option):
            yield from _terms([record])


def _commands(context: click.Context) -> Iterator[str]:
    for each in subcommands(context):
        yield from _terms([(str(each.info_name), _summary(each.command))])


def _example(command: click.Command) -> Iterator[str]:
    if command.epilog:
        yield from (".nf", escaped(command.epilog.removeprefix(_EXAMPLE)), ".fi")


def _see_also(context: click.Context) -> Iterator[str]:
    if context.parent:
        yield rf"{_bold(context.parent.command_path)}(1)"
