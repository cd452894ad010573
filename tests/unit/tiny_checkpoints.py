"""Headers of single-file checkpoints, with as few tensors as tell what they are.

The tensors have the shapes of the real ones. Their data is a hole in the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.unit.tiny_folders import write

UNET = "model.diffusion_model."
IN = f"{UNET}input_blocks.0.0.weight"
TEXTS = f"{UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
VAE = {"first_stage_model.decoder.conv_in.bias": (512,)}
Shapes = Mapping[str, tuple[int, ...]]

SD1: Shapes = {
    IN: (320, 4, 3, 3),
    TEXTS: (640, 768),
    "cond_stage_model.transformer.text_model.final_layer_norm.bias": (768,),
    **VAE,
}
SD2: Shapes = {
    IN: (320, 4, 3, 3),
    TEXTS: (640, 1024),
    "cond_stage_model.model.ln_final.bias": (1024,),
    **VAE,
}
SDXL: Shapes = {
    IN: (320, 4, 3, 3),
    TEXTS: (640, 2048),
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias": (768,),
    "conditioner.embedders.1.model.ln_final.bias": (1280,),
    **VAE,
}
REFINER: Shapes = {
    IN: (384, 4, 3, 3),
    TEXTS: (768, 1280),
    "conditioner.embedders.0.model.ln_final.bias": (1280,),
    **VAE,
}
FLUX: Shapes = {
    "img_in.weight": (3072, 64),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "guidance_in.in_layer.bias": (3072,),
    "single_blocks.0.norm.key_norm.scale": (128,),
}


def write_checkpoint(
    file: Path,
    shapes: Shapes,
    *,
    metadata: Mapping[str, str] | None = None,
    numbers: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a safetensors file in float16, of zeros but for the `numbers`."""
    data = {name: each.astype("<f2") for name, each in (numbers or {}).items()}
    sizes = {name: each.shape for name, each in data.items()}
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    places = {}
    for name, shape in {**shapes, **sizes}.items():
        start, end = end, end + 2 * int(np.prod(shape, dtype=int))
        places[name] = start
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
        for name, each in data.items():
            stream.seek(8 + len(text) + places[name])
            stream.write(each.tobytes())
    return file


def make_flux_folder(folder: Path, *, embeds_guidance: bool = True) -> Path:
    """Write a Flux folder in diffusers format, without the transformer's weights."""
    index = {
        "_class_name": "FluxPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write(folder, "model_index.json", index)
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    write(folder, "scheduler/scheduler_config.json", scheduler)
    network = {
        "guidance_embeds": embeds_guidance,
        "num_layers": 1,
        "num_single_layers": 1,
    }
    write(folder, "transformer/config.json", network)
    write(folder, "vae/config.json", {"block_out_channels": [128, 256, 512, 512]})
    write_checkpoint(folder / "vae/diffusion_pytorch_model.safetensors", {"a": (1,)})
    return folder
