"""The loop that a careful user would write, to compare nightsweep with.

    python benchmarks/plain_loop.py JOBS.json FOLDER

It loads one pipeline, swaps the scheduler for each job, and writes each image as a
fast PNG with a row in SQLite. `sweep_vs_loop.py` writes JOBS.json.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path

import diffusers
import torch


def main() -> None:
    """Make every image."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    device = plan["device"]
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        plan["model"], dtype=getattr(torch, plan["dtype"]), use_safetensors=True
    ).to(device)
    pipe.set_progress_bar_config(disable=True)
    if plan["compile"]:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.unet = torch.compile(pipe.unet, dynamic=False)
    config = dict(pipe.scheduler.config)
    results = sqlite3.connect(folder / "results.db")
    results.execute("CREATE TABLE results (key TEXT, path TEXT, finished_at REAL)")
    for job in plan["jobs"]:
        made_by = getattr(diffusers, job["scheduler"])
        pipe.scheduler = made_by.from_config(config, **job["options"])
        image = pipe(
            job["prompt"],
            num_inference_steps=job["steps"],
            guidance_scale=job["guidance"],
            generator=torch.Generator("cpu").manual_seed(job["seed"]),
        ).images[0]
        path = folder / f"{job['key']}.png"
        image.save(path, compress_level=1)
        row = (job["key"], str(path), time.time())
        results.execute("INSERT INTO results VALUES (?, ?, ?)", row)
        results.commit()


if __name__ == "__main__":
    main()
