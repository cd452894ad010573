"""Words of other programs, and what to write here instead.

A key that is unknown here is often right elsewhere: in A1111, ComfyUI, diffusers, W&B
or Hydra. Its message says what to write instead.
"""

from collections.abc import Collection, Mapping

from producer.spec.numerals import SEEDS
from producer.spec.parameters import CALLS, PARAMETERS
from producer.spec.problems import WayOut, closest, nearest
from storage.catalogue.pipeline_calls import PREFIX, why_refused

#: Other programs' words for keys of a sweep file.
ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("parameters", "params", "matrix", "grid", "variables"), "axes"),
    **dict.fromkeys(("search_space", "sweep", "sweeper"), "axes"),
    **dict.fromkeys(("common", "fixed", "constants"), "base"),
    **dict.fromkeys(("cfg", "cfg_scale", "cfgscale", "guidance_scale"), "guidance"),
    "distilled_cfg_scale": "guidance",
    **dict.fromkeys(("sampler", "sampler_name", "sampling_method"), "scheduler"),
    **dict.fromkeys(
        ("num_inference_steps", "inference_steps", "sampling_steps", "num_steps"),
        "steps",
    ),
    **dict.fromkeys(("ckpt", "checkpoint", "model_id", "sd_model"), "model"),
    "checkpoint_name": "model",
    **dict.fromkeys(
        ("pretrained_model_name_or_path", "pretrained_model", "ckpt_name"), "model"
    ),
    **dict.fromkeys(("text", "pos", "positive", "positive_prompt"), "prompt"),
    **dict.fromkeys(
        ("neg", "negative", "neg_prompt", "uc", "undesired"), "negative_prompt"
    ),
    **dict.fromkeys(("noise_seed", "manual_seed", "random_seed"), "seed"),
    **dict.fromkeys(("precision", "torch_dtype", "weight_dtype"), "dtype"),
    **dict.fromkeys(
        ("clipskip", "clip_stop_at_last_layers", "stop_at_clip_layer"), "clip_skip"
    ),
    "rng": "generator",
    **dict.fromkeys(("quantise", "quantization", "quantization_config"), "quantize"),
    "caching": "cache",
    **{name.removeprefix(PREFIX): name for name in CALLS},
}
#: What else differs for a key that other programs call by another word.
NOTES: Mapping[str, str] = {
    "clip_skip": ", and A1111's 2 is `clip_skip: 1`",
}
_SIZE = (
    "write `width` and `height`; an axis of both has values such as {label: wide, set: "
    "{width: 768, height: 512}}"
)
_SEVERAL = WayOut(
    f"`seed: {SEEDS}` under `axes`", {"seed": SEEDS}, "a seed makes one image; "
)
_GRID = "a sweep makes every combination of its axes; leave it out"
_MERGED = (
    "nothing is loaded besides the model; merge it into a model, and name that model's "
    "folder as `model`"
)
_BEGIN = "write the input image as `image: FILE`, and its `strength`"
_IN_NAME = "it belongs to the scheduler's name, such as `DPM++ 2M Karras`"
_IN_PROMPT = "write {cat|dog} in the prompt for one prompt each"
_OF_SCHEDULER = "write it as an option: {class: euler, options: {name: value}}"
_OF_PIPELINES = "docs/models.md lists the inputs of each pipeline"
_NOT_HERE = "nothing here does that; leave it out"
#: Words that have no key here, and what to do instead.
ADVICE: Mapping[str, str | WayOut] = {
    **dict.fromkeys(("size", "resolution", "image_size", "dimensions"), _SIZE),
    **dict.fromkeys(("height_x_width", "width_x_height", "aspect_ratio"), _SIZE),
    **dict.fromkeys(("batch_size", "batch_count", "n_iter", "n_samples"), _SEVERAL),
    **dict.fromkeys(("num_images", "num_images_per_prompt"), _SEVERAL),
    **dict.fromkeys(("method", "metric", "program", "project", "entity"), _GRID),
    **dict.fromkeys(("early_terminate", "run_cap", "command"), _GRID),
    "hydra": "write what its `sweeper.params` sweeps under `axes`",
    "vae": _MERGED,
    "lora": "did you mean `loras`?",
    **dict.fromkeys(("embedding", "textual_inversion"), "did you mean `embeddings`?"),
    **dict.fromkeys(("init_image", "input_image"), _BEGIN),
    **dict.fromkeys(("denoising_strength", "denoise"), _BEGIN),
    "mask": "the whole image is made anew; leave it out",
    **dict.fromkeys(("karras", "use_karras_sigmas", "schedule_type"), _IN_NAME),
    **dict.fromkeys(("prompt_s/r", "prompt_sr", "prompt_order"), _IN_PROMPT),
    **dict.fromkeys(("s_churn", "s_noise"), _NOT_HERE),
    **dict.fromkeys(("guidance_start", "guidance_end"), _NOT_HERE),
    **dict.fromkeys(("hires_steps", "hires_upscale", "hires_upscaler"), _NOT_HERE),
    **dict.fromkeys(("subseed", "subseed_strength", "variation_seed"), _NOT_HERE),
    **dict.fromkeys(("scheduler_options", "scheduler_config"), _OF_SCHEDULER),
    **dict.fromkeys(("style", "styles"), "write its words in the prompt"),
    "model_hash": "a model is hashed when it is read; leave it out",
    **dict.fromkeys(("notes", "description", "comment"), "write it after a #"),
    "defaults": "no other file is read; write its values under `base`",
    "call": "write parameters under it, such as {true_cfg_scale: 4}",
}


def way_out_of_key(name: str, known: Collection[str]) -> str | WayOut:
    """Return what to write instead of a key that is not among the known ones."""
    plain = _plain(name)
    if plain.isdecimal():
        return "several values go in brackets, such as [8, 12, 20]"
    is_call = name.startswith(PREFIX)
    advice = ADVICE.get(plain) or why_refused(plain)
    if advice and (is_call or plain not in known):
        return advice
    here = ELSEWHERE.get(plain, plain)
    if here in known:
        return f"it is called `{here}` here{NOTES.get(here, '')}"
    if "base" in known and here in PARAMETERS:
        return f"write `{here}` under `base`, or under `axes` for several values"
    if is_call:
        # By their own names: what all begin with makes none of them nearer.
        near = closest(plain, [each.removeprefix(PREFIX) for each in CALLS])
        return f"did you mean `{PREFIX}{near}`?" if near else _OF_PIPELINES
    return nearest(name, [each for each in known if not each.startswith(PREFIX)])


def renamed(name: str, known: Collection[str]) -> str | None:
    """Return the known key that another program's word surely stands for, or None."""
    plain = _plain(name)
    here = ELSEWHERE.get(plain, plain)
    is_meant = here in known and plain not in ADVICE and not why_refused(plain)
    return here if is_meant else None


def meant(name: str, known: Collection[str]) -> str | None:
    """Return the known key that an unknown one is taken for, or None."""
    return renamed(name, known) or closest(name, known)


def _plain(name: str) -> str:
    """Return a key as the tables spell it; of `hydra.sweeper.params`, its end."""
    return name.rpartition(".")[2].strip().lower().replace("-", "_").replace(" ", "_")
