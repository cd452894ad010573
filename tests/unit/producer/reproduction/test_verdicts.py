import base64
import hashlib
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from producer.reproduction.outcomes import describe
from producer.reproduction.pixels import Difference
from producer.reproduction.verdicts import Verdict, judge
from storage.jobs.records import Record
from tests.unit.producer.reproduction.test_script import MADE, make_record

DETAILS = {"torch": "2.13.0", "cuda": "", "threads": "2", "python": "3.11.2"}
IMAGE = Image.new("RGB", (64, 64), (10, 20, 30))
SHA = hashlib.sha256(IMAGE.tobytes()).hexdigest()


def changed(levels: int) -> Image.Image:
    """The image with one pixel changed by so many levels."""
    image = IMAGE.copy()
    image.putpixel((0, 0), (10 + levels, 20, 30))
    return image


def record(**changes: Any) -> Record:
    values = {"gpu": "CPU", "details": DETAILS, "pixel_sha256": SHA, **changes}
    return make_record(made=replace(MADE, **values))


def answer(image: Image.Image = IMAGE, **changes: Any) -> dict[str, Any]:
    out = io.BytesIO()
    image.save(out, "PNG")
    values = {
        "image": 0,
        "png": base64.b64encode(out.getvalue()).decode(),
        "engine": "plain",
        "batch_width": 1,
        "slot": 0,
        "decode_dtype": "float32",
        "gpu": "CPU",
        "host": "here",
        "details": DETAILS,
    }
    return {**values, **changes}


def test_equal_pixels_are_equal_whatever_else_differs() -> None:
    made = judge(record(batch_width=16), answer(), stored=IMAGE)
    assert made.verdict == "equal"
    assert made.conditions == {"batch_width": (16, 1)}


def test_a_level_is_close_only_where_a_condition_explains_it() -> None:
    of_a_batch = record(batch_width=16)
    assert judge(of_a_batch, answer(changed(1)), stored=IMAGE).verdict == "close"
    assert judge(of_a_batch, answer(changed(2)), stored=IMAGE).verdict == "different"
    assert judge(record(), answer(changed(1)), stored=IMAGE).verdict == "different"


def test_the_tolerance_can_be_changed() -> None:
    one = record(engine="slots")
    wide = judge(one, answer(changed(9)), stored=IMAGE, tolerance=9)
    none = judge(one, answer(changed(1)), stored=IMAGE, tolerance=0)
    assert (wide.verdict, none.verdict) == ("close", "different")


def test_every_condition_that_differs_is_named() -> None:
    then = record(
        gpu="NVIDIA H200",
        engine="slots",
        batch_width=16,
        slot=3,
        decode_dtype="float16",
        details={**DETAILS, "torch": "2.12.0", "cuda": "13.0", "compiled": "yes"},
    )
    assert judge(then, answer(), stored=IMAGE).conditions == {
        "gpu": ("NVIDIA H200", "CPU"),
        "torch": ("2.12.0", "2.13.0"),
        "cuda": ("13.0", ""),
        "compiled": ("yes", ""),
        "engine": ("slots", "plain"),
        "batch_width": (16, 1),
        "slot": (3, 0),
        "decode_dtype": ("float16", "float32"),
    }


def test_threads_count_on_a_cpu_only_and_python_never() -> None:
    now = answer(details={**DETAILS, "threads": "8", "python": "3.14.0"})
    assert judge(record(), now, stored=IMAGE).conditions == {"threads": ("2", "8")}
    gpu = record(details={**DETAILS, "cuda": "13.0"})
    now = answer(details={**DETAILS, "cuda": "13.0", "threads": "8"})
    assert judge(gpu, now, stored=IMAGE).conditions == {}


def test_without_a_file_the_recorded_hash_decides() -> None:
    same = judge(record(), answer(), stored=None, note="gone")
    other = judge(record(), answer(changed(1)), stored=None, note="gone")
    assert (same.verdict, same.difference, same.note) == ("equal", None, "gone")
    assert (other.verdict, other.difference) == ("different", None)


def test_a_file_that_was_altered_is_said() -> None:
    made = judge(record(), answer(), stored=changed(5))
    assert made.verdict == "different"
    assert made.note == (
        "its file has other pixels than recorded; `nightsweep verify` says more"
    )
    small = judge(record(), answer(), stored=Image.new("RGB", (8, 4)))
    assert (small.verdict, small.note) == (
        "equal",
        "its file has 8 x 4 pixels; `nightsweep verify` says more",
    )


def test_a_failure_is_no_comparison() -> None:
    made = judge(record(), {"image": 0, "failure": "the model is gone"}, stored=None)
    assert (made.verdict, made.note) == ("failed", "the model is gone")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "equal"}, "equal"),
        (
            {
                "verdict": "close",
                "difference": Difference(most=1, mean=0.001234, share=0.0125),
            },
            "close, at most 1 of 255, mean 0.0012, 1.25% of the pixels",
        ),
        ({"verdict": "failed", "note": "it is gone"}, "failed; it is gone"),
    ],
)
def test_a_line_says_what_became_of_an_image(changes: Any, said: str) -> None:
    one = record()
    line = describe(Verdict(record=one, **changes))
    assert line == f"{one.key[:8]}  ddim, 20 steps, seed 0: {said}"


def test_json_has_every_figure_and_condition() -> None:
    one = record(batch_width=4)
    made = judge(one, answer(changed(3)), stored=IMAGE)
    assert made.as_json() == {
        "key": one.key,
        "verdict": "different",
        "difference": {"most": 3, "mean": 3 / (3 * 64 * 64), "share": 1 / (64 * 64)},
        "conditions": {"batch_width": {"then": 4, "now": 1}},
        "note": None,
    }
