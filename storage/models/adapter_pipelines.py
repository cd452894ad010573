"""Which pipelines take LoRAs and textual inversions, and into which of their parts.

All of them were tried with a small model, bit for bit (`docs/models.md`).
"""

from collections.abc import Mapping

#: What LoRA files call the network, be it a UNet or a transformer.
NETWORK = "network"
#: The pipeline's attributes that may hold it.
NETWORKS = ("unet", "transformer")

_ONE_TEXT = (NETWORK, "text_encoder")
#: Pipeline to the parts that a LoRA may change.
LORA_PARTS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": _ONE_TEXT,
    "StableDiffusionXLPipeline": (*_ONE_TEXT, "text_encoder_2"),
    "LatentConsistencyModelPipeline": _ONE_TEXT,
    "FluxPipeline": _ONE_TEXT,
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
