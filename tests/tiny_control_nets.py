"""Small ControlNets with random weights, for the small pipelines."""

from pathlib import Path
from typing import Any

import diffusers
import torch

#: What the answers of ControlNets of random weights are multiplied with, so that they
#: change an image without destroying it.
SIZE = 0.3


def make_control_net(
    model: Path, folder: Path, *, seed: int = 1, **config: Any
) -> Path:
    """Save a ControlNet that fits a saved model; `config` changes its config."""
    if (model / "unet").exists():
        unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
        fitting = diffusers.ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=(4, 8, 8, 16)
        )
    else:
        network = diffusers.FluxTransformer2DModel.from_pretrained(
            model / "transformer"
        )
        fitting = diffusers.FluxControlNetModel.from_config(network.config)
    net = type(fitting).from_config({**fitting.config, **config})
    return save_control_net(net, folder, seed=seed)


@torch.no_grad()
def save_control_net(net: Any, folder: Path, *, seed: int) -> Path:
    """Set the weights from a seed, and save them.

    Those of a new ControlNet are zeros where its answers come from, so that it would
    change no image.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in net.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.xavier_normal_(weight, generator=generator)
        if "controlnet_" in name and weight.ndim > 1:
            weight.mul_(SIZE)
    net.save_pretrained(folder)
    return folder
