import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from producer.cli import cli
from producer.commands.found_images import IMAGE_COLUMNS
from producer.commands.schedulers import SCHEDULER_COLUMNS, list_schedulers
from producer.commands.show import describe_image
from producer.display.tables import TABLE_CHUNK, Column, fit_widths, table_lines
from producer.display.text_width import fold, hang, padded, plain, shorten
from storage.catalogue.schedulers import NAMES
from storage.store import Store
from tests.unit.filled_store import MODEL, filled, make_settings, plan, submit


@pytest.fixture
def store(tmp_path):
    settings, planned = filled(tmp_path)
    return Store(settings), planned


def run(tmp_path, *arguments):
    environ = {"NIGHTSWEEP_HOME": str(tmp_path)}
    return CliRunner(env=environ).invoke(cli, arguments, catch_exceptions=False)


def drawn(rows, columns, width):
    return list(table_lines(rows, columns, width=width))


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_table_of_images_fits_the_terminal(store, width):
    lines = drawn(store[0].find(), IMAGE_COLUMNS, width)

    assert len(lines) == 9
    assert max(map(len, lines)) <= width
    assert lines[1].startswith(store[1][0].job.key[:8])
    assert lines[1].split()[-1].endswith(".png") == (width > 125)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_catalogue_fits_the_terminal_and_cuts_no_name(width):
    lines = drawn(list_schedulers(), SCHEDULER_COLUMNS, width)

    assert max(map(len, lines)) <= width
    begun = [line for line in lines[1:] if not line.startswith(" ")]
    assert [line.split()[0] for line in begun] == list(NAMES)
    said = " ".join("\n".join(lines).split())
    for row in list_schedulers():
        assert all(alias in said for alias in (row["label"], *row["aliases"]))
        assert row["family"] in lines[-1] or row["family"] in said


def test_a_list_is_folded_behind_its_commas_and_never_cut():
    text = "DPM2 a Karras, kdpm_2_a_karras, dpm2_a_k"

    assert fold(text, 31, mark=", ") == ["DPM2 a Karras, kdpm_2_a_karras,", "dpm2_a_k"]
    assert fold(text, 5, mark=", ") == [
        "DPM2 a Karras,",
        "kdpm_2_a_karras,",
        "dpm2_a_k",
    ]
    assert fold("", 5, mark=", ") == [""]


def test_a_sentence_is_broken_at_its_blanks_and_hangs():
    text = "  ddim  DDIMScheduler(clip_sample=false, eta=0), as the model has it"

    assert hang(text, width=38, indent=8) == [
        "  ddim  DDIMScheduler(",
        "        clip_sample=false, eta=0), as",
        "        the model has it",
    ]
    assert hang(text, width=24, indent=30)[-2:] == [
        " " * 12 + "the model",
        " " * 12 + "has it",
    ]
    assert hang(text, width=None, indent=8) == [text]
    assert hang("", width=80, indent=8) == [""]
    assert hang("猫猫猫 猫猫猫", width=12, indent=2) == ["猫猫猫", "  猫猫猫"]


def test_a_text_is_cut_at_its_end_by_the_room_that_it_takes():
    assert shorten("a red circle on a blue background", 16) == "a red circle on…"
    assert shorten("short", 5) == "short"
    assert shorten("猫猫猫猫", 6) == "猫猫…"


def test_keys_schedulers_steps_and_states_are_whole_beside_the_largest_seed():
    row = {
        "key": "0123456789abcdef" * 2,
        "prompt": "猫 a red circle on a blue background",
        "scheduler": "dpmpp_2m_sde_exponential",
        "steps": 1000,
        "guidance": 7.25,
        "seed": 2**63 - 1,
        "state": "quarantined",
        "total_s": 1.5,
        "path": "01/23/0123456789abcdef.png",
    }

    for width in (40, 80, 120):
        words = drawn([row], IMAGE_COLUMNS, width)[1].split()
        assert words[0] == "01234567"
        assert {"dpmpp_2m_sde_exponential", "1000", "quarantined"} <= set(words)
        assert (str(2**63 - 1) in words) == (width == 120)
    assert max(map(len, drawn([row], IMAGE_COLUMNS, 80))) <= 80


def test_optional_columns_go_first_and_the_rest_shares_what_is_spare():
    columns = [
        Column(name="id", read=str),
        Column(name="text", read=str, narrowest=8),
        Column(name="path", read=str, is_optional=True),
    ]
    texts = {"id": ["12345678"], "text": ["x" * 30], "path": ["y" * 20]}

    assert fit_widths(columns, texts, width=100) == {"id": 8, "text": 30, "path": 20}
    assert fit_widths(columns, texts, width=44) == {"id": 8, "text": 12, "path": 20}
    assert fit_widths(columns, texts, width=36) == {"id": 8, "text": 26}


def test_what_users_wrote_is_shown_as_it_is_but_for_control_characters():
    rows = [{"text": "[red]a[/red]\n:smile: \x1b[31mb"}]

    lines = drawn(rows, [Column(name="text", read=lambda row: row["text"])], 80)

    assert lines[1] == "[red]a[/red] :smile:  [31mb"
    assert plain("a\tb\x07") == "a b "


def test_find_writes_json_lines_with_the_columns_of_the_view(tmp_path, store):
    result = run(
        *(tmp_path, "find", "--json"),
        *("--scheduler", "DPM++ 2M Karras", "--steps", "10..20"),
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]

    assert result.exit_code == 0
    assert result.stderr == "2 images.\n"
    for row in rows:
        assert row.pop("scheduler_options") == {"use_karras_sigmas": True}
        assert row.pop("extras") == {}
    found = store[0].find(scheduler="dpmpp_2m_karras", steps=20)
    texts = {"scheduler_options", "extras"}
    assert rows == [
        {name: row[name] for name in row if name not in texts} for row in found
    ]


def test_json_has_labels_that_are_numbers_as_numbers(tmp_path, store):
    result = run(tmp_path, "find", "--json", "--sweep", "shapes", "--limit", "1")

    assert json.loads(result.stdout)["cell"] == {
        "prompt": store[1][0].job.prompt,
        "scheduler": "ddim",
        "steps": 2,
    }


def test_find_shows_the_same_text_on_a_terminal_and_in_a_pipe(
    tmp_path, store, monkeypatch
):
    piped = run(tmp_path, "find", "--limit", "3")
    monkeypatch.setattr("producer.display.tables.terminal_width", lambda: 300)
    shown = run(tmp_path, "find", "--limit", "3")

    assert piped.stdout == shown.stdout
    assert shown.stdout.splitlines()[0].split()[:2] == ["key", "prompt"]
    assert len(shown.stdout.splitlines()) == 4
    assert (
        shown.stderr
        == "The first 3 images; a larger --limit shows more, if there are any.\n"
    )


def test_find_has_columns_for_parameters_that_differ(tmp_path, store):
    texts = ["", "blurry"]
    planned = plan({"width": [64, 512], "negative_prompt": texts}, prompt="cat")
    submit(store[0].settings, "sizes", planned)

    heading, *lines = run(tmp_path, "find", "--sweep", "sizes").stdout.splitlines()

    assert heading.split()[:6] == [
        *("key", "prompt", "scheduler", "steps", "width", "negative_prompt")
    ]
    assert [line.split()[4:-3] for line in lines] == [
        ["64"],
        ["64", "blurry"],
        ["512"],
        ["512", "blurry"],
    ]


def test_find_has_columns_for_extras_that_differ(tmp_path, store):
    extras = [{}, {"clip_skip": 2}, {"clip_skip": 2, "eta": 0.5, "tag": "late try"}]
    submit(store[0].settings, "extras", plan({"extras": extras}, prompt="cat"))

    heading, *lines = run(tmp_path, "find", "--sweep", "extras").stdout.splitlines()
    assert heading.split()[:8] == [
        *("key", "prompt", "scheduler", "steps", "eta", "clip_skip", "tag", "seed")
    ]
    assert [line.split()[2:-3] for line in lines] == [
        ["ddim", "20", "0", "0"],
        ["ddim", "20", "0", "2"],
        ["ddim(eta=0.5)", "20", "0.5", "2", "late", "try"],
    ]
    some = run(tmp_path, "find", "--sweep", "extras", "--clip-skip", "2", "--eta", "0")
    assert "clip_skip" not in some.stdout
    assert some.stderr == "1 image.\n"


def test_find_has_columns_for_inputs_of_pipelines_with_their_defaults(tmp_path, store):
    model = replace(MODEL, fingerprint="f" * 32, pipeline="FluxPipeline")
    extras = [{}, {"call.true_cfg_scale": 3.5}, {"call.original_size": [8, 16]}]
    planned = plan({"extras": extras}, prompt="cat", model=model)
    submit(store[0].settings, "called", planned)

    heading, *lines = run(tmp_path, "find", "--sweep", "called").stdout.splitlines()
    assert heading.split()[3:7] == [
        *("steps", "call.original_size", "call.true_cfg_scale", "seed")
    ]
    assert [line.split()[3:-3] for line in lines] == [
        ["20", "1"],
        ["20", "3.5"],
        ["20", "[8,16]", "1"],
    ]


def test_what_a_narrow_terminal_has_no_room_for_is_said(tmp_path, store, monkeypatch):
    extras = [{"clip_skip": 1}, {"clip_skip": 2}]
    submit(store[0].settings, "extras", plan({"extras": extras}))
    monkeypatch.setattr("producer.display.tables.terminal_width", lambda: 80)

    result = run(tmp_path, "find", "--sweep", "extras")
    whole = run(tmp_path, "find", "--sweep", "extras", "--json")

    assert " clip_skip" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stderr == (
        "No room for seconds, path; a wider terminal, a pipe or --json has all "
        f"columns.\n{whole.stderr}"
    )


def test_a_pipe_has_every_row_and_nothing_is_cut(tmp_path, store):
    long = "a red circle " * 30 + "end"
    submit(store[0].settings, "long", plan({"prompt": [long], "seed": range(210)}))

    result = run(tmp_path, "find", "--sweep", "long")
    lines = result.stdout.splitlines()

    assert len(lines) == 211
    assert all(long in line for line in lines[1:])
    assert not any("…" in line or "\x1b" in line for line in lines)
    assert result.stderr == "210 images.\n"


def test_lines_of_a_pipe_end_where_their_text_ends(tmp_path, store):
    lines = run(tmp_path, "find").stdout.splitlines()

    assert all(line == line.rstrip() for line in lines)
    assert sum(line.endswith(".png") for line in lines) == 6


def test_columns_of_a_long_pipe_keep_their_places_or_grow():
    texts = ["short"] * TABLE_CHUNK + ["a longer text"] * TABLE_CHUNK + ["short"] * 3
    columns = [
        Column(name="text", read=lambda row: row),
        Column(name="end", read=lambda row: "end"),
    ]

    lines = list(table_lines(iter(texts), columns, width=None))

    assert len(lines) == len(texts) + 1
    assert lines[0] == "text   end"
    assert [line.index("end") for line in lines[1:]] == [7] * TABLE_CHUNK + [15] * (
        TABLE_CHUNK + 3
    )


@pytest.mark.parametrize("text", ["고양이", "a 🐱 cat", "漢字", "café", "plain"])
def test_letters_that_are_two_columns_wide_keep_columns_in_line(text):
    columns = [
        Column(name="text", read=lambda row: row),
        Column(name="end", read=lambda row: "end"),
    ]

    heading, *lines = table_lines([text, "a longer text"], columns, width=80)

    assert {cell_len(line.removesuffix("end")) for line in lines} == {15}
    assert heading.index("end") == 15
    assert cell_len(padded(text, 12)) == 12


def test_find_names_the_sweeps_where_nothing_matches(tmp_path, store):
    result = run(tmp_path, "find", "--seed", "77")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No image matches; the sweeps are shapes (8).\n"


def test_find_says_how_to_begin_where_there_is_no_database(tmp_path):
    make_settings(tmp_path)

    result = run(tmp_path, "find")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "`nightsweep run SPEC`" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--sweep", "shape", "did you mean 'shapes'?"),
        ("--scheduler", "ddimm", "did you mean"),
        ("--steps", "many", "steps must be a number or a range"),
        ("--state", "made", "state must be one of"),
        ("--limit", "0", "x>=1"),
    ],
)
def test_what_find_cannot_use_is_one_sentence_and_exit_code_2(
    tmp_path, store, option, value, says
):
    result = run(tmp_path, "find", option, value)

    assert result.exit_code == 2
    assert says in result.stderr


def test_show_writes_what_the_store_knows(tmp_path, store):
    opened, planned = store
    key = planned[0].job.key

    result = run(tmp_path, "show", key[:20], "--json")
    row, known = json.loads(result.stdout), opened.show(key)

    assert row["sweeps"][0].pop("cell")["steps"] == 2
    assert known["sweeps"][0].pop("cell")["steps"] == "2"
    assert row == {**known, "scheduler_options": {}, "extras": {}}


def test_show_is_text_in_a_pipe(tmp_path, store):
    key = store[1][0].job.key

    result = run(tmp_path, "show", key[:20])

    assert result.stdout.splitlines() == list(describe_image(store[0].show(key)))


def test_show_groups_what_is_known_for_people(store):
    opened, planned = store

    lines = list(describe_image(opened.show(planned[0].job.key)))

    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles[0] == f"key  {planned[0].job.key}"
    assert titles[1:] == [
        *("what", "how", "state", "seconds", "where", "environment", "sweeps")
    ]
    assert any(
        line.split() == ["file", str(opened.path(planned[0].job.key))] for line in lines
    )
    assert any(line.split() == ["warm_up", "no"] for line in lines)
    assert lines[-1].startswith("  shapes  number 1: prompt a red circle")


def test_show_says_who_rated_an_image(store):
    opened, planned = store
    known = opened.show(planned[0].job.key)
    ada = {"who": "ada", "stars": 4, "verdict": "rejected", "rated_at": ""}
    grace = {"who": "grace", "stars": 1, "verdict": None, "rated_at": ""}
    lines = list(describe_image({**known, "ratings": [ada, grace]}))
    start = lines.index("ratings")
    assert lines[start + 1 : start + 3] == [
        "  ada    4 stars, rejected",
        "  grace  1 star",
    ]


def test_show_quotes_labels_that_could_be_several(store):
    opened, planned = store
    cell = {"prompt": ["a cat, small", "a cat"], "negative_prompt": "", "steps": "2"}
    known = opened.show(planned[0].job.key)
    known["sweeps"][0]["cell"] = cell

    assert list(describe_image(known))[-1] == (
        '  shapes  number 1: prompt "a cat, small" or a cat, '
        'negative_prompt "", steps 2'
    )


def test_show_says_that_a_file_is_gone(store):
    opened, planned = store
    path = opened.path(planned[0].job.key)
    path.unlink()

    lines = list(describe_image(opened.show(planned[0].job.key)))

    assert any(line.endswith(f"{path} (file missing)") for line in lines)


def test_show_says_why_an_image_failed(store):
    opened, planned = store

    lines = list(describe_image(opened.show(planned[6].job.key)))

    assert any(line.split(maxsplit=1) == ["error", "latents are NaN"] for line in lines)
    assert not any(line.startswith("  file") for line in lines)


def test_show_refuses_an_unknown_key_with_exit_code_2(tmp_path, store):
    result = run(tmp_path, "show", "0" * 32)

    assert result.exit_code == 2
    assert "`nightsweep find` lists the keys" in result.stderr


def test_the_catalogue_is_whole_in_a_pipe(tmp_path):
    lines = run(tmp_path, "schedulers").stdout.splitlines()

    assert [line.split()[0] for line in lines[1:]] == list(NAMES)
    assert not any("…" in line for line in lines)


def test_the_catalogue_is_json_where_it_is_asked_for(tmp_path):
    result = run(tmp_path, "schedulers", "--json")
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}

    assert list(rows) == list(NAMES)
    assert rows["dpmpp_2m_karras"]["label"] == "DPM++ 2M Karras"
    assert rows["dpmpp_2m_karras"]["options"] == {"use_karras_sigmas": True}
    assert rows["heun"]["evaluations"] == "2n-1"
    assert rows["euler_a"]["deterministic"] is False
    assert not any(row["is_own"] for row in rows.values())


def test_a_model_has_the_schedulers_that_fit_and_its_own_is_marked():
    rows = {row["name"]: row for row in list_schedulers("builtin:shapes")}

    assert 10 < len(rows) < len(NAMES)
    assert {row["family"] for row in rows.values()} == {"diffusion", "distilled"}
    assert [name for name, row in rows.items() if row["is_own"]] == ["pndm", "plms"]


def test_an_unknown_model_is_refused_with_exit_code_2(tmp_path):
    result = run(tmp_path, "schedulers", "--model", "builtin:nothing")

    assert result.exit_code == 2
    assert "builtin:nothing" in result.stderr
