"""The compiled network: what the supervisor hears of it."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workers.engine.compiling import Compiled
from workers.vitals import phases


def test_the_first_call_of_a_shape_is_told_as_a_compilation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[list[str]] = []

    def compile_graph(graph: Any, _inputs: object) -> Any:
        compiled.append([one.phase for one in phases.under_way()])
        return graph.forward

    by_hand = partial(torch.compile, backend=compile_graph)
    monkeypatch.setattr(torch, "compile", by_hand)
    network = torch.nn.Conv2d(1, 1, 1)
    starter: Any = SimpleNamespace(networks={"unet": network})
    made = Compiled(starter)
    with phases.during(phases.PAINTING), made.in_place():
        for width, is_new in ((2, True), (2, False), (4, True)):
            assert made.note("signature", width) == is_new
            starter.networks["unet"](torch.zeros(width, 1, 2, 2))
            assert [one.phase for one in phases.under_way()] == ["painting"]
    assert compiled == [["compiling"], ["compiling"]]
    assert starter.networks == {"unet": network}
