"""Single files as the model of a sweep."""

from pathlib import Path

import pytest

from producer.expansion.expand import expand
from producer.models.cards import describe
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from tests.unit.tiny_checkpoints import SDXL, write_checkpoint

SPEC = "name: s\nbase: {prompt: p, seed: 1}\naxes:\n  model:\n"


def write_spec(folder: Path, *models: str) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(SPEC + "".join(f"  - {model}\n" for model in models))
    return file


def test_files_beside_a_sweep_are_values_of_an_axis(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x.safetensors", SDXL)
    file = write_spec(
        tmp_path,
        "./x.safetensors",
        "{file: x.safetensors, prediction: v_prediction, zero_snr: true}",
        "{file: x.safetensors, prediction: v_prediction, label: v}",
    )
    jobs = list(expand(read_spec(file), describe).jobs())
    path = tmp_path.resolve() / "x.safetensors"
    assert [planned.job.model.name for planned in jobs] == [
        str(path),
        f"{path}?prediction=v_prediction&zero_snr=true",
        f"{path}?prediction=v_prediction",
    ]
    assert [planned.cell["model"] for planned in jobs] == [
        "./x.safetensors",
        "x.safetensors@v_prediction@zero_snr",
        "v",
    ]
    assert len({planned.job.key for planned in jobs}) == 3
    assert len({planned.job.group for planned in jobs}) == 3
    assert jobs[0].job.width == 1024


def test_what_is_asked_for_may_be_what_the_file_says(tmp_path: Path) -> None:
    marks = {"v_pred": (0,)}
    write_checkpoint(tmp_path / "x.safetensors", {**SDXL, **marks})
    plain, told = "./x.safetensors", "{file: x.safetensors, prediction: v_prediction}"
    (one,) = expand(read_spec(write_spec(tmp_path, plain)), describe).jobs()
    (other,) = expand(read_spec(write_spec(tmp_path, told)), describe).jobs()
    assert one.job.key == other.job.key


@pytest.mark.parametrize(
    "option",
    [
        "base.model=x.safetensors?prediction=v_prediction",
        "base.model={file: x.safetensors, prediction: v_prediction}",
    ],
)
def test_an_option_names_a_file_and_its_prediction(tmp_path: Path, option: str) -> None:
    write_checkpoint(tmp_path / "x.safetensors", SDXL)
    file = tmp_path / "sweep.yaml"
    file.write_text("name: s\nbase: {prompt: p, seed: 1}\n")
    (planned,) = expand(read_spec(file, sets=[option]), describe).jobs()
    assert planned.job.model.name.endswith("x.safetensors?prediction=v_prediction")


def test_a_pickle_is_refused_at_its_line(tmp_path: Path) -> None:
    file = write_spec(tmp_path, "models/x.ckpt")
    with pytest.raises(SpecError) as raised:
        expand(read_spec(file), describe)
    (problem,) = raised.value.problems
    assert "got models/x.ckpt; convert it on a machine that may run it" in str(problem)
