"""Scripts as text; whether they make the very image is tested with torch."""

import ast
from dataclasses import replace
from typing import Any

import pytest

from producer.reproduction.script import COLUMNS, write_script
from storage.job import Model
from storage.jobs.records import Made, Record
from tests.unit.filled_store import make_job

HUB = Model(
    fingerprint="1" * 32,
    name="stable-diffusion-v1-5/stable-diffusion-v1-5",
    revision="main",
    commit="c" * 40,
    variant="fp16",
)
MADE = Made(
    path="ab/cd/abcd.png",
    pixel_sha256="0" * 64,
    engine="plain",
    batch_width=1,
    slot=0,
    decode_dtype="float32",
    gpu="NVIDIA H200",
    details={
        "torch": "2.13.0",
        "diffusers": "0.42.0",
        "transformers": "5.20.0",
        "cuda": "13.0",
        "threads": "8",
    },
)
TEXTS = (
    "a cat",
    'it\'s "quoted"',
    'a "quote"',
    "back \\ slash \\n",
    "two\nlines\r\n and \t more",
    '"""',
    "'''",
    "</script><script>alert(1)</script>",
    "a 🐈‍⬛ and é, 汉字",
    "\u2028 and \x00 and \x1b[31m",
    "{braces} %s #hash",
)


def make_record(*, made: Made | None = MADE, **changes: Any) -> Record:
    job = make_job(**changes)
    return Record(
        key=job.key,
        job=job,
        places=(job.model,),
        scheduler="ddim",
        made=made,
    )


def call_in(script: str, end: str) -> ast.Call:
    """The call in a script whose function ends like this."""
    calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
    (found,) = (call for call in calls if ast.unparse(call.func).endswith(end))
    return found


def inputs_of(script: str) -> dict[str, str]:
    return {str(k.arg): ast.unparse(k.value) for k in call_in(script, "pipe").keywords}


def test_a_script_has_all_that_decides_the_picture_and_nothing_else() -> None:
    record = make_record(
        model=HUB,
        dtype="float16",
        scheduler="dpmpp_2m_karras",
        prompt="a red fox in fog",
        negative_prompt="blurred",
        seed=8,
        generator="cuda",
        guidance=7.5,
        width=512,
        height=768,
    )
    assert (
        write_script(record)
        == f"""\
# Image {record.key} of nightsweep, made with torch 2.13.0,
# diffusers 0.42.0, transformers 5.20.0 on NVIDIA H200.
import torch
from diffusers import DPMSolverMultistepScheduler, DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained(
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    revision="{"c" * 40}", variant="fp16",
    dtype=torch.float16, use_safetensors=True, safety_checker=None,
    feature_extractor=None,
).to("cuda")
pipe.scheduler = DPMSolverMultistepScheduler.from_config(
    pipe.scheduler.config, use_karras_sigmas=True,
)
image = pipe(
    prompt="a red fox in fog",
    negative_prompt="blurred",
    num_inference_steps=20, guidance_scale=7.5, width=512, height=768,
    generator=torch.Generator("cuda").manual_seed(8),
).images[0]
image.save("{record.key}.png")
"""
    )


@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_of_any_letters_comes_back_as_it_was(text: str) -> None:
    script = write_script(make_record(prompt=text, negative_prompt=f"no {text}"))
    inputs = inputs_of(script)
    assert ast.literal_eval(inputs["prompt"]) == text
    assert ast.literal_eval(inputs["negative_prompt"]) == f"no {text}"


def test_lines_are_short_unless_one_text_is_long() -> None:
    record = make_record(model=HUB, scheduler="dpmpp_sde", extras={"eta": 0.5})
    lines = write_script(record).splitlines()
    assert max(map(len, lines)) <= COLUMNS


def test_the_built_in_model_comes_from_the_installed_package() -> None:
    script = write_script(make_record())
    assert "\nfrom storage.models.model_files import BUILTIN_FOLDERS" in script
    (place,) = call_in(script, "from_pretrained").args
    assert ast.unparse(place) == "BUILTIN_FOLDERS['builtin:shapes']"


def test_extras_are_inputs_and_a_tag_is_not() -> None:
    extras = {"eta": 0.5, "clip_skip": 1, "strict": True, "tag": "mine"}
    script = write_script(make_record(extras=extras))
    inputs = inputs_of(script)
    assert (inputs["eta"], inputs["clip_skip"]) == ("0.5", "1")
    assert "mine" not in script
    assert "strict" not in inputs
    assert '\nvars(pipe.text_encoder)["text_model"] = pipe.text_encoder' in script


def test_a_schedule_is_an_input_of_its_kind() -> None:
    extras = {"schedule": ("timesteps", 999, 400, 20)}
    script = write_script(make_record(extras=extras, steps=3))
    assert "timesteps=[999, 400, 20]" in script
    assert "num_inference_steps=3" in script


def test_inputs_of_the_pipeline_are_those_of_the_call() -> None:
    extras = {"call.guidance_rescale": 0.7, "call.original_size": [512, 768]}
    inputs = inputs_of(write_script(make_record(extras=extras)))
    assert inputs["guidance_rescale"] == "0.7"
    assert inputs["original_size"] == "(512, 768)"


def test_a_scheduler_with_noise_of_its_own_gets_the_seed() -> None:
    script = write_script(make_record(scheduler="dpmpp_sde", seed=11))
    options = {k.arg for k in call_in(script, "from_config").keywords}
    assert "noise_sampler_seed=11" in script
    assert "noise_sampler_seed" in options


def test_on_a_cpu_the_number_of_threads_is_that_of_the_record() -> None:
    details = {**MADE.details, "cuda": "", "threads": "3"}
    script = write_script(make_record(made=replace(MADE, gpu="CPU x", details=details)))
    assert "\ntorch.set_num_threads(3)\n" in script
    assert '.to("cpu")\n' in script
    assert "set_num_threads" not in write_script(make_record())


def test_an_image_that_is_not_made_yet_goes_to_any_device() -> None:
    record = make_record(made=None)
    script = write_script(record)
    first = f"# Image {record.key} of nightsweep, which is not made yet."
    assert script.splitlines()[0] == first
    assert '.to("cuda" if torch.cuda.is_available() else "cpu")\n' in script


def test_what_diffusers_cannot_say_is_a_comment() -> None:
    details = {**MADE.details, "compiled": "torch.compile"}
    made = replace(MADE, engine="slots", batch_width=16, slot=3, details=details)
    comments = " ".join(
        line.removeprefix("# ")
        for line in write_script(make_record(made=made)).splitlines()
        if line.startswith("#")
    )
    assert (
        "It was made in row 3 of a mixed batch of 16; this script makes it alone, so "
        "its pixels may differ in the last bits. Its network ran under torch.compile, "
        "so its pixels may differ in the last bits."
    ) in comments


def test_the_script_of_another_back_end_begins_with_its_noise_and_says_so() -> None:
    record = make_record(backend="flax", generator="numpy", seed=11)
    script = write_script(record)
    assert "\nnoise = numpy.random.Generator(numpy.random.PCG64(11))\n" in script
    assert inputs_of(script)["latents"] == "latents.to(pipe.device, torch.float32)"
    comments = " ".join(
        line.removeprefix("# ") for line in script.splitlines() if line[0:1] == "#"
    )
    assert (
        "It was made by flax; this script begins with the same noise, but torch's"
        " pixels differ a little."
    ) in comments


def test_no_name_of_a_device_leaves_its_comment() -> None:
    gpu = "GPU\nimport os\r\x00\x85\u2028os.abort()"
    tree = ast.parse(write_script(make_record(made=replace(MADE, gpu=gpu))))
    named = [
        alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names
    ]
    assert named == ["torch"]


def test_a_pipeline_without_an_input_for_guidance_gets_none(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("model")
    (folder / "model_index.json").write_text('{"_class_name": "HunyuanImagePipeline"}')
    model = Model(fingerprint="2" * 32, name=str(folder), family="other")
    script = write_script(make_record(model=model, guidance=1.0))
    assert "guidance_scale" not in inputs_of(script)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    script = write_script(make_record(model=model, guidance=1.0))
    assert inputs_of(script)["guidance_scale"] == "1.0"


def test_a_place_that_is_here_is_taken_before_one_that_is_gone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("model")
    (folder / "model_index.json").write_text(
        '{"_class_name": "StableDiffusion3Pipeline", "text_encoder_3": [null, null]}'
    )
    gone = Model(fingerprint="2" * 32, name="/gone", family="sd3")
    here = replace(gone, name=str(folder))
    record = replace(make_record(model=gone), places=(gone, here))
    script = write_script(record)
    assert str(folder) in script
    assert "text_encoder_3=None" in script
    assert '"/gone"' in write_script(make_record(model=gone))
