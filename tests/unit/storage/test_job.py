"""Job identity: what decides a picture, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import SHAPES, make_job

#: Frozen: a change here makes every image of every user again.
GOLDEN: list[tuple[dict[str, Any], str]] = [
    ({}, "b64cb3ba49f8ea60278f76ccd4e42650"),
    ({"seed": 2**63 - 1}, "c402afcc2e5459982d97eb9fe2b630ed"),
    ({"guidance": 7.0}, "f0a4ffcaaed07a2007b7ee908b23deca"),
    (
        {"prompt": "ein Kätzchen", "negative_prompt": "lowres"},
        "e05a337e29ee37f3147d5e8720c50d0b",
    ),
    ({"scheduler_options": {"clip_sample": True}}, "a59cc52399194efd2e863e528ec4bbce"),
    ({"extras": {"eta": 1.0, "strict": True}}, "6060dfe9f4a0d4158c2e243940db1ec4"),
    (
        {"width": 832, "height": 1216, "dtype": "bfloat16"},
        "cdb14a9f2034777ca27f1d190b00cfe4",
    ),
    ({"generator": "cuda"}, "053330ee59715fb0a0c022ea559b8f1b"),
]


@pytest.mark.parametrize(("changes", "key"), GOLDEN)
def test_a_key_never_changes(changes: dict[str, Any], key: str) -> None:
    assert make_job(**changes).key == key


def test_seven_and_seven_point_zero_are_one_guidance() -> None:
    assert make_job(guidance=7).key == make_job(guidance=7.0).key


def test_an_option_of_the_scheduler_makes_another_job() -> None:
    clipped = make_job(scheduler_options={"clip_sample": True})
    assert clipped.key != make_job().key


def test_a_neutral_extra_is_no_part_of_the_key() -> None:
    extras = {"eta": 0, "clip_skip": 0, "strict": False, "tag": ""}
    assert make_job(extras=extras).key == make_job().key
    assert make_job(extras=extras).extras == {}


def test_one_and_true_are_one_strict() -> None:
    assert make_job(extras={"strict": 1}).key == make_job(extras={"strict": True}).key


def test_where_a_model_was_found_is_no_part_of_the_key() -> None:
    moved = replace(SHAPES, name="/models/copy", revision="main", commit="abc")
    assert make_job(model=moved).key == make_job().key
    other = replace(SHAPES, fingerprint="1" * 32)
    assert make_job(model=other).key != make_job().key


def test_an_unknown_extra_is_refused() -> None:
    with pytest.raises(ValueError, match="extras must be of"):
        make_job(extras={"freeu": 1})


def test_guidance_must_be_finite() -> None:
    with pytest.raises(ValueError, match="guidance must be finite, got nan"):
        make_job(guidance=float("nan"))


def test_jobs_of_one_batch_share_a_group() -> None:
    job = make_job()
    same = [
        make_job(seed=9),
        make_job(steps=50),
        make_job(guidance=3.0),
        make_job(guidance=1.0),
        make_job(prompt="a dog"),
        make_job(scheduler_class="PNDMScheduler"),
    ]
    assert {other.group for other in same} == {job.group}


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 768},
        {"dtype": "float32"},
        {"extras": {"strict": True}},
        {"model": replace(SHAPES, fingerprint="1" * 32)},
    ],
)
def test_jobs_that_one_batch_cannot_hold_do_not(changes: dict[str, Any]) -> None:
    assert make_job(**changes).group != make_job().group


def test_inputs_of_a_pipeline_are_in_the_identity_by_their_whole_names():
    job = make_job(extras={"call.true_cfg_scale": 4.0, "call.original_size": (8, 16)})

    assert job.identity["call.true_cfg_scale"] == 4.0
    assert job.identity["call.original_size"] == [8, 16]
    assert job.call == {"true_cfg_scale": 4.0, "original_size": (8, 16)}
    assert job.key != make_job().key
    assert job.group == make_job().group


def test_an_input_without_a_value_is_left_out():
    assert make_job(extras={"call.true_cfg_scale": None}).key == make_job().key


@pytest.mark.parametrize("name", ["call.", "call.Big", "call.a.b", "called.a", "shift"])
def test_other_extras_than_inputs_of_pipelines_are_refused(name):
    with pytest.raises(ValueError, match="extras must be of"):
        make_job(extras={name: 1})
