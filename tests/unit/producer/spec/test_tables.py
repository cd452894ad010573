"""Tables: each row of a CSV, TSV or JSONL file is a value of an axis."""

import json
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.expand import Expansion, read_jobs
from producer.spec.axes import Axis
from producer.spec.parameters import Prompt
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_spec

HEAD = 'name: s\nbase: {model: "builtin:shapes", guidance: 4}\naxes:\n'


def write(
    folder: Path, table: str, *, file: str = "p.csv", more: str = "", axis: str = ""
) -> Path:
    (folder / file).write_text(table, encoding="utf-8", newline="")
    axis = axis or f"prompt: {{file: {file}{more}}}"
    return write_spec(folder, f"{HEAD}  {axis}\n")


def read_axis(folder: Path, table: str, **options: str) -> Axis:
    return read_spec(write(folder, table, **options)).axes[0]


def sets_of(axis: Axis) -> list[dict[str, Any]]:
    return [
        {
            name: value.text if isinstance(value, Prompt) else value
            for name, value in each.sets.items()
        }
        for each in axis.values
    ]


def expand(folder: Path, table: str, **options: str) -> Expansion:
    return read_jobs(write(folder, table, **options), describe_fake)


def labels_of(expansion: Expansion) -> list[str]:
    return expansion.axis_labels["prompt"]


def problems_of(folder: Path, table: str, **options: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_axis(folder, table, **options)
    return [str(problem) for problem in caught.value.problems]


def test_each_row_of_a_table_sets_what_its_columns_name(tmp_path: Path) -> None:
    axis = read_axis(
        tmp_path,
        "prompt,negative_prompt,seed,size,steps,label\n"
        "a cat,blurry,7,48x64,9,mine\n"
        '"a dog, and ""a fox""",,8,,,\n'
        "a bird\n",
    )

    assert sets_of(axis) == [
        {
            "prompt": "a cat",
            "negative_prompt": "blurry",
            "seed": 7,
            "width": 48,
            "height": 64,
            "steps": 9,
        },
        {"prompt": 'a dog, and "a fox"', "seed": 8},
        {"prompt": "a bird"},
    ]
    assert [value.label for value in axis.values] == ["mine", None, None]


def test_a_table_is_read_as_other_programs_write_it(tmp_path: Path) -> None:
    excel = '\ufeffprompt;seed\r\n"a cat;\r\nsleeping";1\r\n;\r\n\r\na dog;2\r\n'
    rows = [{"prompt": "a cat;\nsleeping", "seed": 1}, {"prompt": "a dog", "seed": 2}]

    axis = read_axis(tmp_path, excel)

    assert sets_of(axis) == rows
    assert [str(value.place) for value in axis.values] == [
        "p.csv line 2",
        "p.csv line 6",
    ]
    tabs = 'prompt\tseed\n"a cat;\nsleeping"\t1\na dog\t2\n'
    assert sets_of(read_axis(tmp_path, tabs, file="p.TSV")) == rows


def test_a_line_of_jsonl_is_a_row(tmp_path: Path) -> None:
    rows = [
        {"prompt": 'a "cat"\n\u00e9\U0001f63a', "seed": 3, "strict": True},
        {"prompt": "a dog", "guidance": 2.5, "negative_prompt": "", "label": "dog"},
        {"prompt": "a fox", "call.original_size": [512, 768], "seed": None},
        {
            "prompt": "a hen",
            "scheduler": {"class": "euler", "options": {"use_karras_sigmas": True}},
        },
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n\n"

    axis = read_axis(tmp_path, text, file="p.jsonl")

    cat, dog, fox, hen = sets_of(axis)
    assert cat == rows[0]
    assert dog == {"prompt": "a dog", "guidance": 2.5, "negative_prompt": ""}
    assert fox == {"prompt": "a fox", "call.original_size": (512, 768)}
    assert hen["scheduler"].scheduler.options == {"use_karras_sigmas": True}
    assert [value.label for value in axis.values] == [None, "dog", None, None]


def test_what_a_row_leaves_open_is_as_in_base(tmp_path: Path) -> None:
    jobs = expand(tmp_path, "prompt,guidance,seed\na cat,2,\na dog,,5\n").jobs()
    found = {(job.prompt, job.guidance, job.seed) for job in (one.job for one in jobs)}
    assert found == {("a cat", 2.0, 0), ("a dog", 4.0, 5)}


def test_choices_in_a_cell_make_several_values(tmp_path: Path) -> None:
    expansion = expand(tmp_path, "prompt,seed,label\na {red|green} cat,1,cat\n")
    cells = [one.cell for one in expansion.jobs()]
    assert cells == [
        {"prompt": "cat: red", "prompt.1": "red"},
        {"prompt": "cat: green", "prompt.1": "green"},
    ]


def test_rows_of_one_prompt_are_named_by_what_differs(tmp_path: Path) -> None:
    expansion = expand(
        tmp_path,
        "prompt,seed,steps,scheduler\n"
        "a cat,1,9,ddim\na cat,2,9,ddim\na cat,2,9,euler\na dog,1,9,ddim\na cat,,9,\n",
    )
    assert labels_of(expansion) == [
        "a cat (seed=1, scheduler=ddim)",
        "a cat (seed=2, scheduler=ddim)",
        "a cat (seed=2, scheduler=euler)",
        "a dog",
        "a cat",
    ]
    assert expansion.count == 5


def test_equal_rows_make_one_job_and_a_warning(tmp_path: Path) -> None:
    expansion = expand(tmp_path, "prompt,seed\na cat,1\na dog,2\na cat,1\n")
    assert (labels_of(expansion), expansion.count) == (["a cat", "a dog"], 2)
    (said,) = expansion.duplicates
    assert "give the same jobs (p.csv line 2, p.csv line 4)" in said


def test_an_axis_of_any_name_may_be_a_table(tmp_path: Path) -> None:
    axis = "case: {file: p.csv}\n  prompt: a cat"
    text = "width,height,label\n48,64,tall\n64,48,\n"
    expansion = expand(tmp_path, text, axis=axis)
    assert expansion.axis_labels["case"] == ["tall", "width=64, height=48"]


def test_columns_choose_what_is_read(tmp_path: Path) -> None:
    text = "Prompts,Category,Note\na cat,Animals,x\n"
    axis = read_axis(tmp_path, text, more=", columns: {prompt: Prompts, tag: Category}")
    assert sets_of(axis) == [{"prompt": "a cat", "tag": "Animals"}]


def test_a_sample_of_a_table_is_the_same_always_and_in_its_order(
    tmp_path: Path,
) -> None:
    rows = [f"prompt {number:03},{number}" for number in range(100)]
    text = "\n".join(["prompt,seed", *rows])
    first = sets_of(read_axis(tmp_path, text, more=", sample: 5"))
    seeds = [each["seed"] for each in first]
    assert seeds == [12, 15, 48, 71, 79]
    more = sets_of(read_axis(tmp_path, text, more=", sample: 6"))
    assert [each for each in more if each in first] == first
    other = sets_of(read_axis(tmp_path, text, more=", sample: 5, sample_seed: 1"))
    assert other != first


def test_a_changed_row_changes_what_the_sweep_wants(tmp_path: Path) -> None:
    digests = {
        expand(tmp_path, f"prompt,seed,label\na cat,{seed},one\n").digest
        for seed in (1, 2)
    }
    assert len(digests) == 2
    again = expand(tmp_path, 'prompt,seed,label\r\n"a cat",1,one\r\n')
    assert again.digest in digests


def test_a_changed_wildcard_changes_what_a_table_wants(tmp_path: Path) -> None:
    axis = "prompt: {file: p.csv}\nwildcards: wild"
    (tmp_path / "wild").mkdir()
    digests = set()
    for colour in ("red", "green"):
        (tmp_path / "wild" / "colour.txt").write_text(f"{colour}\n")
        table = "prompt,label\na __colour__ cat,cat\n"
        expansion = expand(tmp_path, table, axis=axis)
        assert labels_of(expansion) == ["cat"]
        digests.add(expansion.digest)
    assert len(digests) == 2


def test_weights_and_signs_in_a_table_are_told_with_their_line(tmp_path: Path) -> None:
    text = "prompt,negative_prompt\na (cat:1.3),\na dog++,(bad:1.4)\na [fox:1.1],\n"
    said = expand(tmp_path, text).warnings
    assert said[0].startswith("a weight such as (cat:1.3), ((cat)) or [cat] is plain")
    assert '"a (cat:1.3)" (p.csv line 2); "(bad:1.4)" (p.csv line 3)' in said[0]
    assert said[1].startswith('p.csv line 3: prompt "a dog++": a weight such as cat++')


@pytest.mark.parametrize(
    ("table", "messages"),
    [
        ("promt,prompt\na,b\n", ["p.csv line 1: a column must be a parameter, got "
         "`promt`; did you mean `prompt`? (or name the columns to read: `columns: "
         "{prompt: Text}`)"]),
        ("prompt,cfg_scale\na,7\n", ["p.csv line 1: a column must be a parameter, got "
         "`cfg_scale`; it is called `guidance` here (or name the columns to read: "
         "`columns: {prompt: Text}`)"]),
        ("prompt,seed,prompt\na,1,b\n", ["sweep.yaml line 4: p.csv line 1: a column "
         "must appear once, got `prompt` again; rename one of the two"]),
        ("prompt,seed\n\na cat,one\na, cat, 2\n,3\n", [
            "p.csv line 3: seed must be an integer from 0 to 9223372036854775807, got "
            "one; write it in digits",
            "p.csv line 4: a row must have at most 2 cells, as many as the first line, "
            "got 3; put quotes around a text with commas",
            "p.csv line 5: a row of the axis prompt must set prompt, got none; fill its"
            " cell, or remove the row",
        ]),
        ('prompt\n"a cat\n', ["sweep.yaml line 4: p.csv line 2: a row must be CSV, got "
         "an error (unexpected end of data); put quotes around a text with commas or "
         "quotes, and double the quotes in it"]),
        ("prompt,size\na,48\n", ["p.csv line 2: size must be width x height, got 48; "
         "write 512x768"]),
        ("prompt,size,width\na,48x48,48\n", ["p.csv line 2: a row must set width once, "
         "got it beside `size`; leave one of the two empty"]),
        ("prompt\na } b\n", ["p.csv line 2: a `}` has no `{` before it, got a } b; "
         "write }} for a plain brace"]),
        ("prompt,scheduler\na,all\n", ["p.csv line 2: scheduler must be one value in a "
         "row, got all; move it to `axes`"]),
        ("prompt,label\na,x\nb,x\n", ["p.csv line 3: a label must be used once in an "
         "axis, got x again; rename one of the two"]),
        ("prompt\n", ["sweep.yaml line 4: a table must have at least one row, got none "
         "in {f}; write one below the line that names the columns"]),
        ("prompt\na\0b\n", ["sweep.yaml line 4: a prompt file must be text, got the "
         "character NUL in {f}; remove it"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table_is_told_with_its_line(
    tmp_path: Path, table: str, messages: list[str]
) -> None:
    expected = [each.replace("{f}", str(tmp_path / "p.csv")) for each in messages]
    assert problems_of(tmp_path, table) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "a line of a JSONL file must be a JSON object, got [1]; write one such "
         'as {"prompt": "a cat", "seed": 1}'),
        ("{", "a line of a JSONL file must be a JSON object, got an error (Expecting "
         "property name enclosed in double quotes: line 2 column 1 (char 2)); write one"
         ' such as {"prompt": "a cat", "seed": 1}'),
        ('{"prompt": "a", "prompt": "b"}', "a key must appear once, got `prompt` again;"
         " remove one of them"),
        ('{"prompt": ["a", "b"]}', "prompt must be a single value here, got a list; "
         "write one value"),
        ('{"prompt": "\\ud83d"}', "a text must be valid Unicode, got half a surrogate "
         "pair"),
        ('{"prompt": "a", "seed": NaN}', "seed must be an integer from 0 to "
         "9223372036854775807, got NaN; write it in digits"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_jsonl_is_told(tmp_path: Path, line: str, message: str) -> None:
    text = f'{{"prompt": "first"}}\n{line}\n'
    assert problems_of(tmp_path, text, file="p.jsonl") == [f"p.jsonl line 2: {message}"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("p.jsonl", "{\n", "p.jsonl line 1: a line of a JSONL file must be"),
        ("p.csv", "prompt\na,b\n", "p.csv line 2: a row must have at most 1 cells"),
    ],
)
def test_a_table_of_wrong_rows_alone_is_not_called_empty(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    [problem] = problems_of(tmp_path, text, file=file)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"more": ", columns: {prompt: Promt}"}, "columns must name columns of p.csv, "
         "got Promt; did you mean `prompt`?"),
        ({"more": ", columns: {promt: prompt}"}, "`columns` has no key `promt`; did you"
         " mean `prompt`?"),
        ({"more": ", sample: 3"}, "sample must be at most the number of rows, 2, got 3;"
         " lower or remove it"),
        ({"axis": "paper: [{set: {prompt: {file: p.csv}}}]"}, "a table must be a value "
         "of an axis, got one elsewhere; write it under `axes`"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_so_is_refused(
    tmp_path: Path, options: dict[str, str], message: str
) -> None:
    found = problems_of(tmp_path, "prompt\na\nb\n", **options)
    assert f"sweep.yaml line 4: {message}" in found


def test_rows_beyond_the_limit_are_refused_as_soon_as_they_are_met(
    tmp_path: Path,
) -> None:
    rows = "\n".join(f"prompt {number}" for number in range(60))
    file = write(tmp_path, f"prompt\n{rows}\n")
    with file.open("a") as opened:
        opened.write("limits: {max_jobs: 59}\n")
    with pytest.raises(SpecError, match=r"at most 59 prompts \(limits.max_jobs\)"):
        read_spec(file)
    file.write_text(file.read_text().replace("p.csv", "p.csv, sample: 9"))
    assert len(read_spec(file).axes[0].values) == 9


def test_a_parameter_of_a_table_is_no_other_axis(tmp_path: Path) -> None:
    axis = "prompt: {file: p.csv}\n  seed: [1, 2]"
    assert problems_of(tmp_path, "prompt,seed\na,1\n", axis=axis) == [
        "sweep.yaml line 5: a parameter must be set by one axis, got seed in `prompt` "
        "and in `seed`; remove it from one"
    ]
