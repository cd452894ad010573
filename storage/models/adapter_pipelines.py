"""Which pipelines take LoRAs and textual inversions, and into which of their parts.

All of them were tried with a small model, bit for bit (`docs/models.md`).
"""

from collections.abc import Mapping

#: What LoRA files call the network, be it a UNet or a transformer.
NETWORK = "network"
#: The pipeline's attributes that may hold it.
NETWORKS = ("unet", "transformer")

_ONE_TEXT = (NETWORK, "text_encoder")
_TWO_TEXTS = (*_ONE_TEXT, "text_encoder_2")
_ALONE = (NETWORK,)
#: Pipeline to the parts that a LoRA may change.
LORA_PARTS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": _ONE_TEXT,
    "StableDiffusionXLPipeline": _TWO_TEXTS,
    "LatentConsistencyModelPipeline": _ONE_TEXT,
    "StableDiffusion3Pipeline": _TWO_TEXTS,
    "FluxPipeline": _ONE_TEXT,
    "Flux2Pipeline": _ALONE,
    "Flux2KleinPipeline": _ALONE,
    "QwenImagePipeline": _ALONE,
    "ZImagePipeline": _ALONE,
    "Krea2Pipeline": _ALONE,
    "ChromaPipeline": _ALONE,
    "SanaPipeline": _ALONE,
    "Lumina2Pipeline": _ALONE,
    "AuraFlowPipeline": _ALONE,
    "CogView4Pipeline": _ALONE,
    "HiDreamImagePipeline": _ALONE,
    "ErnieImagePipeline": _ALONE,
}
_PEFT = ("transformer.",)
#: Pipeline to how its keys must begin. diffusers converts no others there, and would
#: leave them out without an error. The other pipelines read all styles.
LORA_BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusion3Pipeline": (*_PEFT, "text_encoder.", "text_encoder_2."),
    "Krea2Pipeline": (*_PEFT, "diffusion_model.", "base_model.model."),
    "SanaPipeline": _PEFT,
    "Lumina2Pipeline": _PEFT,
    "AuraFlowPipeline": _PEFT,
    "CogView4Pipeline": _PEFT,
    "HiDreamImagePipeline": (*_PEFT, "diffusion_model."),
    "ErnieImagePipeline": (*_PEFT, "diffusion_model.", "base_model.model."),
}
_LYCORIS = (*_PEFT, "lycoris_")
#: Pipelines that take LoKrs, and how their keys must begin. Keys of Flux 2's original
#: code are left out: for them diffusers would join layers of the model for good.
LOKR_BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "Flux2Pipeline": _LYCORIS,
    "Flux2KleinPipeline": _LYCORIS,
    "ZImagePipeline": (*_PEFT, "diffusion_model."),
}
#: Pipeline to the text encoders that a textual inversion changes, each with the names
#: that its vectors have in a file for several encoders.
EMBEDDING_PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "StableDiffusionPipeline": {"text_encoder": ()},
    "LatentConsistencyModelPipeline": {"text_encoder": ()},
    "StableDiffusionXLPipeline": {
        "text_encoder": ("clip_l", "text_encoders_0"),
        "text_encoder_2": ("clip_g", "text_encoders_1"),
    },
}
