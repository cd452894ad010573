"""What is kept in a device's memory, and what is given up for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.job import Job
from storage.models.fingerprint import Fingerprints
from tests.batches import Bench, make_job
from tests.builders import SHAPES
from workers.devices.memory import free_bytes, total_bytes
from workers.engine.pipelines import Pipelines, Resident
from workers.engine.texts import SHARE, TextCache

GB = 10**9


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench("builtin:shapes")


@pytest.fixture
def encoded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the texts that are encoded from here on."""
    texts: list[str] = []
    encode = type(bench.family).encode

    def note(family: Any, text: str, clip_skip: int) -> Any:
        texts.append(text)
        return encode(family, text, clip_skip)

    monkeypatch.setattr(type(bench.family), "encode", note)
    return texts


def jobs_of(*prompts: str) -> Iterator[Job]:
    return (make_job(prompt=prompt) for prompt in prompts)


def size(bench: Bench) -> int:
    (embedding,) = bench.family.encode("a cat", 0).values()
    return embedding.nbytes


def test_texts_are_kept_up_to_so_many_bytes(bench: Bench, encoded: list[str]) -> None:
    texts = TextCache(bench.family, most_bytes=3 * size(bench))
    encoded.clear()
    for job in jobs_of("a", "b", "c", "a", "d", "a", "c", "b"):
        texts.prompt(job)
    assert encoded == ["a", "b", "c", "d", "b"], "the one that was used last stays"


def test_a_text_that_is_too_large_to_be_kept_is_still_given(
    bench: Bench, encoded: list[str]
) -> None:
    texts = TextCache(bench.family, most_bytes=size(bench) - 1)
    encoded.clear()
    (job,) = jobs_of("a")
    first, second = texts.prompt(job), texts.prompt(job)
    assert encoded == ["a", "a"]
    assert torch.equal(first["prompt_embeds"], second["prompt_embeds"])


def test_texts_of_other_jobs_can_be_given_up(bench: Bench, encoded: list[str]) -> None:
    texts = TextCache(bench.family)
    kept, *others = jobs_of("a", "b", "c")
    for job in (kept, *others):
        texts.prompt(job)
        texts.negative(job)
    encoded.clear()
    assert texts.forget_all_but([kept])
    assert not texts.forget_all_but([kept])
    for job in (kept, *others):
        texts.prompt(job)
        texts.negative(job)
    assert encoded == ["b", "c"]


def test_the_texts_of_a_model_may_take_a_share_of_the_device(bench: Bench) -> None:
    assert TextCache(bench.family)._most == int(SHARE * total_bytes("cpu"))


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
        held._residents[str(number), "float16"] = Resident(
            pipe=object(),
            scheduler_config={},
            starter=None,
            load_s=0.0,
            fingerprints=Fingerprints(current=SHAPES.fingerprint, former=()),
            place=SHAPES,
        )
    gpu.update(models=2 * GB, kept=7 * GB)
    held._make_room(2 * GB)
    assert len(held._residents) == 2
    gpu.update(models=2 * GB, kept=7 * GB)
    held._make_room(4 * GB)
    assert len(held._residents) == 0, "half of it must stay free"


def test_a_cpu_has_the_machines_memory() -> None:
    assert 0 < free_bytes("cpu") <= total_bytes("cpu")
