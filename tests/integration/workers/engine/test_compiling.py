"""The compiled networks: what the supervisor hears of them, and what stays."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from workers.engine.compiling import Compiled
from workers.vitals import phases


@pytest.fixture
def phases_seen(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the phases that were under way in each compilation."""
    seen: list[list[str]] = []

    def compile_graph(graph: Any, _inputs: object) -> Any:
        seen.append([one.phase for one in phases.under_way()])
        return graph.forward

    by_hand = partial(torch.compile, backend=compile_graph)
    monkeypatch.setattr(torch, "compile", by_hand)
    return seen


def starter_of(network: torch.nn.Module, **parts: Any) -> Any:
    return SimpleNamespace(networks={"unet": network}, pipe=SimpleNamespace(**parts))


def test_the_first_call_of_a_shape_is_told_as_a_compilation(
    phases_seen: list[list[str]],
) -> None:
    network = torch.nn.Conv2d(1, 1, 1)
    starter = starter_of(network)
    made = Compiled(starter)
    with phases.during(phases.PAINTING), made.in_place():
        for width, count in ((2, 1), (2, 1), (4, 2)):
            starter.networks["unet"](torch.zeros(width, 1, 2, 2))
            assert made.count == count
            assert [one.phase for one in phases.under_way()] == ["painting"]
    assert phases_seen == [["compiling"], ["compiling"]]
    assert made.seconds > 0
    assert starter.networks == {"unet": network}


def test_networks_that_come_are_compiled_and_those_that_go_are_forgotten(
    phases_seen: list[list[str]],
) -> None:
    network, net = torch.nn.Conv2d(1, 1, 1), torch.nn.Conv2d(1, 1, 1)
    starter = starter_of(network)
    made = Compiled(starter)
    with made.in_place():
        starter.networks["unet"](torch.zeros(1, 1, 2, 2))
    starter.networks["controlnet"] = net
    with made.in_place():
        starter.networks["unet"](torch.zeros(1, 1, 2, 2))
        starter.networks["controlnet"](torch.zeros(1, 1, 2, 2))
        del starter.networks["controlnet"]
    assert starter.networks == {"unet": network}
    assert made.count == 2
    assert phases_seen


# torch about its own compiler.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_decoder_is_compiled_only_while_batches_run(
    phases_seen: list[list[str]],
) -> None:
    vae = AutoencoderKL(norm_num_groups=4, block_out_channels=(8,), latent_channels=4)
    own, latents = vae.decoder, torch.zeros(1, 4, 4, 4)
    starter = starter_of(torch.nn.Conv2d(1, 1, 1), vae=vae)
    made = Compiled(starter)
    with torch.no_grad():
        before = vae.decode(latents).sample
        with made.in_place():
            within = vae.decode(latents).sample
        assert vae.decoder is own
        after = vae.decode(latents).sample
    assert made.count == 1
    assert phases_seen[0] == ["compiling"]
    torch.testing.assert_close(within, before)
    assert torch.equal(after, before)


def test_an_autoencoder_of_another_kind_is_left_alone(
    phases_seen: list[list[str]],
) -> None:
    tiny = SimpleNamespace(decoder=torch.nn.Conv2d(1, 1, 1))
    starter = starter_of(torch.nn.Conv2d(1, 1, 1), vae=tiny)
    own = tiny.decoder
    with Compiled(starter).in_place():
        assert tiny.decoder is own
    assert not phases_seen
