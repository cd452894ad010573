"""How long labels of a contact sheet are told apart."""

import pytest

from producer.sheet.wording import LONG, Wording, told_apart

FOX = "a highly detailed photo of a red fox in the fog, 35mm, bokeh, sharp focus"
CAT = "a highly detailed photo of a red cat in the snow, 35mm, bokeh, sharp focus"
DOG = "a highly detailed photo of a brown dog in the rain, 35mm, bokeh, sharp focus"


def test_short_labels_are_shown_whole() -> None:
    labels = ["a red fox in the fog", "a red fox in the snow"]
    assert told_apart(labels) == Wording("", dict(zip(labels, labels, strict=True)))


def test_long_labels_have_their_common_words_once_and_show_those_that_differ() -> None:
    assert told_apart([FOX, CAT, DOG]) == Wording(
        "a highly detailed photo of a … 35mm, bokeh, sharp focus",
        {
            FOX: "… red fox in the fog, …",
            CAT: "… red cat in the snow, …",
            DOG: "… brown dog in the rain, …",
        },
    )


def test_long_runs_of_common_words_between_those_that_differ_are_left_out_too() -> None:
    labels = [
        f"a {what} on a very long and quite empty beach at {when} in summer, 35mm"
        for what, when in (("fox", "dusk"), ("large cat", "noon"), ("fox", "noon"))
    ]
    assert told_apart(labels) == Wording(
        "a … on a very long and quite empty beach at … in summer, 35mm",
        {
            labels[0]: "… fox … dusk …",
            labels[1]: "… large cat … noon …",
            labels[2]: "… fox … noon …",
        },
    )


def test_a_label_that_is_all_of_what_the_others_begin_with_is_an_ellipsis() -> None:
    more = f"{FOX}, in the style of a woodcut"
    assert told_apart([FOX, more]).shown == {
        FOX: "… focus",
        more: "… focus, in the style of a woodcut",
    }
    assert told_apart([FOX, f"{FOX} at night"]).shown == {
        FOX: "…",
        f"{FOX} at night": "… at night",
    }


def test_long_labels_without_common_words_are_shown_whole() -> None:
    labels = ["one two three four five six seven eight nine ten", "x " * LONG]
    assert told_apart(labels) == Wording("", dict(zip(labels, labels, strict=True)))
    assert told_apart([FOX]) == Wording("", {FOX: FOX})
    assert told_apart([]) == Wording("", {})


def test_labels_that_begin_alike_for_long_are_numbered() -> None:
    same = "words that two of three prompts share for a long while, " * 3
    labels = [f"{same} fox", f"{same} cat", "something else"]
    shown = told_apart(labels).shown
    assert shown[labels[0]].startswith("1. words that two")
    assert shown[labels[1]].startswith("2. words that two")
    assert shown[labels[2]] == "3. something else"


@pytest.mark.parametrize(
    "labels",
    [
        [f"{FOX} … cat", f"{FOX} cat …", f"{FOX} cat", FOX],
        [f"the {n} of the {m} of the long road to the sea" for n in "ab" for m in "ab"],
        [
            f"{a} x x x x {b} x x x x {c} and more"
            for a in "xy"
            for b in "xy"
            for c in "xy"
        ],
        [" ".join(f"{n} a b c d{n % 97}" for n in range(600)) + f" {m}" for m in "xyz"],
        [" ".join(f"{n}{m} a b c d{n}" for n in range(800)) for m in "xyz"],
        ["고양이 " * 20 + n for n in ("하나", "둘", "")],
    ],
)
def test_different_labels_stay_different(labels: list[str]) -> None:
    shown = told_apart(labels).shown
    assert list(shown) == labels
    assert len({text[:80] for text in shown.values()}) == len(labels)
