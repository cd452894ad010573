"""What is kept in a device's memory, and what is given up for it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from storage.models.fingerprint import Fingerprints
from tests.batches import Bench
from tests.builders import SHAPES
from workers.devices.memory import free_bytes, total_bytes
from workers.engine.adapters import Adapters
from workers.engine.control_nets import ControlNets
from workers.engine.pipelines import Pipelines, Resident
from workers.engine.starter import Starter
from workers.engine.texts import SHARE, TextCache

GB = 10**9


class Encoder:
    """An `encode_prompt`: 400 bytes for each pair of texts; it notes them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, prompt: str, **_others: Any) -> tuple[torch.Tensor, None]:
        self.asked.append(prompt)
        return torch.full((1, 100), float(len(self.asked))), None


def texts_of(encoder: Encoder, most_bytes: int | None = None) -> TextCache:
    return TextCache(encoder, device=torch.device("cpu"), most_bytes=most_bytes)


def test_texts_are_kept_up_to_so_many_bytes() -> None:
    encoder = Encoder()
    texts = texts_of(encoder, most_bytes=1200)
    for prompt in ("a", "b", "c", "a", "d", "a", "c", "b"):
        texts.encode(prompt, negative_prompt=None)
    assert encoder.asked == ["a", "b", "c", "d", "b"], "the one used last stays"


def test_a_text_that_is_too_large_to_be_kept_is_still_given() -> None:
    encoder = Encoder()
    texts = texts_of(encoder, most_bytes=399)
    first, second = texts.encode("a"), texts.encode("a")
    assert encoder.asked == ["a", "a"]
    assert (first[0][0, 0], second[0][0, 0]) == (1, 2)


def test_texts_of_other_jobs_can_be_given_up() -> None:
    encoder = Encoder()
    texts = texts_of(encoder)
    for prompt in ("a cat", "a", "it's"):
        texts.encode(prompt, negative_prompt="red")
    assert texts.forget_all_but(["a cat", "it's"])
    assert not texts.forget_all_but(["a cat", "it's"])
    encoder.asked.clear()
    for prompt in ("a cat", "a", "it's"):
        texts.encode(prompt, negative_prompt="red")
    assert encoder.asked == ["a"]


def test_a_text_is_known_with_all_that_it_was_encoded_with() -> None:
    encoder = Encoder()
    texts = texts_of(encoder)
    for given in ({}, {"clip_skip": 1}, {"clip_skip": 1}, {"negative_prompt": ""}):
        texts.encode("a", **given)
    assert len(encoder.asked) == 3
    for _ in range(2):
        texts.encode("a", prompt_embeds=torch.zeros(1, 4))
    assert len(encoder.asked) == 5, "embeddings are not compared"


def test_a_list_of_embeddings_that_a_pipeline_changes_stays_as_it_was() -> None:
    texts = TextCache(lambda _prompt: [torch.zeros(1)], device=torch.device("cpu"))
    texts.encode("a").append(torch.ones(1))
    assert len(texts.encode("a")) == 1


def test_the_texts_of_a_model_may_take_a_share_of_the_device() -> None:
    assert texts_of(Encoder())._most == int(SHARE * total_bytes("cpu"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Have a GPU of 10 GB; give what is in use of it, and what torch keeps."""
    used = {"models": 0, "kept": 0}

    class Properties:
        total_memory = 10 * GB

    def mem_get_info(_device: str) -> tuple[int, int]:
        return 10 * GB - sum(used.values()), 10 * GB

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: used.update(kept=0))
    return used


def test_what_torch_keeps_of_a_gpu_is_free(gpu: dict[str, int]) -> None:
    gpu.update(models=2 * GB, kept=7 * GB)
    assert free_bytes("cuda:0") == 8 * GB
    assert total_bytes("cuda:0") == 10 * GB


def test_no_model_leaves_for_memory_that_torch_only_keeps(
    gpu: dict[str, int], tmp_path: Path
) -> None:
    held = Pipelines("cuda:0", digests=tmp_path / "digests.json")
    for number in range(2):
        starter = Starter(Bench("builtin:shapes").pipe, {})
        held._residents[str(number), "float16"] = Resident(
            starter=starter,
            adapters=Adapters(starter, digests=tmp_path / "digests.json", places=None),
            control_nets=ControlNets(starter, digests=tmp_path / "d", places=None),
            load_s=0.0,
            fingerprints=Fingerprints(current=SHAPES.fingerprint, former=()),
            place=SHAPES,
        )
    gpu.update(models=2 * GB, kept=7 * GB)
    held._make_room(7 * GB)
    assert len(held._residents) == 2
    gpu.update(models=2 * GB, kept=7 * GB)
    held._make_room(8 * GB)
    assert len(held._residents) == 0, "a tenth of it must stay free"


def test_a_cpu_has_the_machines_memory() -> None:
    assert 0 < free_bytes("cpu") <= total_bytes("cpu")
