"""Text encoders that leave the device: the same embeddings, from the same places."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.batches import Bench
from tests.tiny_pipelines import make_sd, make_sdxl
from workers.engine.text_encoders import TextEncoders

#: What diffusers says of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")


def places_of(*encoders: torch.nn.Module) -> list[int]:
    return [weight.data_ptr() for each in encoders for weight in each.parameters()]


def test_encoders_are_on_the_device_only_while_they_encode(tmp_path: Path) -> None:
    pipe = Bench(str(make_sdxl(tmp_path))).pipe
    encoders = pipe.text_encoder, pipe.text_encoder_2
    seen: list[list[int]] = []

    def encode(prompt: str) -> Any:
        seen.append(places_of(*encoders))
        return pipe.encode_prompt(prompt, do_classifier_free_guidance=False)

    held = TextEncoders(pipe, torch.device("cpu"))
    wrapped = held.on_device(encode)
    with torch.no_grad():
        before = wrapped("a cat")
        assert held.leave()
        away = places_of(*encoders)
        after = wrapped("a cat")
    at_home, on_device = seen
    assert places_of(*encoders) == away
    assert not {*away} & {*at_home}
    assert not {*away} & {*on_device}
    for mine, other in zip(before, after, strict=True):
        assert mine is other is None or torch.equal(mine, other)


def test_encoders_leave_after_an_error_too(tmp_path: Path) -> None:
    pipe = Bench(str(make_sd(tmp_path))).pipe
    held = TextEncoders(pipe, torch.device("cpu"))
    assert held.leave()
    away = places_of(pipe.text_encoder)

    def fail() -> None:
        msg = "full"
        raise torch.OutOfMemoryError(msg)

    with pytest.raises(torch.OutOfMemoryError):
        held.on_device(fail)()
    assert places_of(pipe.text_encoder) == away


def test_encoders_leave_once(tmp_path: Path) -> None:
    held = TextEncoders(Bench(str(make_sd(tmp_path))).pipe, torch.device("cpu"))
    assert [held.leave(), held.leave()] == [True, False]


def test_on_a_cpu_nothing_is_gained_by_it(tmp_path: Path) -> None:
    assert not Bench(str(make_sd(tmp_path))).starter.spare_encoders()
