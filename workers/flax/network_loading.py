"""From a folder of diffusers to Flax's networks and their parameters, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from diffusers import FlaxAutoencoderKL, FlaxUNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file
from transformers import CLIPTextConfig, CLIPTokenizerFast, FlaxCLIPTextModel
from transformers.utils import logging as transformers_logging

from storage.catalogue.backends import FLAX_PIPELINE
from storage.errors import ModelError
from storage.models.located import (
    SCHEDULER_CONFIG,
    Located,
    read_json,
    read_scheduler_config,
)
from workers.flax.weights import Array, convert, require_equal
from workers.flax.weights import Path as Keys

# Each layer says that Flax's classes will go; the versions are pinned for that.
diffusers_logging.set_verbosity_error()
transformers_logging.set_verbosity_error()

#: What Flax's UNet takes for granted, by the name in the config.
_UNET_LIMITS: Mapping[str, Any] = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
}
_VAE_LIMITS: Mapping[str, Any] = {
    "act_fn": "silu",
    "latents_mean": None,
    "latents_std": None,
    "shift_factor": None,
}
#: Parts of the VAE that are not needed to decode.
_UNUSED = ("encoder", "quant_conv")
#: Errors of files that diffusers, transformers or safetensors cannot read.
_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError),
    SafetensorError,
)

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a model; their parameters are arrays of numpy, on the host.

    Attributes:
        text_encoder: `FlaxCLIPTextModel`.
        unet: `FlaxUNet2DConditionModel`.
        vae: `FlaxAutoencoderKL`; without parameters of its encoder.
        parameters: Parameters of each, by these names.
        tokenizer: `CLIPTokenizerFast`.
        scheduler_config: The model's own.
    """

    text_encoder: Any
    unet: Any
    vae: Any
    parameters: Mapping[str, Parameters]
    tokenizer: Any
    scheduler_config: Mapping[str, Any]

    @property
    def scale(self) -> int:
        """Pixels of an image for each row of its latents."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def latents_shape(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (1, channels, height, width) of the latents of an image."""
        channels = int(self.unet.config.in_channels)
        return 1, channels, height // self.scale, width // self.scale

    def token_ids(self, texts: list[str]) -> Array:
        """Return the tokens of texts, cut off at the encoder's length: (texts, length).

        That is what pipelines do in torch.
        """
        ids: Array = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="np",
        ).input_ids
        return ids


def load_networks(found: Located, *, dtype: str) -> Networks:
    """Load the networks of a model, from safetensors or Flax's own weights.

    Args:
        found: Its files.
        dtype: `float32` or `bfloat16`.

    Raises:
        ModelError: Its pipeline or one of its networks does not exist in Flax, or its
            files cannot be read.
    """
    _require_pipeline(found)
    try:
        return _load(found, jnp.dtype(dtype))
    except _UNREADABLE as exc:
        msg = (
            f"a model must load with Flax, but {found.name} does not: {exc}; check its "
            "files, or use `backend: torch`"
        )
        raise ModelError(msg) from exc


def _load(found: Located, dtype: Any) -> Networks:
    folder = found.folder
    unet_config = read_json(folder / "unet" / "config.json")
    vae_config = read_json(folder / "vae" / "config.json")
    _require(found, "unet", unet_config, _UNET_LIMITS)
    _require(found, "vae", vae_config, _VAE_LIMITS)
    if unet_config["in_channels"] != vae_config["latent_channels"]:
        msg = (
            f"the UNet of a model for Flax must take latents only, but that of "
            f"{found.name} takes {unet_config['in_channels']} channels, of which "
            f"latents are {vae_config['latent_channels']}; use `backend: torch`"
        )
        raise ModelError(msg)
    unet = FlaxUNet2DConditionModel.from_config(unet_config, dtype=dtype)
    vae = FlaxAutoencoderKL.from_config(vae_config, dtype=dtype)
    text_config = CLIPTextConfig.from_pretrained(folder / "text_encoder")
    encoder = FlaxCLIPTextModel(text_config, dtype=dtype, _do_init=False)
    parameters = {
        "unet": _parameters(found, "unet", unet.init_weights, dtype),
        "vae": _parameters(found, "vae", vae.init_weights, dtype),
        "text_encoder": _parameters(
            found, "text_encoder", lambda key: encoder.init_weights(key, (1, 1)), dtype
        ),
    }
    for part in _UNUSED:
        del parameters["vae"][part]
    return Networks(
        text_encoder=encoder,
        unet=unet,
        vae=vae,
        parameters=parameters,
        tokenizer=CLIPTokenizerFast.from_pretrained(folder / "tokenizer"),
        scheduler_config=read_scheduler_config(folder / SCHEDULER_CONFIG),
    )


def _parameters(
    found: Located, component: str, init_weights: Any, dtype: Any
) -> dict[str, Any]:
    """Read the parameters of a component, as the network has them."""
    # Shapes only: nothing is computed.
    wanted = flatten_dict(jax.eval_shape(init_weights, jax.random.key(0)))
    weights: dict[str, Array] = {}
    flax_weights: dict[Keys, Array] = {}
    for file in found.files:
        if file.startswith(f"{component}/") and file.endswith(".safetensors"):
            weights |= load_file(found.folder / file)
        elif file.startswith(f"{component}/") and file.endswith(".msgpack"):
            restored = msgpack_restore((found.folder / file).read_bytes())
            flax_weights |= flatten_dict(restored)
    values = flax_weights or convert(weights, wanted)
    require_equal(values, wanted, name=f"{component} of {found.name}")
    cast = {path: np.asarray(value, dtype) for path, value in values.items()}
    made: dict[str, Any] = unflatten_dict(cast)
    return made


def _require_pipeline(found: Located) -> None:
    kind = found.index.get("_class_name")
    if kind not in (FLAX_PIPELINE, f"Flax{FLAX_PIPELINE}"):
        msg = (
            f"a model for `backend: flax` must be a {FLAX_PIPELINE}, but {found.name} "
            f"is a {kind}; name another model, or use `backend: torch`"
        )
        raise ModelError(msg)


def _require(
    found: Located, component: str, config: Mapping[str, Any], limits: Mapping[str, Any]
) -> None:
    for name, value in limits.items():
        if config.get(name, value) != value:
            msg = (
                f"{name} of the {component} must be {value!r} for `backend: flax`, but "
                f"{found.name} has {config[name]!r}; name another model, or use "
                "`backend: torch`"
            )
            raise ModelError(msg)
