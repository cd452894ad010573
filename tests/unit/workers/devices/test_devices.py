"""Placements: which device each worker gets, and which wishes are refused."""

import os
from pathlib import Path

import pytest

from storage.errors import DeviceError, UsageError
from storage.host import programs
from storage.host.gpus import has_nvidia
from tests.unit.fake_torch import install_torch
from workers.devices import placements as devices
from workers.devices.device_locks import gpu_lock
from workers.devices.gpu_probe import ask_torch
from workers.devices.placements import Placement, choose_placements, probe


@pytest.fixture(autouse=True)
def _every_gpu_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(tmp_path, monkeypatch, names=["H200", "H200"], built_for="12.8")
    monkeypatch.setattr(devices, "has_nvidia", lambda: True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_nvidia", lambda: False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(6)))


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_gets_one_worker_that_sees_no_other() -> None:
    assert choose_placements() == [
        Placement(
            name=f"gpu{number}",
            device="cuda:0",
            visible=str(number),
            gpu="H200",
            lock=gpu_lock(f"1f2e-{number}"),
        )
        for number in range(2)
    ]
    assert choose_placements(gpus="all") == choose_placements()


@pytest.mark.usefixtures("two_gpus")
def test_some_gpus_may_be_chosen() -> None:
    assert [each.visible for each in choose_placements(gpus="1")] == ["1"]
    assert [each.visible for each in choose_placements(gpus="1, 0,1")] == [
        "0",
        "1",
    ]


@pytest.mark.usefixtures("two_gpus")
def test_gpus_count_among_the_visible_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f")
    placements = choose_placements()
    assert [each.visible for each in placements] == ["3", "GPU-5f"]
    # Others count from 0, too, and have other GPUs: no two have one name, or one log.
    assert [each.name for each in placements] == ["gpu3", "gpu-5f"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("gpus", ["2", "0,2", "-1", "first", ","])
def test_a_gpu_that_is_not_there_is_refused(gpus: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_placements(gpus=gpus)
    assert str(caught.value) == f"--gpus must be `all` or numbers 0 to 1, got {gpus!r}."


@pytest.mark.usefixtures("two_gpus")
def test_one_process_serves_one_gpu() -> None:
    with pytest.raises(UsageError, match="--workers is for CPUs, one process serves"):
        choose_placements(workers=2)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_may_be_left_alone() -> None:
    placements = choose_placements(device="cpu", workers=1)
    assert [(each.name, each.device) for each in placements] == [("cpu0", "cpu")]


def test_no_gpu_and_some_gpus_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--gpus and --device cpu exclude each other"):
        choose_placements(gpus="0", device="cpu")


@pytest.mark.usefixtures("no_gpu")
def test_a_cpu_gets_one_worker_a_core_with_one_thread() -> None:
    placements = choose_placements()
    assert [each.name for each in placements] == [f"cpu{n}" for n in range(6)]
    assert {(each.device, each.threads, each.visible) for each in placements} == {
        ("cpu", 1, None)
    }


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("workers", "threads"), [(1, 6), (2, 3), (4, 1), (9, 1)])
def test_fewer_workers_share_the_cores(workers: int, threads: int) -> None:
    placements = choose_placements(workers=workers)
    assert [each.threads for each in placements] == [threads] * workers


def names(placements: list[Placement]) -> list[str]:
    return [each.name for each in placements]


@pytest.mark.usefixtures("no_gpu")
def test_cores_that_others_have_are_waited_for(tmp_path: Path) -> None:
    first = choose_placements(workers=4, locks=tmp_path)
    assert names(first) == ["cpu0", "cpu1", "cpu2", "cpu3"]
    assert names(choose_placements(locks=tmp_path)) == [
        *("cpu4", "cpu5", "cpu0", "cpu1", "cpu2", "cpu3")
    ]


@pytest.mark.usefixtures("no_gpu")
def test_who_asks_for_more_workers_than_cores_are_free_gets_them(
    tmp_path: Path,
) -> None:
    assert names(choose_placements(workers=4, locks=tmp_path)) == [
        *("cpu0", "cpu1", "cpu2", "cpu3")
    ]
    assert names(choose_placements(workers=4, locks=tmp_path)) == [
        *("cpu4", "cpu5", "cpu6", "cpu7")
    ]


@pytest.mark.usefixtures("no_gpu")
def test_who_joins_gets_no_more_workers_than_there_are_cores(tmp_path: Path) -> None:
    def join(count: int) -> list[str]:
        return names(choose_placements(workers=count, locks=tmp_path, joins=True))

    assert join(4) == ["cpu0", "cpu1", "cpu2", "cpu3"]
    assert join(1) == ["cpu4"]
    assert join(4) == ["cpu5", "cpu0", "cpu1", "cpu2"], "one is free"
    assert join(1) == ["cpu0"], "none is"
    assert join(8) == ["cpu6", "cpu7", "cpu0", "cpu1", "cpu2", "cpu3", "cpu4", "cpu5"]


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_on_purpose_is_none(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert not has_nvidia()


@pytest.mark.parametrize(
    ("built_for", "reason"),
    [
        (None, "torch 2.13.0 is built for CPUs only"),
        ("12.8", "The NVIDIA driver on your system is too old"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_refused_with_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    built_for: str | None,
    reason: str,
) -> None:
    install_torch(tmp_path, monkeypatch, names=[], built_for=built_for)
    monkeypatch.setattr(devices, "has_nvidia", lambda: True)
    with pytest.raises(DeviceError) as caught:
        choose_placements()
    assert str(caught.value) == (
        f"A GPU must be usable by torch, but this machine's is not: {reason}; install "
        "the torch wheel for its driver, or choose --device cpu."
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "raise ImportError('libcudart.so.12: not found')",
            "ImportError: libcudart.so.12: not found",
        ),
        (r"import os; os.write(2, b'gone: \xff'); os._exit(1)", "gone: \ufffd"),
        ("import os; os.abort()", "no answer"),
        ("import time; time.sleep(60)", "no answer in 0.5 s"),
    ],
)
def test_a_torch_that_breaks_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    install_torch(tmp_path, monkeypatch, names=[], built_for=None)
    (tmp_path / "torch.py").write_text(code)
    if "sleep" in code:
        monkeypatch.setattr(programs, "ANSWER_S", 0.5)
    with pytest.raises(DeviceError) as caught:
        probe()
    assert str(caught.value) == (
        f"A GPU must be usable by torch, but this machine's is not: {reason}; install "
        "the torch wheel for its driver, or choose --device cpu."
    )


def test_torch_is_asked_for_gpus_in_a_process_of_its_own() -> None:
    found, reason = ask_torch()
    assert found or reason


@pytest.mark.usefixtures("two_gpus")
def test_a_worker_of_flax_has_all_devices_that_it_may_use(tmp_path: Path) -> None:
    (all_of_them,) = choose_placements(backend="flax", locks=tmp_path)
    assert (all_of_them.name, all_of_them.backend) == ("flax0", "flax")
    assert (all_of_them.device, all_of_them.visible) == ("any", None)
    (some,) = choose_placements(backend="flax", gpus="1")
    assert some.visible == "1"
    (none,) = choose_placements(backend="flax", device="cpu")
    assert (none.device, none.visible) == ("cpu", "")


@pytest.mark.usefixtures("no_gpu")
def test_workers_of_flax_take_no_core_from_those_of_torch(tmp_path: Path) -> None:
    torch = choose_placements(workers=2, locks=tmp_path)
    (flax,) = choose_placements(backend="flax", locks=tmp_path)
    (second,) = choose_placements(backend="flax", workers=1, locks=tmp_path)
    assert [one.name for one in torch] == ["cpu0", "cpu1"]
    assert (flax.name, second.name) == ("flax0", "flax1")
    for one in (*torch, flax, second):
        assert one.lock
        one.lock.release()
