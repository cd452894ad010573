"""Options of `worker`, and the variables that stand for them."""

import click
import pytest

from workers import cli
from workers.devices.placements import Placement


def placements_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[Placement]:
    """Return the placements that the command would serve."""
    monkeypatch.setattr("workers.devices.placements.has_nvidia", lambda: False)
    names = ("gpus", "device", "workers", "backend")
    with cli.worker.make_context("worker", [*words]) as context:
        asked = {name: context.params[name] for name in names}
        return cli._choose_placements(**asked, locks=None)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), ["cpu0", "cpu1", "cpu2"]),
        (("--backend", "flax"), ["flax0"]),
        (("--backend", "flax", "--workers", "2"), ["flax0", "flax1"]),
    ],
)
def test_the_variable_for_processes_counts_those_of_torch_only(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], names: list[str]
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_WORKERS", "3")
    found = placements_of(monkeypatch, *words)
    assert [each.name for each in found] == names
    backend = "flax" if words else "torch"
    assert {each.backend for each in found} == {backend}


def test_an_unknown_back_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.BadParameter, match="'torch', 'flax'"):
        placements_of(monkeypatch, "--backend", "jax")
