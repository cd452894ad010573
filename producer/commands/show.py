"""The command `nightsweep show`: all that is known of one image."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len

from producer.commands.image_files import ImageCommand
from producer.display.json_lines import json_option, open_row, write_json
from producer.display.messages import talk
from producer.display.text_width import padded, plain, quoted
from producer.options import program
from producer.query_options import query_options, split_key
from producer.reproduction.script import write_script
from storage.errors import UsageError
from storage.queries.answers import read_wanted
from storage.queries.terms import Query
from storage.store import Store

#: Images that `show` shows at most; more are no answer to read.
MOST_SHOWN = 20
#: The groups of `show`; every other column follows under "other".
GROUPS: Mapping[str, Sequence[str]] = {
    "what": (
        *("prompt", "negative_prompt", "prompt_template", "model", "model_revision"),
        *("model_fingerprint", "pipeline", "width", "height", "dtype", "backend"),
    ),
    "how": (
        *("scheduler", "scheduler_class", "scheduler_options", "steps", "guidance"),
        *("seed", "generator", "extras", "evaluations"),
    ),
    "state": ("state", "attempts", "error", "created_at", "finished_at"),
    "seconds": (
        *("queue_s", "load_s", "encode_s", "denoise_s", "decode_s", "save_s"),
        *("total_s", "warm_up"),
    ),
    "where": (
        *("file", "folder", "size_bytes", "pixel_sha256", "gpu", "host", "worker"),
        *("engine", "batch_width", "slot", "decode_dtype", "peak_bytes"),
    ),
}


@click.command(cls=ImageCommand, epilog="Example: nightsweep show 4b0cf3fc")
@query_options()
@click.option(
    "--script",
    "as_script",
    is_flag=True,
    help="Print only a Python script that makes the image with diffusers.",
)
@json_option
def show(query: Query, *, as_script: bool, as_json: bool) -> None:
    """Show all that is known of one image, or of a few.

    QUERY is an image's key, or the beginning of it, which `nightsweep find` lists; or
    an image file, any copy of one that is stored; or anything else that `find` takes,
    for at most 20 images, or one with --script.
    """
    if as_script and as_json:
        msg = "show must print one thing, got --script and --json; leave one out."
        raise UsageError(msg)
    with Store() as store:
        keys = find_keys(store, query, most=1 if as_script else MOST_SHOWN)
        every = [store.show(key) for key in keys]
        if as_script:
            (record,) = store.records([every[0]["key"]])
            click.echo(write_script(record), nl=False)
            return
    if as_json:
        write_json(map(open_row, every))
        return
    click.echo("\n\n".join("\n".join(describe_image(known)) for known in every))
    command = f"{program()} show {every[0]['key'][:8]} --script"
    talk(f"\n{command} prints a diffusers script that makes this image.")


def find_keys(store: Store, query: Query, *, most: int) -> list[str]:
    """Return the keys of a few images: a key as the only word, or what a query finds.

    Args:
        store: Where they are.
        query: One word of hex digits is a key or the beginning of one, which the
            caller looks for.
        most: How many there may be.

    Raises:
        UsageError: The query asks for nothing, or finds none or too many.
    """
    key, rest = split_key(query)
    if key and not rest.terms:
        return [key]
    rows = store.stream(query, read_wanted(columns="key", limit=most + 1))
    keys = [row["key"] for row in rows] if query.terms else []
    if 0 < len(keys) <= most:
        return keys
    got = "no query" if not query.terms else f"{query.text!r}, which finds "
    got += (f"more than {most}" if keys else "none") if query.terms else ""
    number = "one image" if most == 1 else f"1 to {most} images"
    msg = (
        f"{number} must be named, by a key or a query, got {got}; "
        "`nightsweep find` lists images with their keys."
    )
    raise UsageError(msg)


def describe_image(known: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `Store.show` returns as grouped lines for people."""
    yield f"key  {known['key']}"
    known = {**known, "file": _describe_file(known["file"])}
    lists = ("key", "sweep", "path", "sweeps", "scores", "ratings", "environment")
    grouped = {name for names in GROUPS.values() for name in names}
    other = [name for name in known if name not in grouped and name not in lists]
    for title, names in {**GROUPS, "other": other}.items():
        yield from _describe_group(title, {name: known[name] for name in names})
    yield from _describe_group("environment", known["environment"])
    yield from _describe_group("scores", dict(map(_describe_score, known["scores"])))
    rated = {one["who"]: _describe_rating(one) for one in known["ratings"]}
    yield from _describe_group("ratings", rated)
    yield from _describe_group("sweeps", dict(map(_place, known["sweeps"])))


def _describe_score(score: Mapping[str, Any]) -> tuple[str, object]:
    """Return the name of a metric, with what tells it apart, and its score."""
    details = [score["version"], score["model"], score["reference"].strip("{}")]
    named = ", ".join(filter(None, details))
    name = f"{score['metric']} ({named})" if named else score["metric"]
    if score["state"] == "failed":
        return name, f"failed: {score['error']}"
    return name, score["value"] if score["state"] == "done" else score["state"]


def _describe_rating(rating: Mapping[str, Any]) -> str:
    stars = rating["stars"]
    given = f"{stars} star{'' if stars == 1 else 's'}" if stars else ""
    return ", ".join(filter(None, [given, rating["verdict"]]))


def _describe_group(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    lines = {name: _shown(value) for name, value in values.items()}
    lines = {name: text for name, text in lines.items() if text}
    if lines:
        yield ""
        yield title
        width = max(map(cell_len, lines))
        for name, text in lines.items():
            yield f"  {padded(name, width)}  {text}"


def _shown(value: object) -> str:
    if value is None or value in ("", "{}", "[]"):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return plain(json.dumps(value, ensure_ascii=False))
    return plain(str(value))


def _describe_file(file: str | None) -> str | None:
    is_gone = file is not None and not Path(file).is_file()
    return f"{file} (file missing)" if is_gone else file


def _place(membership: Mapping[str, Any]) -> tuple[str, str]:
    cell = ", ".join(
        f"{axis} {' or '.join(map(quoted, _labels(label)))}"
        for axis, label in membership["cell"].items()
    )
    number = f"number {membership['position'] + 1:,}"
    return membership["sweep"], f"{number}: {cell}" if cell else number


def _labels(label: str | Sequence[str]) -> Sequence[str]:
    return [label] if isinstance(label, str) else label
