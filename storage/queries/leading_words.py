"""Words at the beginning of a query that are not about prompts: sweeps and keys."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import takewhile

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.queries.names import no_such_sweep, sweep_names
from storage.queries.terms import RefusedError, Term, Value
from storage.sql.schema import jobs, prompts
from storage.sql.searching import contains

#: What is too long for a word of a prompt: `facade` and `2026` are none.
_KEY = re.compile(r"[0-9a-fA-F]{8,32}")


def read_sweeps(connection: Connection, terms: Sequence[Term]) -> list[Term]:
    """Return the words at the beginning that are names of sweeps.

    Raises:
        RefusedError: The first word is almost such a name, and no prompt has it.
    """
    if not terms or not terms[0].is_bare_word:
        return []
    known = sweep_names(connection)
    found = list(takewhile(lambda each: _is_among(known, each), terms))
    if not found:
        _refuse_misspelt(connection, terms[0].values[0], known)
    return found


def read_keys(connection: Connection, terms: Sequence[Term]) -> Sequence[Term]:
    """Return the terms, with words at the beginning that begin keys as one of `key`.

    A word that begins no key is left to the prompts.
    """
    words = list(takewhile(lambda each: _begins_key(connection, each), terms))
    if not words:
        return terms
    keys = [word.values[0] for word in words]
    asked = tuple(replace(key, asked=key.text.lower()) for key in keys)
    return [Term(name="key", values=asked), *terms[len(words) :]]


def _is_among(names: Collection[str], term: Term) -> bool:
    return term.is_bare_word and term.values[0].text in names


def _begins_key(connection: Connection, term: Term) -> bool:
    if not term.is_bare_word or not _KEY.fullmatch(term.values[0].text):
        return False
    digits = term.values[0].text.lower()
    # A range, which the index of keys serves.
    begins = sa.and_(jobs.c.key >= digits, jobs.c.key < f"{digits}g")
    found = connection.execute(sa.select(jobs.c.id).where(begins).limit(1))
    return found.first() is not None


def _refuse_misspelt(
    connection: Connection, word: Value, known: Collection[str]
) -> None:
    if not get_close_matches(word.text, known, n=1):
        return
    said = sa.select(prompts.c.id).where(contains(prompts.c.text, word.text)).limit(1)
    if connection.execute(said).first() is None:
        raise RefusedError(no_such_sweep(word.text, known), word)
