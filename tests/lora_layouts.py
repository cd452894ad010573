"""LoRA files for small models of transformers, in the layouts that people share."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from storage.models.tensor_headers import read_shapes
from tests.unit.lora_files import Sizes, Tensors, kohya, lokr, peft

#: Makes a LoRA file for a model's folder.
Layout = Callable[[Path], Tensors]
#: Layers of a block in the original code of Flux 2, by those of diffusers.
_FLUX2 = {
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.linear_in": "img_mlp.0",
    "ff.linear_out": "img_mlp.2",
    "ff_context.linear_in": "txt_mlp.0",
    "ff_context.linear_out": "txt_mlp.2",
    "attn.to_qkv_mlp_proj": "linear1",
    "attn.to_out": "linear2",
}
_KREA = {
    "attn.to_q": "attn.wq",
    "attn.to_k": "attn.wk",
    "attn.to_v": "attn.wv",
    "attn.to_out.0": "attn.wo",
    "attn.to_gate": "attn.gate",
    "ff.gate": "mlp.gate",
    "ff.up": "mlp.up",
    "ff.down": "mlp.down",
}


def sizes(model: Path, part: str, *, wanted: str) -> Sizes:
    """Read the layers of a part of a model whose names match."""
    [file] = (model / part).glob("*.safetensors")
    return {
        name.removesuffix(".weight").removeprefix("text_model."): (shape[0], shape[1])
        for name, shape in read_shapes(file).items()
        if re.search(wanted, name) and name.endswith(".weight") and len(shape) == 2
    }


def _layers(model: Path) -> Sizes:
    """Return the layers of attention and of the perceptrons behind it."""
    wanted = r"\.(attn|attn1|attention|self_attention|ff|feed_forward|img_mlp|mlp)\."
    return sizes(model, "transformer", wanted=wanted)


def _renamed(layers: Sizes, names: Mapping[str, str]) -> Sizes:
    """Return layers of blocks with the names of the original code; drop others."""
    found = {}
    for name, size in layers.items():
        block, _, layer = re.fullmatch(r"(.+?\.\d+\.(block\.)?)(.+)", name).groups()  # type: ignore[union-attr]
        if layer in names:
            found[block + names[layer]] = size
    return found


def of_peft(model: Path) -> Tensors:
    """Name layers as diffusers and peft do."""
    return peft(_layers(model), prefix="transformer.")


def of_peft_with_texts(model: Path) -> Tensors:
    """Change both text encoders, too."""
    tensors = of_peft(model)
    for seed, part in enumerate(("text_encoder", "text_encoder_2"), start=1):
        layers = sizes(model, part, wanted="self_attn")
        tensors |= peft(layers, prefix=f"{part}.text_model.", seed=seed)
    return tensors


def of_comfy(model: Path) -> Tensors:
    """Write the names of diffusers behind the prefix of ComfyUI and ai-toolkit."""
    return peft(_layers(model), prefix="diffusion_model.")


def of_bare_names(model: Path) -> Tensors:
    """Write the names of diffusers without a prefix, with kohya's ends."""
    tensors = kohya(_layers(model), prefix="")
    stems = {name.replace(".", "_"): name for name in _layers(model)}
    return {
        stems[stem] + "." + end: tensor
        for key, tensor in tensors.items()
        for stem, end in [key.split(".", 1)]
    }


def of_kohya(model: Path) -> Tensors:
    """Name layers as kohya's trainer does where it has the names of diffusers."""
    return kohya(_layers(model), prefix="lora_unet_")


def of_kohya_z_image(model: Path) -> Tensors:
    """Name layers of attention as the original code of Z-Image does."""
    found: dict[str, tuple[int, int]] = {}
    for name, (outputs, inputs) in _layers(model).items():
        if name.endswith("to_q"):
            found[name.replace("to_q", "qkv")] = (3 * outputs, inputs)
        elif name.endswith("to_out.0"):
            found[name.replace("to_out.0", "out")] = (outputs, inputs)
    return kohya(found, prefix="lora_unet_")


def of_krea(model: Path) -> Tensors:
    """Name layers as the original code of Krea 2 does."""
    blocks = _renamed(sizes(model, "transformer", wanted=r"^transformer_b"), _KREA)
    found = {name.removeprefix("transformer_"): size for name, size in blocks.items()}
    return peft(found, prefix="diffusion_model.")


def _original_flux2(model: Path) -> Sizes:
    """Return layers of Flux 2 with the names of its original code."""
    layers = _layers(model)
    found = {
        re.sub(r"^(single_)?transformer_blocks", _flux_blocks, name): size
        for name, size in _renamed(layers, _FLUX2).items()
    }
    for name, (outputs, inputs) in layers.items():
        if match := re.fullmatch(r"transformer_blocks\.(\d+)\.attn\.to_q", name):
            found[f"double_blocks.{match[1]}.img_attn.qkv"] = (3 * outputs, inputs)
    return found


def _flux_blocks(match: re.Match[str]) -> str:
    return "single_blocks" if match[1] else "double_blocks"


def of_kohya_flux2(model: Path) -> Tensors:
    """Name layers of Flux 2 as kohya's trainer does."""
    return kohya(_original_flux2(model), prefix="lora_unet_")


def of_original_flux2(model: Path) -> Tensors:
    """Name layers of Flux 2 as ComfyUI and ai-toolkit do."""
    return peft(_original_flux2(model), prefix="diffusion_model.")


def _attention(model: Path) -> Sizes:
    return sizes(model, "transformer", wanted=r"\.(attn|attention)\.")


def of_lokr(model: Path) -> Tensors:
    """Write a LoKr as peft names it."""
    return lokr(_attention(model), prefix="transformer.")


def of_comfy_lokr(model: Path) -> Tensors:
    """Write a LoKr as ai-toolkit does."""
    return lokr(_attention(model), prefix="diffusion_model.", alpha=True)


def of_lycoris(model: Path) -> Tensors:
    """Write a LoKr as LyCORIS does, with alphas."""
    named = {name.replace(".", "_"): size for name, size in _attention(model).items()}
    return lokr(named, prefix="lycoris_", alpha=True)


SD3, QWEN, Z_IMAGE = "StableDiffusion3Pipeline", "QwenImagePipeline", "ZImagePipeline"
KREA2, FLUX2, KLEIN = "Krea2Pipeline", "Flux2Pipeline", "Flux2KleinPipeline"
#: Pipelines with transformers, each with a layout that it takes.
TRANSFORMERS: Sequence[tuple[str, Layout]] = (
    (SD3, of_peft),
    (SD3, of_peft_with_texts),
    (QWEN, of_peft),
    (QWEN, of_comfy),
    (QWEN, of_bare_names),
    (QWEN, of_kohya),
    (Z_IMAGE, of_peft),
    (Z_IMAGE, of_comfy),
    (Z_IMAGE, of_kohya),
    (Z_IMAGE, of_kohya_z_image),
    (Z_IMAGE, of_lokr),
    (Z_IMAGE, of_comfy_lokr),
    (KREA2, of_peft),
    (KREA2, of_krea),
    (FLUX2, of_peft),
    (FLUX2, of_kohya_flux2),
    (FLUX2, of_lycoris),
    (KLEIN, of_peft),
    (KLEIN, of_kohya_flux2),
    (KLEIN, of_original_flux2),
    (KLEIN, of_lokr),
    (KLEIN, of_lycoris),
    ("ChromaPipeline", of_peft),
    ("SanaPipeline", of_peft),
    ("Lumina2Pipeline", of_peft),
    ("AuraFlowPipeline", of_peft),
    ("CogView4Pipeline", of_peft),
    ("HiDreamImagePipeline", of_peft),
    ("HiDreamImagePipeline", of_comfy),
    ("ErnieImagePipeline", of_peft),
    ("ErnieImagePipeline", of_comfy),
)
