"""The columns of queries: what each holds, how it is written, and how SQL finds it.

A new column is one entry of `_TABLE`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from storage.catalogue.pipeline_calls import PREFIX, all_parameters
from storage.job import BACKENDS
from storage.queries import column_kinds, names, values
from storage.queries.column_kinds import Column, Expression, Raw, Where, fixed, name_in
from storage.queries.rating_columns import RATING_COLUMNS
from storage.queries.scope import Condition, Scope
from storage.queries.score_columns import score_column
from storage.queries.terms import Value
from storage.sql.schema import (
    JOB_STATES,
    environments,
    jobs,
    model_places,
    models,
    owners,
    prompts,
    results,
    schedulers,
    sweep_jobs,
    sweeps,
    templates,
)

DTYPES = ("float32", "float16", "bfloat16")
GENERATORS = ("cpu", "cuda", "numpy")
ENGINES = ("slots", "plain")


def _column(
    name: str,
    raw: Expression | Raw,
    about: str,
    *,
    form: str,
    has: Callable[[Raw], Where],
    **more: Any,
) -> Column:
    """Return a column whose values are those of a kind.

    Args:
        name: As for `Column`.
        raw: A raw value, or what returns it.
        about: As for `Column`.
        form: As for `Column`.
        has: Returns the condition that a raw value is one of some values.
        more: Other attributes of the column.
    """
    raw = fixed(raw) if isinstance(raw, sa.ColumnElement) else raw
    return Column(name=name, about=about, form=form, where=has(raw), raw=raw, **more)


_number = partial(
    _column,
    form="number or range",
    has=column_kinds.has_number,
    read=values.read_number,
    is_number=True,
)
_moment = partial(
    _column, form="date or range", has=column_kinds.has_number, read=values.read_moment
)
_flag = partial(
    _column, form="`yes` or `no`", has=column_kinds.has_word, read=values.read_flag
)
_text = partial(_column, form="all of it", has=column_kinds.has_text)
_searched = partial(
    _column, form="part of it", has=partial(column_kinds.has_text, is_part=True)
)


def _word(
    name: str, raw: Expression, about: str, *, choices: tuple[str, ...]
) -> Column:
    form = ", ".join(f"`{choice}`" for choice in choices)
    read = values.one_of(choices)
    return _column(name, raw, about, form=form, has=column_kinds.has_word, read=read)


def _dimension(
    name: str,
    through: sa.Column[int],
    column: sa.Column[str],
    about: str,
    *,
    is_part: bool = False,
    shown_as: str = "",
) -> Column:
    return Column(
        name=name,
        about=about,
        form="part of it" if is_part else "all of it",
        where=column_kinds.has_dimension(through, column, is_part=is_part),
        raw=fixed(through),
        named=name_in(column),
        shown_as=shown_as,
    )


def _size(_scope: Scope, sizes: Sequence[Value]) -> Condition:
    both = (each.asked for each in sizes)
    of_size = (sa.and_(jobs.c.width == w, jobs.c.height == h) for w, h in both)
    return sa.or_(*of_size)


def _begins(_scope: Scope, keys: Sequence[Value]) -> Condition:
    # A range, since an index serves it, and does not serve LIKE.
    digits = [each.asked for each in keys]
    return sa.or_(
        *(sa.and_(jobs.c.key >= each, jobs.c.key < f"{each}g") for each in digits)
    )


def _finished(is_before: bool) -> Where:
    def where(_scope: Scope, times: Sequence[Value]) -> Condition:
        moment = results.c.finished_at
        starts = [each.asked for each in times]
        return sa.or_(*(moment < t if is_before else moment >= t for t in starts))

    return where


_SIZE = sa.cast(jobs.c.width, sa.Text) + "x" + sa.cast(jobs.c.height, sa.Text)

_TABLE = (
    Column(
        name="key",
        about="the image's key",
        form="its first hex digits",
        where=_begins,
        read=values.read_key,
        raw=fixed(jobs.c.key),
    ),
    Column(
        name="sweep",
        about="a sweep that wants it",
        form="all of it",
        where=names.in_sweep,
        raw=names.sweep_of,
        named=name_in(sweeps.c.name),
    ),
    Column(
        name="owner",
        about="the person who submitted a sweep that wants it",
        form="all of it",
        where=names.in_sweep_of,
        raw=names.owner_of,
        named=name_in(owners.c.name),
    ),
    Column(
        name="current",
        about="whether the sweep's newest revision wants it",
        form="`yes` or `no`",
        where=names.is_current,
        read=values.read_flag,
    ),
    _dimension(
        "pipeline",
        jobs.c.model_id,
        models.c.pipeline,
        "the class of its pipeline in diffusers",
    ),
    Column(
        name="model",
        about="its model, by the name it has in any place",
        form="part of it",
        where=names.of_model,
        raw=names.place_of_model,
        named=name_in(model_places.c.name),
    ),
    _dimension("prompt", jobs.c.prompt_id, prompts.c.text, "the prompt", is_part=True),
    _dimension(
        "negative",
        jobs.c.prompt_id,
        prompts.c.negative,
        "the negative prompt",
        is_part=True,
        shown_as="negative_prompt",
    ),
    Column(
        name="template",
        about="the prompt as the sweep writes it",
        form="part of it",
        where=names.with_template,
        raw=names.template_of,
        named=name_in(templates.c.text),
        shown_as="prompt_template",
    ),
    _number("seed", jobs.c.seed, "seed of the first noise"),
    Column(
        name="scheduler",
        about="any name that a spec takes, a class for all its variants, or a label "
        "of the named sweep",
        form="name or glob",
        where=names.made_by,
        raw=fixed(jobs.c.scheduler_id),
        named=name_in(schedulers.c.name),
    ),
    _dimension(
        "class",
        jobs.c.scheduler_id,
        schedulers.c.class_name,
        "the scheduler's class in diffusers",
        shown_as="scheduler_class",
    ),
    Column(
        name="label",
        about="the sweep's own label of the scheduler",
        form="all of it",
        where=names.has_label,
        raw=column_kinds.of_members(sweep_jobs.c.scheduler_label),
        shown_as="scheduler_label",
    ),
    _number("steps", jobs.c.steps, "steps as asked"),
    _number("guidance", jobs.c.guidance, "guidance scale"),
    _number("width", jobs.c.width, "width in pixels"),
    _number("height", jobs.c.height, "height in pixels"),
    Column(
        name="size",
        about="width and height in pixels",
        form="`512x768`",
        where=_size,
        read=values.read_size,
        raw=fixed(_SIZE),
    ),
    _word("dtype", jobs.c.dtype, "precision", choices=DTYPES),
    _word("backend", jobs.c.backend, "what painted it", choices=BACKENDS),
    _word("generator", jobs.c.generator, "where noise is drawn", choices=GENERATORS),
    _number(
        "clip_skip",
        column_kinds.from_extras("clip_skip"),
        "layers of CLIP that are skipped",
    ),
    _number("eta", column_kinds.from_extras("eta"), "eta of the scheduler"),
    Column(
        name="image",
        about='the input image; `""` for none',
        form="part of its digest, or of its label on the axis `image`",
        where=names.of_image,
        raw=column_kinds.from_extras("image"),
    ),
    _number("strength", column_kinds.from_extras("strength"), "strength of the noise"),
    _text(
        "resize",
        column_kinds.from_extras("resize"),
        "how the input image got its size",
        form="`crop`, `stretch`, `pad`",
    ),
    _flag("strict", column_kinds.from_extras("strict"), "whether it is made alone"),
    _text(
        "schedule",
        column_kinds.from_extras("schedule"),
        "the list of timesteps or sigmas, as JSON",
    ),
    _text("tag", column_kinds.from_extras("tag"), 'the sweep\'s tag; `""` for none'),
    Column(
        name="loras",
        about="its LoRAs, each with its scale",
        form="part of a file's name or fingerprint",
        where=names.with_part("loras"),
        raw=column_kinds.from_extras("loras"),
    ),
    Column(
        name="embeddings",
        about="its textual inversions, each with its token",
        form="part of a file's name or fingerprint",
        where=names.with_part("embeddings"),
        raw=column_kinds.from_extras("embeddings"),
    ),
    _searched(
        "quantize",
        column_kinds.from_extras("quantize"),
        'how its weights are quantised; `""` for not',
    ),
    _searched(
        "cache",
        column_kinds.from_extras("cache"),
        'what its network reuses of earlier steps; `""` for nothing',
    ),
    Column(
        name="controlnet",
        about="its ControlNets, each with image, scale, start and end",
        form="part of a name, a fingerprint or an image's digest",
        where=names.with_part("controlnet"),
        raw=column_kinds.from_extras("controlnet"),
    ),
    _number(
        "control_scale",
        column_kinds.from_control("scale"),
        "scale of the first ControlNet",
    ),
    _word("state", jobs.c.state, "state of the job", choices=JOB_STATES),
    _searched(
        "error",
        jobs.c.error,
        "why it failed",
    ),
    _number("time", jobs.c.total_s, "seconds that it took", shown_as="total_s"),
    _number(
        "denoise",
        results.c.denoise_s,
        "seconds of denoising",
        shown_as="denoise_s",
    ),
    _number(
        "evaluations",
        sa.func.coalesce(results.c.evaluations, jobs.c.evaluations),
        "calls of the model",
    ),
    _dimension(
        "gpu",
        results.c.environment_id,
        environments.c.gpu,
        "GPU or processor that made it",
        is_part=True,
    ),
    _dimension(
        "host", results.c.environment_id, environments.c.host, "host that made it"
    ),
    _text("worker", results.c.worker, "process that made it: `gpu0`"),
    _word("engine", results.c.engine, "how it was made", choices=ENGINES),
    _number("batch_width", results.c.batch_width, "rows of its batch"),
    _flag("warm_up", results.c.warm_up, "whether it was among the first"),
    _moment(
        "finished", results.c.finished_at, "when it was made", shown_as="finished_at"
    ),
    Column(
        name="after",
        about="made at this time or later",
        form="date or time",
        where=_finished(is_before=False),
        read=values.read_start,
    ),
    Column(
        name="before",
        about="made before this time",
        form="date or time",
        where=_finished(is_before=True),
        read=values.read_start,
    ),
    _moment(
        "submitted",
        jobs.c.created_at,
        "when a sweep first wanted it",
        shown_as="created_at",
    ),
    _number(
        "position",
        column_kinds.of_members(sweep_jobs.c.position),
        "place in the named sweep",
    ),
    _text("path", results.c.path, "the file, relative to the image folder"),
    _number("size_bytes", results.c.size_bytes, "size of the file"),
    _number("attempts", jobs.c.attempts, "how often a worker began it"),
    *RATING_COLUMNS,
)

#: Every column by its name.
COLUMNS: Mapping[str, Column] = {column.name: column for column in _TABLE}


def _call_column(name: str) -> Column | None:
    """Return the column of an input that only some pipelines have."""
    name = f"{PREFIX}{name}"
    known = all_parameters().get(name)
    if known is None:
        return None
    kinds = {"flag": _flag, "integer": _number, "number": _number}
    make = kinds.get(known.kind, _text)
    return make(name, column_kinds.from_extras(name), f"{name} of the pipeline")


#: Columns with a name of their own after the dot, by what comes before it.
FAMILIES: Mapping[str, Callable[[str], Column | None]] = {
    "call": _call_column,
    "cell": names.cell_column,
    "score": score_column,
}
_SHOWN = {column.shown_as: column for column in _TABLE if column.shown_as}


def find_column(name: str) -> Column | None:
    """Return a column by its name, or by the one that it has in the views."""
    family, dot, rest = name.partition(".")
    if dot and rest and family.casefold() in FAMILIES:
        return FAMILIES[family.casefold()](rest)
    known = name.casefold()
    return COLUMNS.get(known) or _SHOWN.get(known)
