"""What `nightsweep plan` says of schedulers and their names, and of the disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from producer.cli import cli
from producer.commands.plan import PIXEL_BYTES, make_plan
from producer.commands.plan_report import Plan, describe_plan
from storage.files.thumbnails import estimate_thumbnail_bytes
from storage.settings import Settings
from tests.builders import KARRAS_SDE
from tests.unit.tiny_folders import make_folder, write

KARRAS_INDEX = {"scheduler": ["diffusers", "DPMSolverMultistepScheduler"]}


def make_karras(folder: Path) -> Path:
    """Write a model folder whose scheduler config says Karras and SDE."""
    make_folder(folder, index=KARRAS_INDEX)
    write(folder, "scheduler/scheduler_config.json", KARRAS_SDE)
    return folder


def write_spec(folder: Path, schedulers: str, *, models: str = "./karras") -> Path:
    file = folder / "sweep.yaml"
    file.write_text(
        "name: s\nbase: {prompt: a cat, steps: 8}\n"
        f"axes: {{model: [{models}], scheduler: [{schedulers}]}}\n"
    )
    return file


def plan(settings: Settings, folder: Path, schedulers: str, **where: str) -> Plan:
    make_karras(folder / "karras")
    return make_plan(write_spec(folder, schedulers, **where), settings=settings)


def lines(made: Plan) -> list[str]:
    said = list(describe_plan(made))
    return said[said.index("Schedulers") + 1 :]


def test_a_plan_says_what_a_class_takes_from_the_model(
    settings: Settings, tmp_path: Path
) -> None:
    made = plan(settings, tmp_path, "DPMSolverMultistepScheduler, dpmpp_2m, ddim")

    assert lines(made) == [
        "  dpmpp_2m_sde_karras  DPMSolverMultistepScheduler(), with the model's "
        'algorithm_type="sde-dpmsolver++", use_karras_sigmas=true, '
        'timestep_spacing="leading", steps_offset=1',
        "  dpmpp_2m             DPMSolverMultistepScheduler("
        'algorithm_type="dpmsolver++", use_karras_sigmas=false)',
        "  ddim                 DDIMScheduler()",
    ]


def test_a_plan_says_what_all_leaves_out(settings: Settings, tmp_path: Path) -> None:
    *schedulers, note = lines(plan(settings, tmp_path, "all"))

    assert len(schedulers) == 15
    assert note.startswith("  `all` is 15 schedulers, each class once as the model")
    assert note.endswith("(lcm, tcd, tcd_eta); `every` takes those too.")


def test_a_plan_says_on_which_models_a_name_means_what(
    settings: Settings, tmp_path: Path
) -> None:
    models = "'builtin:shapes', ./karras"
    made = plan(settings, tmp_path, "dpmpp_2m, dpmpp_2m_sde", models=models)

    assert [line.rpartition(", on ")[2] for line in lines(made)] == [
        *("builtin:shapes", "builtin:shapes"),
        *(str(tmp_path / "karras"), str(tmp_path / "karras")),
    ]


def test_a_plan_names_a_scheduler_once_where_models_agree(
    settings: Settings, tmp_path: Path
) -> None:
    models = "'builtin:shapes', ./karras"
    made = plan(settings, tmp_path, "ddim", models=models)

    assert lines(made) == ["  ddim                 DDIMScheduler()"]


def test_a_plan_shows_the_names_that_the_sweep_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    models = "'builtin:shapes'"
    made = plan(settings, tmp_path, "PLMS, {class: euler, label: E}", models=models)

    assert [line.split()[0] for line in lines(made)] == ["plms", "E"]
    assert made.axes["scheduler"] == ["plms", "E"]


def axis_lines(
    settings: Settings, folder: Path, axes: Mapping[str, Sequence[str]]
) -> list[str]:
    made = plan(settings, folder, "ddim")
    said = list(describe_plan(replace(made, axes=axes)))
    return said[1 : said.index("")]


def test_the_counts_of_axes_stand_below_each_other(
    settings: Settings, tmp_path: Path
) -> None:
    axes = {"negative_prompt": ["blurry", "dark"], "seed": ["77"] * 400_000}
    short, long = axis_lines(settings, tmp_path, axes)

    assert short == "  negative_prompt      2  blurry, dark"
    assert long.startswith("  seed            400000  77, 77, 77, ")
    assert long.endswith(", 77, 77")


def test_values_of_an_axis_are_quoted_where_they_could_be_several_or_none(
    settings: Settings, tmp_path: Path
) -> None:
    values = ["", "blurry, low quality", "dark", 'a "b" c', "d\n\ne", " f"]

    assert axis_lines(settings, tmp_path, {"prompt": values}) == [
        '  prompt           6  "", "blurry, low quality", dark, "a \\"b\\" c", '
        '"d\\n\\ne", " f"'
    ]


def test_the_command_gives_all_of_it_to_programs(
    settings: Settings, tmp_path: Path
) -> None:
    make_karras(tmp_path / "karras")
    file = write_spec(tmp_path, "EulerDiscreteScheduler, '*_lu'")

    said = CliRunner().invoke(
        cli, ["plan", "--json", str(file)], catch_exceptions=False
    )

    first, second = json.loads(said.stdout)["schedulers"]
    assert (first["name"], first["label"]) == ("euler_karras", "euler_karras")
    assert first["inherited"] == {
        "use_karras_sigmas": True,
        "timestep_spacing": "leading",
        "steps_offset": 1,
    }
    assert (second["name"], second["inherited"]) == ("dpmpp_2m_lu", {})
    assert json.loads(said.stdout)["notes"] == []


def test_the_disk_that_a_plan_names_includes_thumbnails(
    settings: Settings, tmp_path: Path
) -> None:
    def disk_bytes(side: int) -> int:
        file = write_spec(tmp_path, "ddim")
        size = f"width: {side}, height: {side}, steps: 8"
        file.write_text(file.read_text().replace("steps: 8", size))
        return make_plan(file, settings=settings).disk_bytes

    make_karras(tmp_path / "karras")
    assert disk_bytes(256) == 256 * 256 * PIXEL_BYTES
    assert disk_bytes(512) == round(
        512 * 512 * PIXEL_BYTES + estimate_thumbnail_bytes(512, 512)
    )
    assert 2_000 < estimate_thumbnail_bytes(512, 512) < 30_000
