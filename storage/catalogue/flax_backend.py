"""What the Flax back end takes, beside schedulers, as plain data for a plan."""

#: Pipelines whose networks Flax has; the second is what Flax calls the first.
PIPELINES = ("StableDiffusionPipeline", "FlaxStableDiffusionPipeline")
#: Precisions of its jobs.
DTYPES = ("float32", "bfloat16")
#: Where its noise comes from: the same on every back end.
GENERATOR = "numpy"
#: Parameters that it does not have, which must be neutral.
LACKING = ("eta", "clip_skip", "strict")
