"""Which images a command is about: a query, and the options that are short for it."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import click

from producer.completion import (
    Words,
    answering,
    complete_scheduler,
    complete_sweep,
    opened,
)
from storage.queries.columns import COLUMNS, find_column
from storage.queries.parsing import NAMED, parse, quote, refine
from storage.queries.terms import Query

_KEY = re.compile(r"[0-9a-fA-F]{1,32}")
_NEGATED = re.compile(f"-{NAMED}")
_NAMED = re.compile(f"[!-]?{NAMED}")
#: Columns whose commas belong to the text.
_SENTENCES = frozenset({"prompt", "negative", "template", "error"})
#: Options that are columns of queries, each with its help.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--sweep": {
        "metavar": "NAME",
        "help": "Images of this sweep: sweep:NAME.",
        "shell_complete": complete_sweep,
    },
    "--scheduler": {
        "metavar": "NAME",
        "multiple": True,
        "help": "Any name that a spec takes, a class name for all its variants, or a "
        "label that the named sweep defines. Repeatable.",
        "shell_complete": complete_scheduler,
    },
    "--steps": {"metavar": "N|LOW..HIGH", "help": "Numbers or ranges: 4,8 or 10..20"},
    "--seed": {"metavar": "N|LOW..HIGH", "help": "Numbers or ranges: 7 or ..99"},
    "--guidance": {
        "metavar": "N|LOW..HIGH",
        "help": "Numbers or ranges: 2.5 or 3..7.5",
    },
    "--clip-skip": {"metavar": "N|LOW..HIGH", "help": "Numbers or ranges: 1 or 0..2"},
    "--eta": {"metavar": "N|LOW..HIGH", "help": "Numbers or ranges: 0 or 0.5..1"},
    "--tag": {"metavar": "TEXT", "help": 'The whole tag; "" for none.'},
    "--prompt": {"metavar": "TEXT", "help": "Part of the prompt, ignoring case."},
    "--model": {
        "metavar": "TEXT",
        "help": "Part of the model's name, in any of its places, ignoring case.",
    },
    "--state": {
        "metavar": "STATE",
        "help": f"{COLUMNS['state'].form.replace('`', '')}; several with commas.",
    },
}


@answering
def complete_query(context: click.Context, typed: str) -> Words:
    """Yield how the last word of a query may go on."""
    # Imported here: only a shell asks.
    from gallery.completion import complete

    before = join(context.params.get("words") or ())
    text = f"{before} {typed}" if before else typed
    begin = len(text) - len(typed)
    with opened() as database:
        options = complete(database, text, len(text)) if database else None
    if options:
        for option in options["options"]:
            yield text[begin : options["from"]] + option["text"], option["about"]


#: The words of a query.
query_argument = click.argument(
    "words", metavar="[QUERY]...", nargs=-1, shell_complete=complete_query
)


class QueryCommand(click.Command):
    """A command that takes a query, whose terms may begin with `-`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Take `-state:failed` for a term, not for options."""
        return super().parse_args(context, [_as_term(each) for each in args])


def query_options(*left_out: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a command take QUERY and the short forms of it; it gets them as `query`.

    The command must be a `QueryCommand`.

    Args:
        left_out: Options that the command does without, such as `--state`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        names = [name for name in _OPTIONS if name not in left_out]
        columns = [name.removeprefix("--").replace("-", "_") for name in names]

        @wraps(command)
        def call(*, words: tuple[str, ...], **given: Any) -> Any:
            asked = {name: given.pop(name) for name in columns}
            query = refine(join(words), **asked)
            return command(query=query, **given)

        for name in reversed(names):
            call = click.option(name, **_OPTIONS[name])(call)
        return query_argument(call)

    return decorate


def join(words: Iterable[str]) -> str:
    """Return the words of a command line as the text of one query.

    The shell took the quotes off: a word with a blank in it is a phrase, or a column
    and one value, unless it is a whole query with columns or quotes of its own.
    """
    return " ".join(filter(None, map(_requoted, words)))


def split_key(query: Query) -> tuple[str | None, Query]:
    """Return the first word of a query, if it may be a key, and the query without it.

    A key may be the beginning of one.
    """
    if not query.terms or not query.terms[0].is_bare_word:
        return None, query
    word = query.terms[0].values[0]
    if not _KEY.fullmatch(word.text):
        return None, query
    return word.text, parse(query.text[word.end :])


def _as_term(word: str) -> str:
    negated = _NEGATED.match(word)
    return f"!{word[1:]}" if negated and find_column(negated[1]) else word


def _requoted(word: str) -> str:
    if not re.search(r"\s", word) or '"' in word:
        return word
    begins = _NAMED.match(word)
    columns = [name for name in _NAMED.findall(word) if find_column(name)]
    if not begins and not columns:
        return quote(word)
    column = find_column(begins[1]) if begins else None
    if begins is None or column is None or len(columns) > 1 or column.has_plain_values:
        return word
    text = word[begins.end() :]
    values = [text] if column.name in _SENTENCES else text.split(",")
    return begins[0] + ",".join(map(quote, values))
