"""Pipelines of diffusers: how they are guided, and defaults where a spec has none.

Plain data, by the name of the pipeline's class. Numbers without a comment are the
defaults of diffusers 0.42; a comment names another source. `card` is the page of a
model on the Hub. Tests compare the table with the installed classes, and paint with
small models of each to show what has an effect and what has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: Guidance of jobs that have none.
NO_GUIDANCE = 1.0
#: The scale of classifier-free guidance of pipelines with another kind of guidance.
OWN_SCALE = "call.true_cfg_scale"
#: What pipelines read only where their network is called with both prompts.
ONLY_GUIDED = frozenset(
    {
        *("call.guidance_rescale", "call.cfg_normalization", "call.cfg_truncation"),
        *("call.cfg_trunc_ratio", "call.skip_guidance_layers"),
        *("call.skip_layer_guidance_scale", "call.skip_layer_guidance_start"),
        "call.skip_layer_guidance_stop",
    }
)
#: Scales that many specs contain, or that older keys held where a spec had none.
_COMMON_SCALES = (0.0, NO_GUIDANCE, 7.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What guidance and the negative prompt do in one model.

    Attributes:
        off: Classifier-free guidance, where the network is called with both prompts,
            is off up to this scale. None if the scale does not decide that.
        is_embedded: Whether the scale is an input of the network.
        own_scale: The scale of classifier-free guidance that the pipeline uses when it
            gets a negative prompt, unless a job sets `OWN_SCALE`. None if the pipeline
            has no such scale, or if it is not known.
        takes_negative: Whether the pipeline takes a negative prompt at all.
    """

    off: float | None = NO_GUIDANCE
    is_embedded: bool = False
    own_scale: float | None = None
    takes_negative: bool = True

    @property
    def takes_scale(self) -> bool:
        """Whether a different scale can make a different picture."""
        return self.is_embedded or self.off is not None

    def settle(
        self, scale: float, negative: str, *, own: float | None = None
    ) -> tuple[float, str, float | None]:
        """Return what a guidance, a negative prompt and a scale of its own mean.

        Equal results make the same picture; all others make different ones.

        Args:
            scale: The guidance.
            negative: The negative prompt.
            own: `OWN_SCALE`; None if it is not set.

        Returns:
            The guidance that is used (`NO_GUIDANCE` or `off` if there is none), the
            negative prompt that is read (empty if there is none), and `OWN_SCALE`
            (`own_scale` if it has no effect).
        """
        own = self.own_scale if own is None else own
        negative = negative if self.reads_negative(scale, own=own) else ""
        own = own if negative else self.own_scale
        if self.is_embedded:
            return scale, negative, own
        if self.off is not None:
            return max(scale, self.off), negative, own
        return (own if negative else None) or NO_GUIDANCE, negative, own

    def other_scales(self, scale: float) -> tuple[float, ...]:
        """Return common scales that mean the same as a settled one in such a model.

        Empty if a scale has an effect: specs of such models name their guidance.
        """
        if self.takes_scale:
            return ()
        return tuple(other for other in _COMMON_SCALES if other != scale)

    def reads_negative(self, scale: float, *, own: float | None = None) -> bool:
        """Return whether a negative prompt is read.

        Args:
            scale: The guidance.
            own: `OWN_SCALE`; None if it is not set.
        """
        if not self.takes_negative:
            return False
        own = self.own_scale if own is None else own
        return own > 1 if own is not None else self.calls_twice(scale)

    def calls_twice(self, scale: float) -> bool:
        """Return whether the guidance has the network called with both prompts."""
        is_off = self.off is not None and scale <= self.off
        return not (self.is_embedded or is_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is known about the models of one pipeline class.

    Attributes:
        name: Family of `storage.job.Model`.
        dtype: The precision that the weights are published for.
        steps: Default for specs without steps.
        guidance: Default for specs without guidance; None if no model takes any.
        embedded_guidance: The same for models with guidance as an input, if theirs is
            different.
        distilled_steps: Default steps of models that say they are distilled to few.
        side: Native width and height in pixels, if the model does not state it.
        patch: Latents per side that become one token.
        off: As in `Guidance`.
        embeds: What states that guidance is an input of the network: a component and
            its setting, or `always`; None if it never is one.
        is_embedded_unstated: Whether guidance is an input if the setting is missing.
        own_scale: As in `Guidance`.
        inputs: The inputs it takes among those that only some pipelines have:
            `negative_prompt`, `eta` and `clip_skip`.
        begins_at_zero: Whether the pipeline tells schedulers to begin at their first
            timestep, rather than to look it up.
        is_tried: Whether a small model of it has painted. Until then, no parameter is
            said to have no effect.
    """

    name: str = "other"
    dtype: str = "bfloat16"
    steps: int
    guidance: float | None = None
    embedded_guidance: float | None = None
    distilled_steps: int | None = None
    side: int | None = None
    patch: int = 1
    off: float | None = NO_GUIDANCE
    embeds: str | None = None
    is_embedded_unstated: bool = False
    own_scale: float | None = None
    inputs: frozenset[str] = frozenset({"negative_prompt"})
    begins_at_zero: bool = False
    is_tried: bool = True

    @property
    def takes_scale(self) -> bool:
        """Whether its pipeline has an input `guidance_scale`."""
        return self.guidance is not None or self.embeds is not None


_NEGATIVE, _ETA, _CLIP_SKIP = "negative_prompt", "eta", "clip_skip"
#: The setting of UNets that were distilled with guidance as an input.
_UNET = "unet.time_cond_proj_dim"
#: The same setting of transformers.
_TRANSFORMER = "transformer.guidance_embeds"

FAMILIES: Mapping[str, Family] = {
    "StableDiffusionPipeline": Family(
        name="sd",
        dtype="float16",  # card: the variant fp16
        steps=20,  # fewer than the default 50: common solvers have converged
        guidance=7.5,
        embedded_guidance=8.0,  # card of LCM_Dreamshaper_v7
        distilled_steps=4,  # card of lcm-lora-sdv1-5
        embeds=_UNET,
        inputs=frozenset({_NEGATIVE, _ETA, _CLIP_SKIP}),
    ),
    "StableDiffusionXLPipeline": Family(
        name="sdxl",
        dtype="float16",  # card: the variant fp16
        steps=20,  # as for Stable Diffusion
        guidance=5.0,
        embedded_guidance=8.0,  # card of lcm-sdxl
        distilled_steps=4,  # card of lcm-sdxl
        embeds=_UNET,
        inputs=frozenset({_NEGATIVE, _ETA, _CLIP_SKIP}),
        begins_at_zero=True,
    ),
    "LatentConsistencyModelPipeline": Family(
        dtype="float16",  # as Stable Diffusion
        steps=4,
        guidance=8.5,
        embeds="always",
        inputs=frozenset({_CLIP_SKIP}),
    ),
    "KolorsPipeline": Family(
        dtype="float16",  # card: the variant fp16
        steps=50,
        guidance=5.0,
        embeds=_UNET,
        is_tried=False,
    ),
    "StableDiffusion3Pipeline": Family(
        name="sd3",
        steps=28,
        guidance=3.5,  # card of stable-diffusion-3.5-large; the default is 7
        patch=2,
        inputs=frozenset({_NEGATIVE, _CLIP_SKIP}),
    ),
    "FluxPipeline": Family(
        name="flux",
        steps=28,
        guidance=3.5,
        distilled_steps=4,  # card of FLUX.1-schnell
        side=1024,
        patch=2,
        off=None,
        embeds=_TRANSFORMER,
        own_scale=1.0,
        begins_at_zero=True,
    ),
    "Flux2Pipeline": Family(
        steps=50,
        guidance=4.0,
        side=1024,
        patch=2,
        off=None,
        embeds=_TRANSFORMER,
        is_embedded_unstated=True,
        inputs=frozenset(),
        begins_at_zero=True,
    ),
    "Flux2KleinPipeline": Family(
        steps=50,
        guidance=4.0,
        distilled_steps=4,  # card of FLUX.2-klein-4B
        side=1024,
        patch=2,
        inputs=frozenset(),
        begins_at_zero=True,
    ),
    "QwenImagePipeline": Family(
        steps=50,
        side=1024,
        patch=2,
        off=None,
        embeds=_TRANSFORMER,
        own_scale=4.0,
        begins_at_zero=True,
    ),
    "QwenImage21Pipeline": Family(
        steps=40,
        side=1024,
        patch=2,
        off=None,
        own_scale=1.0,
        is_tried=False,
        begins_at_zero=True,
    ),
    "ZImagePipeline": Family(
        steps=50,
        guidance=5.0,
        side=1024,
        patch=2,
        off=0.0,
        begins_at_zero=True,
    ),
    "Krea2Pipeline": Family(
        steps=28,
        guidance=4.5,
        distilled_steps=8,  # card of Krea-2-Turbo
        side=1024,
        patch=2,
        off=0.0,
        begins_at_zero=True,
    ),
    "ChromaPipeline": Family(
        steps=35,
        guidance=5.0,
        side=1024,
        patch=2,
        begins_at_zero=True,
    ),
    "SanaPipeline": Family(
        steps=20,
        guidance=4.5,
        side=1024,
        inputs=frozenset({_NEGATIVE, _ETA}),
    ),
    "PixArtAlphaPipeline": Family(
        dtype="float16",  # card of PixArt-XL-2-1024-MS
        steps=20,
        guidance=4.5,
        inputs=frozenset({_NEGATIVE, _ETA}),
        begins_at_zero=True,
    ),
    "PixArtSigmaPipeline": Family(
        dtype="float16",  # card of PixArt-Sigma-XL-2-1024-MS
        steps=20,
        guidance=4.5,
        inputs=frozenset({_NEGATIVE, _ETA}),
    ),
    "Lumina2Pipeline": Family(
        steps=30,
        guidance=4.0,
        patch=2,
        begins_at_zero=True,
    ),
    "AuraFlowPipeline": Family(
        dtype="float16",  # card of AuraFlow
        steps=50,
        guidance=3.5,
        side=1024,
        patch=2,
        begins_at_zero=True,
    ),
    "HunyuanDiTPipeline": Family(
        dtype="float16",  # card of HunyuanDiT-v1.2
        steps=50,
        guidance=5.0,
        patch=2,
        inputs=frozenset({_NEGATIVE, _ETA}),
    ),
    "HunyuanImagePipeline": Family(
        steps=50,
        side=2048,
        patch=2,
        off=None,
        own_scale=1.0,  # without a component `guider`
        begins_at_zero=True,
    ),
    "Kandinsky3Pipeline": Family(
        dtype="float16",  # card of kandinsky-3
        steps=25,
        guidance=3.0,
        side=1024,
    ),
    "CogView4Pipeline": Family(
        steps=50,
        guidance=5.0,
        patch=2,
        is_tried=False,
    ),
    "HiDreamImagePipeline": Family(
        steps=50,
        guidance=5.0,
        side=1024,
        patch=2,
        is_tried=False,
    ),
    "OvisImagePipeline": Family(
        steps=50,
        guidance=5.0,
        side=1024,
        patch=2,
        is_tried=False,
        begins_at_zero=True,
    ),
    "LongCatImagePipeline": Family(
        steps=50,
        guidance=4.5,
        side=1024,
        patch=2,
        is_tried=False,
    ),
    "Kandinsky5T2IPipeline": Family(
        steps=50,
        guidance=3.5,
        side=1024,
        patch=2,
        is_tried=False,
    ),
    "ErnieImagePipeline": Family(
        steps=50,
        guidance=4.0,
        side=1024,
        patch=2,
        is_tried=False,
    ),
}
