"""Test the exported demo model, and paint its contact sheet."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from training.cases import (
    Case,
    held_out_cases,
    is_known_pair,
    is_new_pair,
    two_object_scenes,
)
from training.classifier import classifier_accuracy, name_shapes
from training.clip import retrieval_share
from training.data import PictureSet
from training.pixels import keep_half, read_picture
from training.sheet import paint_sheet
from training.vae import reconstruction_psnr
from training.world import Scene, caption_of

logger = logging.getLogger(__name__)

GUIDANCE = 2.5
STEPS = 20
BATCH = 40
SCHEDULERS = {
    "PNDM": "PNDMScheduler",
    "DDIM": "DDIMScheduler",
    "LMS": "LMSDiscreteScheduler",
    "Euler": "EulerDiscreteScheduler",
    "Euler a": "EulerAncestralDiscreteScheduler",
    "DPM++ 2M": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
}
STEP_COUNTS = (2, 4, 8, 20)
TWO_OBJECT_CAPTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The parts of one picture that are right; `purity` is a share, 0 to 1."""

    background: bool
    colour: bool
    shape: bool
    purity: float


class Painter:
    """The exported pipeline in float32 on the CPU, one scheduler at a time."""

    def __init__(self, folder: Path) -> None:
        """Load a pipeline folder as a user would, without naming a dtype."""
        self.pipeline = StableDiffusionPipeline.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.config = self.pipeline.scheduler.config

    def paint(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        scheduler: str = DDIMScheduler.__name__,
    ) -> np.ndarray:
        """Paint a picture for each prompt: (count, 64, 64, 3), 0 to 1."""
        scheduler_class = getattr(diffusers, scheduler)
        self.pipeline.scheduler = scheduler_class.from_config(self.config)
        pictures = []
        for start in range(0, len(prompts), BATCH):
            some = slice(start, start + BATCH)
            generators = [torch.Generator().manual_seed(seed) for seed in seeds[some]]
            result = self.pipeline(
                list(prompts[some]),
                generator=generators,
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type="np",
            )
            pictures.append(result.images)
        return np.concatenate(pictures)


def mark(images: np.ndarray, scenes: Sequence[Scene], judge: nn.Module) -> list[Marks]:
    """Compare pictures with their scenes of one thing each.

    Args:
        images: (count, 64, 64, 3), 0 to 1.
        scenes: One for each picture.
        judge: The network that names shapes.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() * 2 - 1
    shapes = name_shapes(judge, pixels)
    marks = []
    for image, scene, shape in zip(images, scenes, shapes, strict=True):
        reading = read_picture(image)
        thing = scene.things[0]
        marks.append(
            Marks(
                background=reading.background == scene.background,
                colour=reading.colour == thing.colour,
                shape=shape == thing.shape,
                purity=reading.purity if reading.colour == thing.colour else 0.0,
            )
        )
    return marks


def summarise(marks: Sequence[Marks]) -> dict[str, float]:
    """Return the number of pictures, and the means of their marks in percent."""
    rights: dict[str, list[float]] = {
        "background": [m.background for m in marks],
        "colour": [m.colour for m in marks],
        "shape": [m.shape for m in marks],
        "all": [m.background and m.colour and m.shape for m in marks],
        "purity": [m.purity for m in marks],
    }
    summary: dict[str, float] = {"pictures": len(marks)}
    for name, values in rights.items():
        summary[name] = round(100 * float(np.mean(values)), 1)
    return summary


def measure_cases(
    painter: Painter,
    cases: Sequence[Case],
    judge: nn.Module,
    *,
    steps: int = STEPS,
    scheduler: str = DDIMScheduler.__name__,
) -> list[Marks]:
    """Paint some cases and mark them."""
    scenes = [case.scene for case in cases]
    images = painter.paint(
        [caption_of(scene) for scene in scenes],
        [case.seed for case in cases],
        steps=steps,
        scheduler=scheduler,
    )
    return mark(images, scenes, judge)


def measure_two(painter: Painter, judge: nn.Module) -> dict[str, float]:
    """Mark the two halves of pictures of two things as pictures of one thing each."""
    scenes = list(two_object_scenes(TWO_OBJECT_CAPTIONS))
    images = painter.paint([caption_of(scene) for scene in scenes], range(len(scenes)))
    halves, parts = [], []
    for image, scene in zip(images, scenes, strict=True):
        sides = ("left", "right") if scene.relation == "and" else ("top", "bottom")
        for side, thing in zip(sides, scene.things, strict=True):
            halves.append(keep_half(image, side=side))
            parts.append(Scene(things=(thing,), background=scene.background))
    marks = mark(np.stack(halves), parts, judge)
    summary = summarise(marks)
    both = zip(marks[::2], marks[1::2], strict=True)
    summary["both_colours"] = round(
        100
        * float(np.mean([first.colour and second.colour for first, second in both])),
        1,
    )
    return summary


def measure_schedulers(
    painter: Painter, judge: nn.Module
) -> dict[str, dict[str, float]]:
    """Return the percentage of right pictures for each scheduler and step count."""
    cases = held_out_cases(is_known_pair, seeds=1, sizes=("",))
    table: dict[str, dict[str, float]] = {}
    for name, scheduler in SCHEDULERS.items():
        table[name] = {}
        for steps in STEP_COUNTS:
            marks = measure_cases(
                painter, cases, judge, steps=steps, scheduler=scheduler
            )
            table[name][str(steps)] = summarise(marks)["all"]
        logger.info("%s: %s", name, table[name])
    return table


@torch.no_grad()
def measure(
    built: Path, judge: nn.Module, check: PictureSet, *, report: Path
) -> dict[str, object]:
    """Test the exported folders; write quality.json and samples.png.

    Args:
        built: The folder that holds `shapes` and `clip`.
        judge: The network that names shapes.
        check: Drawn pictures that were not trained on.
        report: Folder for the two files.

    Returns:
        The content of quality.json; shares in percent.
    """
    painter = Painter(built / "shapes")
    clip = CLIPModel.from_pretrained(str(built / "clip"), dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(str(built / "clip"))
    known = held_out_cases(is_known_pair, seeds=2)
    few = held_out_cases(is_known_pair, seeds=1)
    results: dict[str, object] = {
        "guidance": GUIDANCE,
        "shape_judge_accuracy": round(100 * classifier_accuracy(judge), 1),
        "vae_psnr_db": round(
            reconstruction_psnr(painter.pipeline.vae, check.images), 2
        ),
        "clip_top1_of_400": round(
            100 * retrieval_share(clip.eval(), tokenizer, check, 400), 1
        ),
        "ddim_20_unseen_captions": summarise(measure_cases(painter, known, judge)),
        "ddim_20_unseen_pairs": summarise(
            measure_cases(painter, held_out_cases(is_new_pair, seeds=3), judge)
        ),
        "ddim_3_unseen_captions": summarise(
            measure_cases(painter, few, judge, steps=3)
        ),
        "ddim_20_two_objects": measure_two(painter, judge),
        "all_right_by_scheduler_and_steps": measure_schedulers(painter, judge),
    }
    report.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2) + "\n"
    (report / "quality.json").write_text(text, encoding="utf-8")
    paint_sheet(painter.paint, report / "samples.png")
    return results
