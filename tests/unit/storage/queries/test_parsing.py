import pytest

from storage.errors import QueryError, UsageError
from storage.queries.columns import COLUMNS
from storage.queries.parsing import parse, quote, refine
from storage.queries.sorting import read_columns, read_order
from storage.queries.terms import SHOWN
from storage.queries.values import ANYTHING, Span


def asked(text):
    return [
        (term.name, [value.asked for value in term.values], term.is_negated)
        for term in parse(text).terms
    ]


def message(text):
    with pytest.raises(QueryError) as refused:
        parse(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("steps:20", [20]),
        ("steps:4,8", [4, 8]),
        ("steps:10..20", [Span(low=10, high=20)]),
        ("guidance:2.5..7.5", [Span(low=2.5, high=7.5)]),
        ("steps:..8,30..", [Span(high=8), Span(low=30)]),
        ("steps:<=8", [Span(high=8)]),
        ("steps:<8", [Span(high=8, is_high_open=True)]),
        ("steps:>=8", [Span(low=8)]),
        ("steps:>8", [Span(low=8, is_low_open=True)]),
        ("steps:=8", [8]),
        ("eta:.5", [0.5]),
        ("eta:..0.5", [Span(high=0.5)]),
        (f"seed:{2**63 - 1}", [2**63 - 1]),
        ("time:*", [ANYTHING]),
        ("size:512x768", [(512, 768)]),
        ("strict:yes", [True]),
        ("warm_up:No", [False]),
        ("state:done,failed", ["done", "failed"]),
        ("key:4B0C", ["4b0c"]),
        ("model:*", [ANYTHING]),
        ('tag:"*"', ["*"]),
        ('tag:""', [""]),
        ('prompt:"red, fox",cat', ["red, fox", "cat"]),
        (r'prompt:"a \"red\" fox"', ['a "red" fox']),
        ("scheduler:ddim(clip_sample=true, eta=1),heun", None),
    ],
)
def test_values_are_read_as_people_write_them(text, read):
    name = text.partition(":")[0]
    expected = ["ddim(clip_sample=true, eta=1)", "heun"] if read is None else read
    assert asked(text) == [(name, expected, False)]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026-11-01", "2026-11-01T00:00:00.000000", "2026-11-02T00:00:00.000000"),
        ("2026-11-01T18", "2026-11-01T18:00:00.000000", "2026-11-01T19:00:00.000000"),
        (
            "2026-11-01T18:30+02:00",
            *("2026-11-01T16:30:00.000000", "2026-11-01T16:30:00.000001"),
        ),
        ("2026-11-01..", "2026-11-01T00:00:00.000000", None),
        (">2026-11-01", "2026-11-02T00:00:00.000000", None),
        ("<=2026-11-01", None, "2026-11-02T00:00:00.000000"),
        ("<2026-11-01", None, "2026-11-01T00:00:00.000000"),
    ],
)
def test_a_date_is_a_span_of_moments_in_utc(text, low, high):
    zone = "+00:00"
    span = Span(low=low and low + zone, high=high and high + zone, is_high_open=True)
    assert asked(f"finished:{text}") == [("finished", [span], False)]


def test_words_phrases_and_negations_are_terms_of_their_own():
    assert asked('red "big fox" !cat -"a dog" !state:done -steps:4 - a-b') == [
        ("", [None], False),
        ("", [None], False),
        ("", [None], True),
        ("", [None], True),
        ("state", ["done"], True),
        ("steps", [4], True),
        ("", [None], False),
        ("", [None], False),
    ]
    words = [term.values[0].text for term in parse('red "big fox" (cat:1.2), -').terms]
    assert words == ["red", "big fox", "(cat:1.2),", "-"]


def test_a_column_has_its_name_in_the_views_too():
    assert asked("Total_S:..3 negative_prompt:blurry") == [
        ("time", [Span(high=3)], False),
        ("negative", ["blurry"], False),
    ]


@pytest.mark.parametrize("text", ["", "x", "1..x", "nan", "inf", str(2**63), "1e999"])
def test_what_is_no_number_is_refused_with_the_way_out(text):
    query = f'steps:"{text}"'
    marks = "^" * (len(text) + 2)
    assert message(query) == (
        "steps must be a number or a range such as 10..20, ..8 or 30.., separated by "
        f"commas, got {text!r}.\n  {query}\n        {marks}"
    )


@pytest.mark.parametrize(
    ("text", "said", "start", "marked"),
    [
        (
            "fox sateps:4",
            "a column must be one that images have, got 'sateps'; did you mean steps, "
            "or is it a text of a prompt, which needs quotes because of its colon?",
            4,
            "sateps",
        ),
        (
            "zzz:4",
            "a column must be one that images have, got 'zzz'; docs/querying.md lists "
            "them, or is it a text of a prompt, which needs quotes because of its "
            "colon?",
            0,
            "zzz",
        ),
        (
            "steps:20..10",
            "steps must be a range from low to high, got '20..10'; turn it round.",
            6,
            "20..10",
        ),
        (
            "steps:..",
            "steps must be a number or a range such as 10..20, ..8 or 30.., separated "
            "by commas, got '..'; give it a bound.",
            6,
            "..",
        ),
        (
            "steps: 20",
            "steps: must be followed by a value, without a blank between them; write "
            '"" for an empty one.',
            6,
            " ",
        ),
        (
            "steps:4,",
            "steps: must be followed by a value, without a blank between them; write "
            '"" for an empty one.',
            8,
            " ",
        ),
        (
            'red "fox',
            'a quote must be closed, got one that is not; end it with a second ".',
            4,
            '"',
        ),
        (
            'prompt:"fox',
            'a quote must be closed, got one that is not; end it with a second ".',
            7,
            '"',
        ),
        (
            "state:don",
            "state must be one of pending, leased, done, failed, quarantined, evicted, "
            "got 'don'; did you mean done?",
            6,
            "don",
        ),
        (
            "strict:maybe",
            "strict must be yes or no, got 'maybe'.",
            7,
            "maybe",
        ),
        (
            "size:512",
            "size must be a width and a height such as 512x768, got '512'.",
            5,
            "512",
        ),
        (
            "after:tomorrow",
            "after must be a date or time such as 2026-11-01 or 2026-11-01T18:30, in "
            "UTC, got 'tomorrow'.",
            6,
            "tomorrow",
        ),
        (
            "finished:9999-12-31",
            "finished must be a date or time such as 2026-11-01 or 2026-11-01T18:30, "
            "or a range of them, got '9999-12-31'.",
            9,
            "9999-12-31",
        ),
        (
            "key:xyz",
            "key must be 1 to 32 hex digits, got 'xyz'; `nightsweep find` lists the "
            "keys.",
            4,
            "xyz",
        ),
        (
            "steps<=20",
            "a column must be followed by a colon, got 'steps<='; write steps:<=20.",
            0,
            "steps<=",
        ),
        (
            "steps=20",
            "a column must be followed by a colon, got 'steps='; write steps:20.",
            0,
            "steps=",
        ),
    ],
)
def test_a_mistake_is_one_line_with_carets_under_its_place(text, said, start, marked):
    marks = " " * start + "^" * len(marked)
    assert message(text) == f"{said}\n  {text}\n  {marks}"


def test_carets_stand_right_below_wide_letters_and_in_long_queries():
    assert message("猫 steps:x").splitlines()[1:] == [
        "  猫 steps:x",
        "           ^",
    ]
    _, shown, marks = message("fox " * 100 + "steps:x " + "fox " * 100).splitlines()
    assert len(shown) == SHOWN + 4
    assert shown[marks.index("^")] == "x"


def test_values_from_code_are_one_value_each_whatever_is_in_them():
    query = refine(
        'red "fox"',
        prompt="a, b:c",
        steps=[4, "10..20"],
        state="done, failed",
        scheduler=["ddim(clip_sample=true)", "DPM++ 2M"],
        tag="",
        current=True,
        model=None,
        seed=[],
    )
    assert query.text == (
        'red "fox" prompt:"a, b:c" steps:4,10..20 state:done,failed '
        'scheduler:"ddim(clip_sample=true)","DPM++ 2M" tag:"" current:yes'
    )
    assert [term.name for term in query.terms[2:]] == [
        *("prompt", "steps", "state", "scheduler", "tag", "current")
    ]


@pytest.mark.parametrize("text", ["", "a b", '"', "\\", 'a\\"b', "-x", "*", "a,b", "é"])
def test_a_quoted_text_is_read_as_it_was(text):
    (term,) = parse(f"tag:{quote(text)}").terms
    assert [value.asked for value in term.values] == [text]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_takes_a_value_and_refuses_none(name):
    assert COLUMNS[name].about
    with pytest.raises(QueryError, match="must be followed by a value"):
        parse(f"{name}:")


def test_columns_to_sort_by_and_to_show_are_checked():
    keys = read_order("-time, steps")
    assert [(key.column.name, key.is_descending) for key in keys] == [
        ("time", True),
        ("steps", False),
    ]
    with pytest.raises(UsageError) as unknown:
        read_order("tine")
    assert str(unknown.value).startswith(
        "a column must be one that images have, got 'tine'; did you mean time"
    )
    with pytest.raises(UsageError) as hidden:
        read_columns("key,after")
    assert str(hidden.value) == (
        "a column must have a value to show, and after has none; leave it out."
    )
