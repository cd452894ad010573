from contextlib import closing

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image

from producer.cli import cli
from producer.commands.contact_sheet import lay_out
from producer.sheet.drawing import (
    LARGEST_SHEET_SIDE,
    NARROWEST_WITH_KEY,
    PANEL_GAP,
    _Drawing,
    draw_sheet,
    keys_px,
)
from producer.sheet.layout import add_parts, choose_axes, named, narrow, pick_parts
from producer.sheet.lettering import wrap
from producer.sheet.page import Panel, Sheet, SheetCell
from producer.sheet.pages import LARGEST_AREA, MOST_PAGES, _split
from producer.sheet.typefaces import Typeface
from storage.errors import UsageError
from storage.job import PlannedJob
from storage.sql.database import open_database
from storage.sql.schema import sweeps
from storage.store import Store
from tests.unit.filled_store import AXES, PROMPTS, filled, finish, plan, submit
from tests.unit.fonts import leave_no_typeface

SHORT = ["ddim", "euler"]
LABELS = {
    "prompt": ["a fox", "a cat in fog"],
    "seed": ["0", "1"],
    "scheduler": ["ddim", "euler"],
    "steps": ["8", "20"],
}


@pytest.fixture
def store(tmp_path):
    settings, planned = filled(tmp_path)
    return Store(settings), planned


def run(tmp_path, *arguments):
    environ = {"NIGHTSWEEP_HOME": str(tmp_path)}
    return CliRunner(env=environ).invoke(cli, ["grid", *arguments])


def sheet_of(cells, **changes):
    values = {
        "title": "night",
        "notes": "shapes",
        "row_labels": [f"row {n}" for n in range(len(cells))],
        "col_labels": [f"col {n}" for n in range(len(cells[0]))],
        "panels": [Panel("", cells)],
        "cell_px": (64, 64),
    }
    return Sheet(**{**values, **changes})


def colours(image):
    return {colour for _, colour in image.getcolors(maxcolors=1 << 24)}


@pytest.mark.parametrize(
    ("names", "rows", "cols", "panels"),
    [
        ("prompt seed scheduler steps", "scheduler", "steps", ("prompt", "seed")),
        ("prompt scheduler", "prompt", "scheduler", ()),
        ("scheduler steps", "scheduler", "steps", ()),
        ("prompt seed", "prompt", "seed", ()),
        ("prompt steps", "prompt", "steps", ()),
        ("scheduler", None, "scheduler", ()),
        ("", None, None, ()),
    ],
)
def test_axes_are_chosen_for_what_is_best_compared(names, rows, cols, panels):
    layout = choose_axes({name: LABELS[name] for name in names.split()})

    assert (layout.rows, layout.cols, layout.panels) == (rows, cols, panels)


def test_axes_that_are_asked_for_are_taken_and_the_rest_makes_panels():
    layout = choose_axes(LABELS, rows="prompt", cols="scheduler")

    assert (layout.rows, layout.cols) == ("prompt", "scheduler")
    assert layout.panels == ("seed", "steps")


def test_one_long_axis_is_a_wall_of_panels_and_a_short_one_a_line():
    long = choose_axes({"seed": [str(n) for n in range(20)]})
    short = choose_axes({"seed": ["0", "1"]})

    assert (long.rows, long.cols, long.panels) == (None, None, ("seed",))
    assert (short.rows, short.cols, short.panels) == (None, "seed", ())


def test_an_axis_with_one_value_is_noted_not_drawn():
    layout = choose_axes({**LABELS, "steps": ["20"]})

    assert layout.fixed == {"steps": "20"}
    assert "steps" not in layout.labels


@pytest.mark.parametrize(
    ("fix", "axis", "kept"),
    [
        ("steps=20", "steps", ["20"]),
        ("steps = 20.0", "steps", ["20"]),
        ("prompt=FOG", "prompt", ["a cat in fog"]),
        ("prompt=a", "prompt", LABELS["prompt"]),
    ],
)
def test_fix_keeps_a_value_or_those_that_hold_the_text(fix, axis, kept):
    assert narrow(LABELS, [fix])[axis] == kept


def test_fix_twice_keeps_both_values():
    labels = {"steps": ["4", "8", "20"]}

    assert narrow(labels, ["steps=20", "steps=4"]) == {"steps": ["4", "20"]}


@pytest.mark.parametrize(
    ("fix", "says"),
    [
        ("steps", r"AXIS=VALUE such as steps=20, got 'steps'"),
        (
            "step=20",
            r"axis of the sweep \(prompt, .*\), got 'step'; did you mean steps",
        ),
        ("steps=9", r"value of steps \(8, 20\), got '9'"),
        ("scheduler=eular", r"got 'eular'; did you mean 'euler'"),
        ("steps=", r"value of steps"),
    ],
)
def test_a_wrong_fix_is_refused_with_the_way_out(fix, says):
    with pytest.raises(UsageError, match=says):
        narrow(LABELS, [fix])


def test_one_axis_cannot_be_rows_and_columns():
    with pytest.raises(UsageError, match="two axes, got 'steps' for both"):
        choose_axes(LABELS, rows="steps", cols="steps")


def test_a_misspelt_axis_is_refused_with_the_nearest_name():
    with pytest.raises(
        UsageError, match=r"--rows .* got 'promt'; did you mean prompt\?"
    ):
        choose_axes(LABELS, rows="promt")


def test_the_parts_of_a_prompt_are_axes_only_where_they_are_asked_for():
    cells = [
        {
            "prompt": (f"{animal} in {where}",),
            "prompt.1": (animal,),
            "prompt.2": (where,),
        }
        for animal in ("fox", "cat")
        for where in ("fog", "snow")
    ]
    whole = {"prompt": [cell["prompt"][0] for cell in cells], "steps": ["8", "20"]}
    labels = add_parts(whole, cells)

    assert pick_parts(labels, ["steps"]) == whole
    assert pick_parts(labels, ["prompt.1"]) == {
        "steps": ["8", "20"],
        "prompt.1": ["fox", "cat"],
        "prompt.2": ["fog", "snow"],
    }


def test_a_sheet_holds_every_image_in_its_place(tmp_path):
    fills = [["red", "lime"], ["blue", "yellow"]]
    cells = [[], []]
    for down, row in enumerate(fills):
        for colour in row:
            path = tmp_path / f"{colour}.png"
            Image.new("RGB", (64, 64), colour).save(path)
            cells[down].append(SheetCell("done", path))

    image = draw_sheet(sheet_of(cells))

    first = _place_of((255, 0, 0), image)
    step = 64 + PANEL_GAP
    assert image.getpixel((first[0] + step, first[1])) == (0, 255, 0)
    assert image.getpixel((first[0], first[1] + step)) == (0, 0, 255)
    assert image.getpixel((first[0] + step, first[1] + step)) == (255, 255, 0)


def test_images_grow_and_shrink_into_their_cells_and_keep_their_shape(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (16, 8), "red").save(path)

    image = draw_sheet(sheet_of([[SheetCell("done", path)]]))

    assert _is((255, 0, 0), image).sum() == 64 * 32


def test_an_image_whose_file_is_gone_is_a_field_that_says_so(tmp_path):
    gone = SheetCell("done", tmp_path / "gone.png")

    assert draw_sheet(sheet_of([[gone]])).tobytes() == (
        draw_sheet(sheet_of([[SheetCell("file missing")]])).tobytes()
    )


def test_fields_without_an_image_differ_by_their_state():
    states = ("pending", "leased", "failed", "not in the sweep")

    drawings = {
        draw_sheet(sheet_of([[SheetCell(state)]])).tobytes() for state in states
    }

    assert len(drawings) == len(states)


@pytest.mark.parametrize("count", [1, 2, 7, 24, 60])
def test_panels_are_laid_out_near_the_shape_of_a_screen(count):
    cells = [[SheetCell("pending")] * 2] * 2
    panels = [Panel(f"seed {n}", cells) for n in range(count)]

    image = draw_sheet(sheet_of(cells, panels=panels))

    assert count < 7 or 0.5 < image.width / image.height < 3


def test_long_labels_are_wrapped_and_never_widen_a_column():
    cells = [[SheetCell("pending")] * 2]
    long = "a very long prompt " * 30

    plain = draw_sheet(sheet_of(cells, row_labels=["x" * 15]))
    wrapped = draw_sheet(sheet_of(cells, row_labels=[long], col_labels=[long, "b"]))

    assert wrapped.width <= plain.width + 200
    assert wrapped.height < plain.height + 200


@pytest.mark.parametrize("side", [48, 76, 192])
def test_headings_do_not_touch_each_other(side):
    cells = [[SheetCell("pending")] * 3] * 3
    words = "i" * 2_000
    sheet = sheet_of(
        cells, col_labels=[words] * 3, row_labels=[words] * 3, cell_px=(side, side)
    )
    drawing = _Drawing(sheet)
    size = drawing.label_font.size

    for text in drawing.col_texts:
        widest = max(map(drawing.label_font.getlength, text))
        assert widest <= side + PANEL_GAP - 0.5 * size
    for text in drawing.row_texts:
        assert (
            len(text) == 1 or len(text) * 1.25 * size <= side + PANEL_GAP - 0.5 * size
        )


def test_titles_of_narrow_panels_have_room_to_be_told_apart():
    cells = [[SheetCell("pending")]]
    titles = [f"seed {n}  ·  a title of some words that ends in {n}" for n in (1, 2)]
    panels = [Panel(title, cells) for title in titles]
    sheet = sheet_of(cells, panels=panels, cell_px=(48, 48))

    shown = [" ".join(text) for text in _Drawing(sheet).panel_texts]

    assert shown == [" ".join(title.split()) for title in titles]


def test_headings_of_narrow_cells_are_whole():
    cells = [[SheetCell("pending")] * 2]
    names = ["dpmpp_2m_sde_karras", "dpmpp_2m_sde_exponential"]
    sheet = sheet_of(cells, col_labels=names, cell_px=(48, 48))

    shown = ["".join(text) for text in _Drawing(sheet).col_texts]

    assert shown == names


def test_lines_fit_their_width_and_the_rest_is_an_ellipsis():
    font = Typeface(None).font(16)
    text = "a photo of a fox in dpmpp_2m_sde_karras_and_more fog"

    every = wrap(text, font, width_px=90, most_lines=20)
    some = wrap(text, font, width_px=90, most_lines=2)

    assert max(font.getlength(line) for line in every) <= 90
    assert "".join(every).replace(" ", "") == text.replace(" ", "")
    assert len(some) == 2
    assert some[1].endswith("…")
    assert wrap("", font, width_px=90, most_lines=2) == []
    assert wrap("abc", font, width_px=1, most_lines=9) == ["a", "b", "c"]


def test_an_ellipsis_stays_beside_the_word_that_it_belongs_to():
    font = Typeface(None).font(16)

    for width in range(60, 300, 7):
        for text in ("… fox in the fog …", "… fox … dusk and dawn …"):
            lines = wrap(text, font, width_px=width, most_lines=20)
            assert " ".join(lines) == text
            assert "…" not in lines


def test_a_field_that_is_too_small_for_its_word_has_none():
    small = draw_sheet(sheet_of([[SheetCell("pending")]], cell_px=(24, 24)))
    large = draw_sheet(sheet_of([[SheetCell("pending")]], cell_px=(96, 96)))

    assert (119, 119, 124) not in colours(small)
    assert (119, 119, 124) in colours(large)


@pytest.mark.parametrize("side", [NARROWEST_WITH_KEY, 64, 200])
def test_a_key_stands_below_its_image_and_no_wider(side):
    cells = [[SheetCell("leased", key="dddddddd")]] * 2
    room = keys_px(side)
    sheet = sheet_of(cells, keys_px=room, row_labels=["", ""], cell_px=(side, side))
    drawing = _Drawing(sheet)
    pixels = np.asarray(drawing.draw())
    plain = _Drawing(sheet_of(cells, row_labels=["", ""], cell_px=(side, side)))

    assert plain.height == drawing.height - 2 * room
    (x, y) = np.argwhere((pixels == (234, 241, 251)).all(2)).min(0)[::-1]  # the field
    line = pixels[y + side : y + side + room]
    inked = np.argwhere((line != pixels[0, 0]).any(2))
    (_, left), (bottom, right) = inked.min(0), inked.max(0)
    assert bottom < room - 1
    assert x <= left <= right < x + side
    assert right - left > side / 3


def test_keys_are_refused_where_nobody_could_read_them():
    with pytest.raises(UsageError, match="must be 48 pixels wide or more, got 47; "):
        keys_px(47)


def test_keys_on_a_sheet_are_those_that_find_their_images(tmp_path, store):
    opened, planned = store
    (sheet,) = lay_out(opened, "shapes", has_keys=True).sheets
    keys = [cell.key for panel in sheet.panels for row in panel.cells for cell in row]

    assert sorted(keys) == sorted(one.job.key[:8] for one in planned)
    (plain,) = lay_out(opened, "shapes").sheets
    assert (plain.keys_px, sheet.keys_px) == (0, keys_px(sheet.cell_px[0]))
    said = run(tmp_path, "shapes", "--keys", "--out", str(tmp_path / "keys.png"))
    assert said.exit_code == 0
    with Image.open(tmp_path / "keys.png") as drawn:
        assert drawn.size == draw_sheet(sheet).size


def test_an_empty_value_is_named_by_its_axis():
    assert named("prompt", "") == "(empty prompt)"
    assert named("negative_prompt", "") == "(empty negative prompt)"


def test_panels_of_long_prompts_are_told_apart_by_short_titles(store):
    opened, _ = store
    begin, end = "a highly detailed photograph of a", "meadow, 35mm, bokeh, sharp focus"
    prompts = [
        f"{begin} {what} {end}" for what in ("red fox on a pink", "blue cat on a")
    ]
    axes = {"prompt": prompts, "negative_prompt": ["", "ugly"], "seed": [1, 2]}
    submit(opened.settings, "long", plan({**axes, "steps": [2, 9], "scheduler": SHORT}))

    (sheet,) = lay_out(opened, "long").sheets

    assert [panel.title for panel in sheet.panels][:3] == [
        "seed 1  ·  (empty negative prompt)  ·  … red fox on a pink …",
        "seed 2  ·  (empty negative prompt)  ·  … red fox on a pink …",
        "seed 1  ·  negative: ugly  ·  … red fox on a pink …",
    ]
    assert len({panel.title for panel in sheet.panels}) == 8
    assert sheet.notes.endswith(f"“{begin} … {end}”")


def test_what_all_images_share_is_noted_the_texts_last(store):
    opened, _ = store
    planned = plan({"seed": [1, 2]}, negative_prompt="ugly")
    submit(opened.settings, "negative", planned)

    (sheet,) = lay_out(opened, "negative").sheets

    assert sheet.notes.endswith(
        "0 of 2 images made  ·  “a red circle on a blue background”"
        "  ·  negative: “ugly”"
    )


@pytest.mark.parametrize(("outer", "inner"), [(3, 2), (5, 3), (2, 5), (7, 4)])
def test_the_panels_of_one_prompt_stay_on_one_line(outer, inner):
    cells = [[SheetCell("pending")]]
    panels = [Panel(f"seed {n}", cells) for n in range(outer * inner)]
    sheet = sheet_of(cells, panels=panels, run=inner)

    assert _Drawing(sheet).across % inner == 0


def test_a_sheet_knows_which_panels_belong_together(store):
    opened, _ = store
    submit(opened.settings, "runs", plan({**AXES, "seed": [1, 2, 3]}))

    (sheet,) = lay_out(opened, "runs").sheets

    assert (len(sheet.panels), sheet.run) == (6, 3)


def test_pages_end_where_a_run_of_panels_ends():
    assert list(map(len, _split(range(14), 5, run=2))) == [4, 4, 4, 2]
    assert list(map(len, _split(range(14), 5))) == [5, 5, 4]


def test_a_file_that_is_gone_is_counted(tmp_path, store):
    opened, planned = store
    opened.path(planned[0].job.key).unlink()

    result = run(tmp_path, "--sweep", "shapes")

    assert result.stderr == (
        "1 page, 5 of 8 images made, 1 file missing (1 failed, 1 pending).\n"
    )


def test_a_sheet_of_which_no_file_is_there_is_refused_and_replaces_none(
    tmp_path, store
):
    opened, _ = store
    run(tmp_path, "--sweep", "shapes")
    before = (tmp_path / "grids/shapes.png").read_bytes()
    opened.settings.images.rename(tmp_path / "not mounted")

    result = run(tmp_path, "--sweep", "shapes")

    assert result.exit_code == 2
    assert (
        "a contact sheet must have an image whose file is there, but none of the 6 of "
        f"shapes is in {opened.settings.images}; mount the disk that holds them, and "
    ) in result.stderr
    assert (tmp_path / "grids/shapes.png").read_bytes() == before


def test_the_command_warns_of_letters_that_it_cannot_write(
    tmp_path, store, monkeypatch
):
    leave_no_typeface(monkeypatch)
    planned = plan({"prompt": [f"{animal} red" for animal in "猫犬鳥魚a"]})
    submit(store[0].settings, "cats", planned)
    finish(store[0].settings, planned)

    result = run(tmp_path, "cats")

    assert 'all letters of "猫 red", "犬 red", "鳥 red" and 1 more' in result.stderr


def test_a_sweep_is_laid_out_from_what_varied_in_it(store):
    pages = lay_out(store[0], "shapes")
    (sheet,) = pages.sheets

    assert sheet.title == "shapes"
    assert sheet.row_labels == ["ddim", "dpmpp_2m_karras"]
    assert sheet.col_labels == ["steps 2", "steps 20"]
    assert [panel.title for panel in sheet.panels] == list(PROMPTS)
    assert sheet.cell_px == (192, 192)
    states = [cell.state for row in sheet.panels[1].cells for cell in row]
    assert states == ["done", "done", "failed", "pending"]
    assert pages.states == {"done": 6, "failed": 1, "pending": 1}
    for part in ("builtin:shapes", "64 x 64", "guidance 2.5", "seed 0", "6 of 8"):
        assert part in sheet.notes
    assert "steps" not in sheet.notes


def test_what_is_fixed_is_noted_and_leaves_two_axes(store):
    (sheet,) = lay_out(store[0], "shapes", fixes=["steps=20"]).sheets

    assert (len(sheet.row_labels), len(sheet.col_labels)) == (2, 2)
    assert sheet.row_labels == list(PROMPTS)
    assert "steps 20" in sheet.notes


def test_a_cell_that_no_job_fills_is_not_in_the_sweep(store):
    opened, _ = store
    planned = plan({"scheduler": ["ddim", "pndm"], "steps": [3, 5]})
    submit(opened.settings, "gap", planned[:3])

    (sheet,) = lay_out(opened, "gap").sheets

    assert sheet.panels[0].cells[1][1] == SheetCell("not in the sweep")


def test_images_of_an_earlier_revision_are_not_shown(store):
    opened, _ = store
    submit(opened.settings, "shapes", plan({**AXES, "steps": [20]}))

    (sheet,) = lay_out(opened, "shapes").sheets

    assert sheet.col_labels == ["ddim", "dpmpp_2m_karras"]
    assert "steps 20" in sheet.notes


def test_the_parts_of_a_prompt_make_rows_and_columns(store):
    opened, _ = store
    words = [
        (colour, ground) for colour in ("red", "green") for ground in ("blue", "pink")
    ]
    planned = []
    for number, (colour, ground) in enumerate(words):
        text = f"a {colour} circle on a {ground} background"
        (one,) = plan({"prompt": [text]})
        parts = {**one.cell, "prompt.1": colour, "prompt.2": ground}
        planned.append(_changed(one, cell=parts, position=number))
    submit(opened.settings, "parts", planned)

    (sheet,) = lay_out(opened, "parts", rows="prompt.1", cols="prompt.2").sheets
    (whole,) = lay_out(opened, "parts").sheets

    assert (sheet.row_labels, sheet.col_labels) == (["red", "green"], ["blue", "pink"])
    assert len(sheet.panels) == 1
    assert len(whole.col_labels) == 4


def test_images_that_share_a_place_are_counted(store):
    opened, _ = store
    planned = [_changed(one, cell={}) for one in plan({"seed": [5, 6, 7]})]
    submit(opened.settings, "same", planned)

    pages = lay_out(opened, "same")

    assert pages.hidden == 2
    assert pages.states == {"pending": 1}


def test_a_large_sweep_is_paged_and_no_page_is_too_large(store):
    opened, _ = store
    planned = plan(
        {"seed": range(100, 220), "steps": range(1, 31)}, width=512, height=512
    )
    submit(opened.settings, "large", planned[:1800])
    submit(opened.settings, "large", planned)

    pages = lay_out(opened, "large", rows="seed", cols="steps")

    assert 1 < len(pages.sheets) <= MOST_PAGES
    assert sum(len(sheet.row_labels) for sheet in pages.sheets) == 120
    for number, sheet in enumerate(pages.sheets, start=1):
        assert sheet.title == f"large  ·  page {number} of {len(pages.sheets)}"
        width, height = sheet.cell_px
        assert len(sheet.col_labels) * (width + PANEL_GAP) < LARGEST_SHEET_SIDE
        assert len(sheet.row_labels) * (height + PANEL_GAP) < LARGEST_SHEET_SIDE


def test_pages_of_many_small_panels_are_not_too_large_for_their_titles(store):
    opened, _ = store
    prompts = [f"number {n} of many prompts, red on a blue ground" for n in range(1500)]
    submit(opened.settings, "walls", plan({"prompt": prompts, "seed": [0]}))

    pages = lay_out(opened, "walls", cell=16)

    assert len(pages.sheets) > 1
    for sheet in pages.sheets:
        drawing = _Drawing(sheet)
        assert max(drawing.width, drawing.height) < 1.1 * LARGEST_SHEET_SIDE
        assert drawing.width * drawing.height < 1.5 * LARGEST_AREA


def test_too_many_pages_are_refused_with_the_way_out(store, monkeypatch):
    monkeypatch.setattr("producer.sheet.pages.LARGEST_AREA", 20_000)
    monkeypatch.setattr("producer.sheet.pages.MOST_PAGES", 3)

    with pytest.raises(UsageError, match=r"at most 3 pages, got .* --fix"):
        lay_out(store[0], "shapes")


def test_too_many_images_are_refused_with_the_way_out(store, monkeypatch):
    monkeypatch.setattr("producer.commands.contact_sheet.MOST_IMAGES", 7)

    with pytest.raises(UsageError, match=r"at most 7 images, .* such as seed:0"):
        lay_out(store[0], "shapes")
    assert lay_out(store[0], "shapes", fixes=["steps=2"]) is not None


def test_the_command_writes_a_picture_and_prints_its_path(tmp_path, store):
    result = run(tmp_path, "--sweep", "shapes")
    path = tmp_path / "grids" / "shapes.png"

    assert result.exit_code == 0
    assert result.stdout == f"{path}\n"
    assert result.stderr == "1 page, 6 of 8 images made (1 failed, 1 pending).\n"
    with Image.open(path) as image:
        assert {(0, 0, 255), (255, 192, 203)} <= colours(image.convert("RGB"))


def test_a_sheet_of_a_sweep_that_is_not_whole_says_so(tmp_path, store):
    url = store[0].settings.database_url
    with closing(open_database(url)) as database, database.write() as connection:
        connection.execute(sa.update(sweeps).values(submitting=20))

    said = run(tmp_path, "shapes").stderr.splitlines()[-1]
    assert "cut off, or is still at work: 8 of 20 images stored" in said


def test_the_command_numbers_the_files_of_several_pages(tmp_path, store, monkeypatch):
    monkeypatch.setattr("producer.sheet.pages.LARGEST_AREA", 200_000)
    out = tmp_path / "night.png"

    result = run(tmp_path, "--sweep", "shapes", "--out", str(out))

    assert result.stdout.splitlines() == [
        str(out.with_name("night-1.png")),
        str(out.with_name("night-2.png")),
    ]
    for line in result.stdout.splitlines():
        with Image.open(line) as image:
            assert image.format == "PNG"


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "WEBP"])
def test_the_suffix_of_the_file_says_its_format(tmp_path, store, suffix):
    out = tmp_path / f"night.{suffix}"

    result = run(tmp_path, "shapes", "--out", str(out))

    assert result.stdout == f"{out}\n"
    formats = {"jpg": "jpeg"}
    with Image.open(out) as image:
        assert image.format == formats.get(suffix, suffix).upper()
        assert image.size[0] > 500


def test_a_sweep_is_named_as_other_commands_name_it(tmp_path, store):
    named = run(tmp_path, "shapes")

    assert named.exit_code == 0
    assert named.stdout == run(tmp_path, "--sweep", "shapes").stdout


@pytest.mark.parametrize("size", [48, 64, 100, 256])
def test_a_cell_has_the_size_that_was_asked_for(tmp_path, store, size):
    (sheet,) = lay_out(store[0], "shapes", cell=size).sheets
    assert sheet.cell_px == (size, size)

    result = run(tmp_path, "shapes", "--cell", str(size), "--fix", "steps=2")
    with Image.open(result.stdout.strip()) as image:
        assert sum(_row_of((0, 0, 255), image)) == 2 * size


def test_the_longer_side_of_a_cell_is_what_is_asked_for(store):
    opened, _ = store
    submit(opened.settings, "wide", plan({"seed": [1, 2]}, width=96, height=48))

    (sheet,) = lay_out(opened, "wide", cell=200).sheets

    assert sheet.cell_px == (200, 100)


@pytest.mark.parametrize("more", [[], ["--fix", "steps=2"]])
def test_a_sweep_of_which_nothing_is_made_is_refused_at_once(
    tmp_path, store, monkeypatch, more
):
    monkeypatch.setattr("producer.sheet.files.draw_sheet", None)
    monkeypatch.setattr("producer.commands.contact_sheet.MOST_IMAGES", 2)
    planned = plan({"seed": [1, 2, 3], "steps": [2, 20]})
    submit(store[0].settings, "later", planned)

    result = run(tmp_path, "later", *more)

    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.split())
    assert "must have an image that is made, but later has none yet (6 pend" in said
    assert said.endswith(" status --sweep later` says how far it is.")
    finish(store[0].settings, planned[:1], fail={planned[0].job.key})
    assert "has none yet (1 failed, 5 pending)" in run(tmp_path, "later").stderr


def test_what_is_chosen_and_not_made_is_refused(tmp_path, store):
    planned = plan({"seed": [1, 2], "steps": [3, 30]})
    submit(store[0].settings, "half", planned)
    finish(store[0].settings, planned[:2])

    result = run(tmp_path, "half", "--fix", "seed=2")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "has none yet where --fix looks (2 pending)" in result.stderr


def test_pages_leave_out_panels_and_rows_of_which_nothing_is_begun(
    tmp_path, store, monkeypatch
):
    monkeypatch.setattr("producer.sheet.pages.LARGEST_AREA", 300_000)
    planned = plan({"seed": range(20), "scheduler": ["ddim", "pndm"], "steps": [3, 5]})
    submit(store[0].settings, "begun", planned)
    finish(store[0].settings, planned[:14])

    result = run(tmp_path, "begun")
    pages = lay_out(store[0], "begun")

    assert sum(len(sheet.panels) for sheet in pages.sheets) == 4
    assert [panel.title for panel in pages.sheets[0].panels][:2] == ["seed 0", "seed 1"]
    assert result.stderr.endswith(
        "14 of 16 images made (2 pending); 64 more are in panels and rows of which "
        "nothing is made yet.\n"
    )


def test_a_row_of_which_all_failed_is_not_left_out(store, monkeypatch):
    monkeypatch.setattr("producer.sheet.pages.LARGEST_AREA", 300_000)
    planned = plan({"seed": range(20), "scheduler": ["ddim", "pndm"], "steps": [3, 5]})
    submit(store[0].settings, "broken", planned)
    finish(store[0].settings, planned[:8], fail={each.job.key for each in planned[4:8]})

    pages = lay_out(store[0], "broken")

    assert pages.states == {"done": 4, "failed": 4}
    assert pages.unbegun == 72


def test_a_large_sheet_says_how_far_it_is(tmp_path, store, monkeypatch):
    monkeypatch.setattr("producer.sheet.pages.LARGEST_AREA", 200_000)
    monkeypatch.setattr("producer.display.counting.COUNT_LINE_S", 0.0)

    said = run(tmp_path, "shapes").stderr.splitlines()

    assert "Reading images: 8" in said
    assert "Drawing pages: 2 of 2" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--sweep", "shape"], 2, "submitted, got 'shape'; did you mean 'shapes'?"),
        (["shape"], 2, "submitted, got 'shape'; did you mean 'shapes'?"),
        (
            ["shapes", "--sweep", "other"],
            2,
            "submitted, got 'other'; `nightsweep status`",
        ),
        (["shapes", "--cell", "3"], 2, "--cell"),
        (["--sweep", "shapes", "--rows", "promt"], 2, "did you mean prompt?"),
        (["--sweep", "shapes", "--fix", "steps=3"], 2, "value of steps (2, 20)"),
        (["shapes", "--out", "x.gif"], 2, "end in .png, .jpg, .jpeg or .webp, got"),
        (["--sweep", "shapes", "--out", "/dev/null/x.png"], 2, "a folder that exists"),
        (["--sweep", "shapes", "--out", "/nope/x.png"], 2, "got '/nope/x.png'; make"),
        ([], 2, "must name a sweep, got none; write `nightsweep grid NAME`"),
    ],
)
def test_what_the_command_cannot_use_is_one_sentence(
    tmp_path, store, arguments, code, says
):
    result = run(tmp_path, *arguments)

    assert result.exit_code == code
    assert says in result.stderr


def test_a_sweep_that_is_made_since_shows_its_images(store):
    opened, planned = store
    finish(opened.settings, planned[7:])

    pages = lay_out(opened, "shapes")

    assert pages.states == {"done": 7, "failed": 1}


def _changed(one, **changes):
    values = {name: getattr(one, name) for name in PlannedJob.__dataclass_fields__}
    return PlannedJob(**{**values, **changes})


def _is(colour, image):
    """Return whether each pixel is `colour`: (height, width)."""
    return (np.asarray(image.convert("RGB")) == colour).all(axis=-1)


def _row_of(colour, image):
    """For each pixel of the row that crosses the first cell, whether it is `colour`."""
    return max(_is(colour, image), key=np.sum)


def _place_of(colour, image):
    y, x = np.argwhere(_is(colour, image))[0].tolist()
    return x, y
