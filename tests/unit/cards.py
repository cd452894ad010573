"""Builders of model cards and of specs, for the tests of the sweep file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from producer.models.cards import ModelCard
from storage.job import Model
from tests.builders import KARRAS_SDE, SD15

CARD = ModelCard(
    model=Model(fingerprint="f" * 32, name="builtin:shapes"),
    pipeline_class="StableDiffusionPipeline",
    scheduler_class="PNDMScheduler",
    scheduler_config=SD15,
    width=64,
    height=64,
    factor=8,
    dtype_default="float32",
    guidance_default=2.5,
    size_bytes=20_000_000,
    tokens=None,
    unchecked=(),
)

FLOW_CARD = replace(
    CARD,
    model=Model(fingerprint="e" * 32, name="org/flow", family="sd3"),
    scheduler_class="FlowMatchEulerDiscreteScheduler",
    scheduler_config={"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
)

KARRAS_CARD = replace(
    CARD,
    model=Model(fingerprint="c" * 32, name="org/karras"),
    scheduler_class="DPMSolverMultistepScheduler",
    scheduler_config=KARRAS_SDE,
)

#: What `describe_fake` knows; a copy has the same files under another name.
CARDS: Mapping[str, ModelCard] = {
    "builtin:shapes": CARD,
    "copy": replace(CARD, model=replace(CARD.model, name="copy")),
    "org/other": replace(CARD, model=Model(fingerprint="d" * 32, name="org/other")),
    "org/flow": FLOW_CARD,
    "org/karras": KARRAS_CARD,
}


def describe_fake(
    name: str,
    *,
    revision: str | None,
    variant: str | None,
    base_dir: Path,
    digests: object = None,
) -> ModelCard:
    """Stand in for `producer.models.cards.describe`."""
    del base_dir, digests
    card = CARDS[name]
    model = replace(card.model, revision=revision, variant=variant)
    return replace(card, model=model)


def write_spec(folder: Path, text: str, *, name: str = "sweep.yaml") -> Path:
    """Write a sweep file."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def write_axes(folder: Path, axes: str, *, rest: str = "") -> Path:
    """Write a sweep file with a model, a prompt and these axes, in flow style."""
    text = (
        "name: s\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        f"axes: {axes}\n{rest}\n"
    )
    return write_spec(folder, text)
