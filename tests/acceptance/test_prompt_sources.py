"""Tables, wildcards and drawn seeds end in the images that a plain script makes."""

from pathlib import Path

from PIL import Image

from producer.spec.drawn_seeds import draw
from storage.settings import read_settings
from tests import script
from tests.acceptance.conftest import Bench

SWEEP = """
name: sources
wildcards: wild
base: {model: "builtin:shapes", steps: 4, scheduler: ddim, strict: true}
axes:
  prompt: {file: prompts.csv}
  seed: {random: 2}
"""
TABLE = """prompt,negative_prompt,guidance,size
"a __colour__ circle, on white",blurry,3,48x64
a blue star,,,
"""


def test_each_image_is_that_of_a_plain_script(warm: Bench, tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text(TABLE)
    (tmp_path / "wild").mkdir()
    (tmp_path / "wild" / "colour.txt").write_text("red\ngreen\n")

    standing = warm.make(SWEEP, tmp_path)

    assert (standing["done"], standing["failed"]) == (6, 0)
    images = read_settings({"NIGHTSWEEP_HOME": str(warm.home)}).images
    made = {
        (row["prompt"], row["seed"]): Image.open(Path(images) / row["path"])
        for row in warm.find("--sweep", "sources")
    }
    circle = {"guidance": 3.0, "negative_prompt": "blurry", "width": 48, "height": 64}
    wanted = {
        "a red circle, on white": circle,
        "a green circle, on white": circle,
        "a blue star": {},
    }
    seeds = draw("sources", 2, below=2**32)
    assert made.keys() == {(prompt, seed) for prompt in wanted for seed in seeds}
    for (prompt, seed), image in made.items():
        plain = script.paint(
            "DDIMScheduler",
            {},
            prompt=prompt,
            seed=seed,
            steps=4,
            **wanted[prompt],
        )
        with image:
            assert image.tobytes() == plain.tobytes(), prompt
