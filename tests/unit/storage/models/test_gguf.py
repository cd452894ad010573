"""GGUF files of transformers, by their headers alone."""

from pathlib import Path

import pytest

from storage.errors import ModelError
from storage.models.fingerprint import Digests, fingerprint
from storage.models.gguf_headers import read_gguf_header
from storage.models.located import Located
from storage.models.model_files import locate
from tests.unit.gguf_files import F16, F32, Q8_0, write_gguf
from tests.unit.tiny_checkpoints import IN, make_flux_folder

FLUX = {
    "img_in.weight": (Q8_0, (8, 64)),
    "double_blocks.0.img_attn.norm.key_norm.scale": (F32, (128,)),
    "guidance_in.in_layer.bias": (F16, (3072,)),
    "single_blocks.0.norm.key_norm.scale": (F32, (128,)),
}


def find(file: Path, config: Path) -> Located:
    return locate(f"{file}?config={config}", download=False)


def test_a_header_has_the_names_types_and_shapes_of_all_tensors(tmp_path: Path) -> None:
    header = read_gguf_header(write_gguf(tmp_path / "x.gguf", FLUX))
    assert header.metadata == {"general.architecture": "flux"}
    found = {name: (each.dtype, each.shape) for name, each in header.tensors.items()}
    assert found == {
        "img_in.weight": ("Q8_0", (8, 64)),
        "double_blocks.0.img_attn.norm.key_norm.scale": ("F32", (128,)),
        "guidance_in.in_layer.bias": ("F16", (3072,)),
        "single_blocks.0.norm.key_norm.scale": ("F32", (128,)),
    }
    # Of 64 numbers, 32 are a block of 34 bytes.
    first, second, *_ = header.tensors.values()
    assert (first.end - first.start, second.start - first.end) == (8 * 2 * 34, 0)


def test_a_file_has_the_network_and_its_config_the_rest(tmp_path: Path) -> None:
    folder = make_flux_folder(tmp_path / "flux")
    file = write_gguf(tmp_path / "x.gguf", FLUX)
    found = find(file, folder)
    assert found.held == {"transformer"}
    assert found.checkpoint == file
    assert found.size_bytes > file.stat().st_size
    before = fingerprint(found, Digests())
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert fingerprint(find(copy, folder), Digests()) == before
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    copy.write_bytes(changed)
    assert fingerprint(find(copy, folder), Digests()) != before


def test_a_config_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = make_flux_folder(tmp_path / "flux", embeds_guidance=False)
    with pytest.raises(ModelError, match="has a guidance_embeds of True, but the conf"):
        find(write_gguf(tmp_path / "x.gguf", FLUX), folder)


def test_a_network_that_is_no_transformer_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf", {IN: (F16, (320, 4, 3, 3))})
    context = IN.replace("0.0", "4.1.transformer_blocks.0.attn2.to_k")
    write_gguf(file, {IN: (F16, (320, 4, 3, 3)), context: (F16, (640, 768))})
    with pytest.raises(ModelError) as caught:
        find(file, tmp_path)
    assert str(caught.value) == (
        "a GGUF file must be of a transformer, which diffusers can load, but"
        f" {file} is of Stable Diffusion 1; name its safetensors"
    )


def test_numbers_that_diffusers_does_not_know_are_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf", {"a": ((39, 32, 17), (32,))})
    with pytest.raises(ModelError, match="IQ4_NL, IQ4_XS, got the type 39; name a"):
        read_gguf_header(file)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", FLUX).read_bytes()
    cases = {
        b"GGML" + whole[4:]: "but it does not begin with GGUF",
        whole[:4] + b"\x01" + whole[5:]: "but it is of version 1;",
        whole[:60]: "but it ends in its header;",
        whole[:8] + b"\xff" * 8 + whole[16:]: "but it counts 18446744073709551615",
        whole[:-40]: "bytes, as its header says, but has",
    }
    odd = write_gguf(tmp_path / "odd.gguf", FLUX, list_name="general.alignment")
    cases[odd.read_bytes()] = "must be in GGUF format"
    deep = write_gguf(tmp_path / "deep.gguf", {"a": (F32, (1,) * 9)})
    cases[deep.read_bytes()] = "but it has a tensor of 9 sides"
    for number, (data, said) in enumerate(cases.items()):
        file = tmp_path / f"{number}.gguf"
        file.write_bytes(data)
        with pytest.raises(ModelError, match=said):
            read_gguf_header(file)
