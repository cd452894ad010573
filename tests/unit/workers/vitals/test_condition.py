"""What a worker says of its batch and its device."""

import re
from pathlib import Path

import pytest

from workers.vitals.condition import describe_batch, describe_device
from workers.vitals.phases import PAINTING, STORING, Activity


def test_a_batch_is_told_by_its_rows_and_how_far_they_are_on_average() -> None:
    painting = Activity(PAINTING, part=7.68, rows=16)
    assert describe_batch([painting, Activity(STORING)]) == "16 rows, 48 %"
    assert describe_batch([Activity(PAINTING, part=0.5, rows=1)]) == "1 row, 50 %"
    assert describe_batch([Activity(STORING)]) == ""


def test_a_cpu_is_told_by_the_memory_of_the_process_and_the_load() -> None:
    assert re.fullmatch(r"\d+\.\d GB · load \d+\.\d", describe_device("cpu"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 58365, 143771, 71", "61.2 of 151 GB · 71 °C"),
        ("echo '[N/A], [N/A], 71'", ""),
        ("echo No devices were found; exit 6", ""),
        ("true", ""),
    ],
)
def test_a_gpu_is_asked_through_the_drivers_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = --id=3 ] || exit 1\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert describe_device("cuda:0") == said


def test_a_machine_without_that_program_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_device("cuda:0") == ""
