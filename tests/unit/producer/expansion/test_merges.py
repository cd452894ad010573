"""Parameters without effect: one job a meaning, in every cell that it stands for."""

import random
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.expansion import equivalents
from producer.expansion.expand import Expansion, expand
from producer.expansion.resolution import meaning_of
from producer.models.cards import ModelCard
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.job import Job, PlannedJob
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes, write_spec

#: Classifier-free guidance above 1, and above 0.
SCALED, ABOVE_0 = Guidance(), Guidance(off=0.0)
#: Flux-dev, Flux-schnell and Qwen-Image.
EMBEDDED = Guidance(off=None, is_embedded=True, own_scale=1.0)
NONE = Guidance(off=None, own_scale=1.0)
OWN = Guidance(off=None, own_scale=4.0)
KINDS = (SCALED, ABOVE_0, EMBEDDED, NONE, OWN, Guidance(takes_negative=False))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, SCALED)


def know(monkeypatch: pytest.MonkeyPatch, effects: Guidance | None) -> None:
    changed = {
        name: replace(card, effects=effects) for name, card in cards.CARDS.items()
    }
    monkeypatch.setattr(cards, "CARDS", changed)


def expand_axes(folder: Path, axes: str, *, rest: str = "") -> Expansion:
    return expand(read_spec(write_axes(folder, axes, rest=rest)), describe_fake)


def pairs_of(expansion: Expansion) -> list[tuple[float, str]]:
    jobs = [planned.job for planned in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [(job.guidance, job.negative_prompt) for job in jobs]


def test_negative_prompts_make_one_job_where_guidance_is_off(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{guidance: [1, 3], negative_prompt: [a, b, c]}")

    assert pairs_of(expansion) == [(1.0, ""), (3.0, "a"), (3.0, "b"), (3.0, "c")]
    assert expansion.duplicates == (
        "builtin:shapes: negative_prompt has no effect at guidance 1 or less: 3 values "
        "make one job",
    )


def test_all_guidance_that_is_none_makes_one_job(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{guidance: [0, 0.5, 1, 3]}")

    assert pairs_of(expansion) == [(1.0, ""), (3.0, "")]
    assert expansion.duplicates == (
        "builtin:shapes: guidance has no effect at 1 or less: 3 values make one job",
    )


@pytest.mark.parametrize(
    ("effects", "pairs", "sentences"),
    [
        (
            EMBEDDED,
            [(1.0, ""), (7.0, "")],
            ["negative_prompt has no effect: 2 values make one job"],
        ),
        (
            NONE,
            [(1.0, "")],
            [
                "guidance has no effect: 2 values make one job",
                "negative_prompt has no effect: 2 values make one job",
            ],
        ),
        (
            OWN,
            [(1.0, ""), (4.0, "ugly")],
            [
                "guidance has no effect: 2 values make one job",
                "guidance has no effect beside a negative prompt, where 4 is used: "
                "2 values make one job",
            ],
        ),
        (ABOVE_0, [(1.0, ""), (1.0, "ugly"), (7.0, ""), (7.0, "ugly")], []),
    ],
)
def test_what_has_an_effect_depends_on_the_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    effects: Guidance,
    pairs: list[tuple[float, str]],
    sentences: list[str],
) -> None:
    know(monkeypatch, effects)

    expansion = expand_axes(tmp_path, "{guidance: [1, 7], negative_prompt: ['', ugly]}")

    assert pairs_of(expansion) == pairs
    assert list(expansion.duplicates) == [
        f"builtin:shapes: {each}" for each in sentences
    ]


def test_what_is_merged_decides_a_revision_by_its_numbers(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [0, 1, 3], negative_prompt: [a, b], eta: [null, 0, 1],"
        " scheduler: [ddim, ddim_eta]}",
        rest="exclude: [{eta: 0, scheduler: ddim_eta}]",
    )

    assert expansion.what_is_meant == [
        "f" * 32,
        '["guidance",1.0,2]',
        '["negative_prompt","",2]',
        '["eta",0.0,2]',
        '["eta",1.0,2]',
        '["scheduler",["DDIMScheduler",1.0],2]',
    ]


def test_nothing_is_merged_for_a_model_that_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, None)

    expansion = expand_axes(tmp_path, "{guidance: [0, 1], negative_prompt: [a, b]}")

    assert len(pairs_of(expansion)) == 4
    assert expansion.duplicates == ()


@pytest.mark.parametrize(
    ("effects", "base", "sentence"),
    [
        (SCALED, "guidance: 1, negative_prompt: ugly", "at guidance 1 or less"),
        (EMBEDDED, "negative_prompt: ugly", ""),
    ],
)
def test_a_single_value_without_effect_is_left_out_and_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    effects: Guidance,
    base: str,
    sentence: str,
) -> None:
    know(monkeypatch, effects)
    text = f"name: s\nbase: {{model: 'builtin:shapes', prompt: p, {base}}}\n"

    expansion = expand(read_spec(write_spec(tmp_path, text)), describe_fake)

    assert [negative for _, negative in pairs_of(expansion)] == [""]
    where = f" {sentence}" if sentence else ""
    assert expansion.duplicates == (
        f"builtin:shapes: negative_prompt has no effect{where}, and is left out",
    )


def test_a_guidance_of_none_is_not_worth_a_word(tmp_path: Path) -> None:
    assert expand_axes(tmp_path, "{guidance: [0, 3]}").duplicates == ()


def test_an_axis_without_effect_is_left_out_of_the_cell(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{guidance: [1, 3], negative_prompt: [a, b]}")

    assert [planned.cell for planned in expansion.jobs()] == [
        {"guidance": "1"},
        {"guidance": "3", "negative_prompt": "a"},
        {"guidance": "3", "negative_prompt": "b"},
    ]
    assert expansion.axis_labels["negative_prompt"] == ["a", "b"]


def test_a_cell_names_all_values_that_mean_the_same(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{guidance: [0, 3, 1]}")

    cells = [planned.cell for planned in expansion.jobs()]

    assert cells == [{"guidance": ["0", "1"]}, {"guidance": "3"}]


def test_a_job_exists_while_one_of_its_cells_is_not_excluded(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [1, 3], negative_prompt: [a, b, c], steps: [4, 8]}",
        rest=(
            "exclude: [{steps: 4, negative_prompt: a}, {guidance: 1, steps: 8},"
            " {steps: 4, guidance: 1, negative_prompt: b}]"
        ),
    )

    rows = [(p.job.steps, p.job.guidance) for p in expansion.jobs()]

    assert sorted(rows) == [(4, 1.0), (4, 3.0), (4, 3.0), (8, 3.0), (8, 3.0), (8, 3.0)]
    assert expansion.count == len(rows)
    (merged,) = (p for p in expansion.jobs() if p.job.guidance == 1)
    assert merged.cell == {"guidance": "1", "negative_prompt": "c", "steps": "4"}


def test_values_that_are_excluded_are_not_counted_as_merged(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [1, 3], negative_prompt: ['', a, b]}",
        rest="exclude: [{guidance: 1, negative_prompt: [a, b]}]",
    )

    assert len(pairs_of(expansion)) == 4
    assert expansion.duplicates == ()


def test_include_adds_no_job_that_means_the_same(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [1, 3], steps: [4]}",
        rest=(
            "include: [{guidance: 0.5}, {guidance: 1, negative_prompt: ugly},"
            " {guidance: 0, steps: 8}, {guidance: 1, steps: 8}]"
        ),
    )

    rows = [(p.job.steps, p.job.guidance) for p in expansion.jobs()]

    assert rows == [(4, 1.0), (4, 3.0), (8, 1.0)]
    assert expansion.count == 3
    cells = [p.cell.get("guidance") for p in expansion.jobs()]
    assert cells == [["1", "0.5"], "3", ["1", "0"]]


def test_a_job_is_not_shown_where_another_is_that_include_adds(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{guidance: [1, 3], steps: [4, 8]}",
        rest="include: [{guidance: 0.5, tag: x}, {guidance: 0, steps: 8}]",
    )

    cells = [
        (p.cell["guidance"], p.job.steps, p.job.parameter("tag"))
        for p in expansion.jobs()
    ]

    assert cells == [
        ("1", 4, ""),
        (["1", "0"], 8, ""),
        ("3", 4, ""),
        ("3", 8, ""),
        ("0.5", 4, "x"),
    ]


def test_the_keys_of_other_wordings_are_former_keys(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{guidance: [0.5, 1, 3], negative_prompt: ['', ugly]}"
    )

    first, *others = expansion.jobs()

    worded = {
        replace(first.job, guidance=guidance, negative_prompt=negative).key
        for guidance in (0.5, 1.0)
        for negative in ("", "ugly")
    }
    assert set(first.former_keys) == worded - {first.job.key}
    assert [planned.former_keys for planned in others] == [(), ()]


def test_what_was_the_default_is_a_former_key_of_a_model_without_guidance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, NONE)

    (planned,) = expand_axes(tmp_path, "{guidance: 3}").jobs()

    worded = [replace(planned.job, guidance=scale).key for scale in (3, 0, 7.5)]
    assert list(planned.former_keys) == worded


def test_bundles_of_one_model_that_mean_the_same_make_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, EMBEDDED)

    expansion = expand_axes(
        tmp_path,
        "{kind: [{label: plain, set: {model: org/other}},"
        " {label: ugly, set: {model: org/other, negative_prompt: ugly}},"
        " {label: shapes, set: {model: 'builtin:shapes'}}]}",
    )

    assert [planned.cell["kind"] for planned in expansion.jobs()] == [
        ["plain", "ugly"],
        "shapes",
    ]
    assert expansion.count == 2


def test_points_are_compared_once_for_all_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []

    def note(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
        compared.append(parameters["guidance"])
        return meaning_of(parameters, card)

    monkeypatch.setattr(equivalents, "meaning_of", note)
    expansion = expand_axes(tmp_path, "{guidance: [0, 1, 3], steps: [4, 8]}")

    assert expansion.count == len(list(expansion.jobs())) == 4
    assert len(expansion.what_is_meant) == 2
    assert compared == [0, 1, 3]


def test_a_million_seeds_are_not_walked_to_count_what_means_the_same(
    tmp_path: Path,
) -> None:
    expansion = expand_axes(
        tmp_path,
        "{seed: {start: 0, count: 800000}, guidance: [0, 1, 3],"
        " negative_prompt: [a, b], steps: [4, 8]}",
        rest="limits: {max_jobs: 10000000}\nexclude: [{steps: 4, guidance: 3}]",
    )

    assert expansion.count == 800_000 * (2 + 2)
    assert next(expansion.jobs()).cell["guidance"] == ["0", "1"]


def test_both_unicode_forms_of_a_text_are_one_where_the_tokenizer_joins_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, apart = "un caf\u00e9", unicodedata.normalize("NFD", "un caf\u00e9")
    axes = f"{{prompt: ['{joined}', '{apart}'], negative_prompt: ['{apart}']}}"
    assert expand_axes(tmp_path, axes).count == 2

    composing = {k: replace(card, composes=True) for k, card in cards.CARDS.items()}
    monkeypatch.setattr(cards, "CARDS", composing)
    (planned,) = expand_axes(tmp_path, axes).jobs()

    assert (planned.job.prompt, planned.job.negative_prompt) == (joined, joined)
    old = replace(planned.job, prompt=apart, negative_prompt=apart).key
    assert old in planned.former_keys


def make_spec(chance: random.Random) -> str:
    """Write a sweep of random axes, bundles, exclusions and inclusions."""
    guidances = [str(g) for g in chance.sample([0, 0.5, 1, 3, 7], 3)]
    negatives = chance.sample(["''", "a", "b", "c"], 3)
    axes = {
        "steps": "[4, 8]",
        "guidance": f"[{', '.join(guidances)}]",
        "negative_prompt": f"[{', '.join(negatives)}]",
    }
    if chance.random() < 0.5:
        bundles = [
            f"{{label: s{n}, set: {{negative_prompt: {negative},"
            f" {chance.choice(['prompt: p', 'prompt: q', 'width: 128'])}}}}}"
            for n, negative in enumerate(negatives)
        ]
        axes["style"] = f"[{', '.join(bundles)}]"
        del axes["negative_prompt"]
    for name in chance.sample(sorted(axes), chance.randrange(2)):
        if name != "style":
            del axes[name]
    conditions = [
        f"guidance: {chance.choice(guidances)}",
        f"negative_prompt: [{', '.join(chance.sample(negatives, 2))}]",
        f"steps: {chance.choice([4, 8])}",
        f"tag: {chance.choice(['null', 'x'])}",
    ]

    def entries() -> str:
        picked = [chance.sample(conditions, chance.randint(1, 3)) for _ in range(2)]
        return ", ".join(f"{{{', '.join(each)}}}" for each in picked)

    lines = [f"  {name}: {values}" for name, values in axes.items()]
    chance.shuffle(lines)
    return (
        "name: s\nbase: {model: 'builtin:shapes', prompt: p, guidance: 1}\naxes:\n"
        + "\n".join(lines)
        + f"\nexclude: [{entries()}]\ninclude: [{entries()}]\n"
    )


def settle(job: Job, effects: Guidance) -> Job:
    guidance, negative, _ = effects.settle(job.guidance, job.negative_prompt)
    return replace(job, guidance=guidance, negative_prompt=negative)


def stands_for(planned: PlannedJob, cell: Mapping[str, Any]) -> bool:
    """Tell whether a job is shown where the cell of another is."""
    labels = {axis: planned.cell.get(axis, label) for axis, label in cell.items()}
    return all(
        label in ([shown] if isinstance(shown, str) else shown)
        for label, shown in zip(cell.values(), labels.values(), strict=True)
    )


@pytest.mark.parametrize("seed", range(60))
def test_merged_cells_are_those_of_the_plain_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    effects = KINDS[seed % len(KINDS)]
    spec = read_spec(write_spec(tmp_path, make_spec(chance)))
    know(monkeypatch, None)
    plain = list(expand(spec, describe_fake).jobs())
    know(monkeypatch, effects)

    expansion = expand(spec, describe_fake)
    merged = {planned.job.key: planned for planned in expansion.jobs()}

    assert expansion.count == len(list(expansion.jobs())) == len(merged)
    assert merged.keys() == {settle(each.job, effects).key for each in plain}
    for each in plain:
        job = merged[settle(each.job, effects).key]
        assert stands_for(job, each.cell)
