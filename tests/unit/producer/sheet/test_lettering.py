"""Letters on a contact sheet: which typefaces have them, and how they are set."""

from pathlib import Path

import pytest
from PIL import Image

from producer.sheet.lettering import Lettering, choose_lettering, find_illegible
from producer.sheet.typefaces import SYSTEM_TYPEFACES, Typeface, _among, find_typefaces
from tests.unit.fonts import BOXES, COLOURS, LETTERS, leave_boxes, leave_no_typeface

OWN = Typeface(None)


@pytest.fixture(params=[True, False], ids=["fontconfig", "folders"])
def boxes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Typeface:
    return Typeface(str(leave_boxes(monkeypatch, tmp_path, fontconfig=request.param)))


def test_pillows_own_typeface_is_enough_for_what_it_has() -> None:
    assert choose_lettering(["a fox", "8 · “x”…"]) == Lettering((OWN,))


def test_letters_that_no_typeface_has_are_written_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_no_typeface(monkeypatch)
    assert choose_lettering(["猫"]).legible("a  café\n猫 fox") == "a cafe ? fox"
    texts = ["a fox", "café", "猫  ·  seed 0", "猫  ·  seed 1"]
    assert find_illegible(texts, choose_lettering(texts)) == ["猫"]


def test_korean_and_emoji_come_from_a_typeface_of_the_system(boxes: Typeface) -> None:
    text = f"a {LETTERS} cat"
    lettering = choose_lettering([text])
    assert lettering == Lettering((OWN, boxes))
    assert lettering.legible(text) == text
    texts = [text, "犬"]
    assert find_illegible(texts, choose_lettering(texts)) == ["犬"]


def test_each_letter_is_drawn_by_the_first_typeface_that_has_it(
    boxes: Typeface,
) -> None:
    font = choose_lettering([LETTERS]).font(20)
    assert font.getlength("고양이") == 60
    assert font.getlength("a고b") == OWN.font(20).getlength("ab") + 20
    tall, low = drawn(font.write, "猫"), drawn(font.write, "🐱")
    assert (tall[3], low[3]) == (low[3], tall[3])  # on one base line
    assert tall[3] - tall[1] == 18
    assert low[3] - low[1] == 10
    assert drawn(font.write, "A")[3] == tall[3]


@pytest.mark.parametrize("fontconfig", [True, False])
def test_emoji_of_coloured_bitmaps_are_drawn_in_the_size_of_the_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, fontconfig: bool
) -> None:
    file = leave_boxes(monkeypatch, tmp_path, fontconfig=fontconfig, of=COLOURS)
    lettering = choose_lettering(["a 🦊"])
    font = lettering.font(20)
    image = Image.new("RGB", (60, 60))
    font.write(image, (10, 10), "a🦊", ink="white")
    orange = [
        (x, y)
        for x in range(60)
        for y in range(60)
        if image.getpixel((x, y)) == (255, 128, 0)
    ]

    assert lettering == Lettering((OWN, Typeface(str(file))))
    assert font.getlength("🦊") == pytest.approx(136 * 20 / 109, abs=0.1)
    (left, top), (right, bottom) = min(orange), max(orange)
    assert 20 <= right - left <= 26
    assert 20 <= bottom - top <= 26
    assert left > 10 + OWN.font(20).getlength("a") - 2


def test_marks_that_join_or_colour_emoji_are_left_out(boxes: Typeface) -> None:
    lettering = choose_lettering([LETTERS])
    assert lettering.legible("🐱\ufe0f\u200d🐱") == "🐱🐱"
    assert lettering.lacks("🐱\ufe0f\u200d🐱") == 0


def test_few_typefaces_are_taken_and_only_for_what_they_have(boxes: Typeface) -> None:
    assert find_typefaces(set("고猫犬")) == [boxes]
    assert find_typefaces({"犬"}) == []


def test_plain_typefaces_come_before_bold_and_slanted_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = leave_boxes(monkeypatch, tmp_path, fontconfig=False)
    for style in ("-Bold", "Light", "zSerif", "-Italic"):
        file.with_stem(f"boxes{style}").write_bytes(BOXES.read_bytes())
    assert find_typefaces({"고", "🐱"}) == [Typeface(str(file))]


def test_a_damaged_typeface_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = leave_boxes(monkeypatch, tmp_path, fontconfig=False)
    file.with_name("broken.ttf").write_bytes(BOXES.read_bytes()[:300])
    file.with_name("a note.ttf").mkdir()
    assert find_typefaces({"고"}) == [Typeface(str(file))]


def test_a_charset_of_fontconfig_is_ranges_and_single_letters() -> None:
    assert _among("20-7e a0 ac00-d7a3", set("a고\xa0猫\x7f")) == set("a고\xa0")
    assert _among("", {"a"}) == set()


def test_letters_that_a_typeface_of_this_machine_lacks_are_known() -> None:
    faces = [Typeface(file) for file in SYSTEM_TYPEFACES]
    for face in [each for each in faces if each.is_there] or [OWN]:
        assert face.has("a")
        assert Lettering((face,)).lacks("\U0010fffd") == 1
        assert Lettering((face,)).legible("a \U0010fffd") == "a ?"


def drawn(write, text: str) -> tuple[int, int, int, int]:
    """Return the box of the pixels that a text takes."""
    image = Image.new("RGB", (60, 60))
    write(image, (10, 10), text, ink="white")
    box = image.convert("L").point(lambda value: 255 * (value > 127)).getbbox()
    assert box is not None
    return box
