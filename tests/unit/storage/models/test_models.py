import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub.hf_api import BlobLfsInfo, RepoSibling

from storage.errors import FingerprintError, ModelError
from storage.job import Model
from storage.models import hub
from storage.models.components import loaded_files
from storage.models.fingerprint import Digests, fingerprint, verify
from storage.models.located import Located
from storage.models.model_files import is_hub_id, locate, resolve_name
from storage.models.places import in_order
from tests.unit.tiny_folders import INDEX, LOADED, make_folder, weights, write

SHARDS = (
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
)


def find(folder: Path, *, variant: str | None = None) -> Located:
    return locate(str(folder), variant=variant, download=True)


def print_of(folder: Path) -> str:
    return fingerprint(find(folder), Digests())


def with_files(*added: str, without: tuple[str, ...] = ()) -> list[str]:
    return [*(file for file in LOADED if file not in without), *added]


def test_a_builtin_model_keeps_its_name(tmp_path):
    assert resolve_name("builtin:shapes", tmp_path) == "builtin:shapes"


def test_a_hub_id_keeps_its_name(tmp_path):
    name = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert resolve_name(name, tmp_path) == name


@pytest.mark.parametrize(
    ("written", "meant"),
    [("./sd", "specs/sd"), ("../sd", "sd"), (".", "specs"), ("./a/../sd", "specs/sd")],
)
def test_a_relative_folder_is_relative_to_the_spec(tmp_path, written, meant):
    base = tmp_path.resolve()
    assert resolve_name(written, base / "specs") == str(base / meant)


def test_a_folder_is_known_by_its_real_path(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert resolve_name("./link", tmp_path) == str((tmp_path / "real").resolve())


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path.resolve()))
    assert resolve_name("~/sd", Path("/base")) == str(tmp_path.resolve() / "sd")


@pytest.mark.parametrize("name", ["a\u00a0b", "👩\u200d🎨", "a\nb", "a\u202eb", "\x7f"])
def test_a_folder_may_have_any_name(tmp_path, name):
    base = tmp_path.resolve()
    assert resolve_name(f"./{name}", base) == f"{base}/{name}"
    assert resolve_name(f"{base}/{name}", Path("/base")) == f"{base}/{name}"


def test_a_folder_whose_name_is_no_text_is_refused():
    base = Path(os.fsdecode(b"/caf\xe9"))
    with pytest.raises(
        ModelError, match=r"must be UTF-8 text, got /caf\\xe9/sd; rename"
    ):
        resolve_name("./sd", base)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt2",
        "org/../../etc",
        "org/..",
        "../\0",
        "org\\name",
        "org/name/more",
        "C:/models",
        "org/na--me",
        "builtin:other",
        "https://huggingface.co/org/name",
        "~no-such-user-here/sd",
    ],
)
def test_a_name_of_no_known_kind_is_refused(tmp_path, name):
    with pytest.raises(ModelError, match="change `model`"):
        resolve_name(name, tmp_path)


@pytest.mark.parametrize("name", ["org/..name", "-org/name", "/org", "o rg/name"])
def test_a_hub_id_can_never_be_read_as_a_path(name):
    assert not is_hub_id(name)


def test_only_what_diffusers_reads_is_counted(tmp_path):
    assert find(make_folder(tmp_path)).files == LOADED


def test_the_order_of_the_listing_does_not_matter():
    assert loaded_files(reversed(LOADED), INDEX, variant=None) == LOADED


def test_a_variant_replaces_the_plain_weights_where_there_is_one():
    fp16 = "unet/diffusion_pytorch_model.fp16.safetensors"
    files = loaded_files(with_files(fp16), INDEX, variant="fp16")
    plain = "unet/diffusion_pytorch_model.safetensors"
    assert set(files) == {fp16, *LOADED} - {plain}


@pytest.mark.parametrize(
    "names",
    [
        ["diffusion_pytorch_model.fp16.safetensors"],
        [
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        ],
        ["diffusion_pytorch_model-00001-of-00002.fp16.safetensors", "model.bin"],
    ],
)
def test_a_folder_with_a_variant_only_is_told_how_to_ask_for_it(names):
    files = [
        file for file in LOADED if file != "unet/diffusion_pytorch_model.safetensors"
    ]
    with pytest.raises(ModelError) as caught:
        loaded_files([*files, *(f"unet/{name}" for name in names)], INDEX, variant=None)
    assert str(caught.value) == (
        "unet must have safetensors weights (diffusion_pytorch_model.safetensors), "
        "found the variant fp16 only; write the model as {id: ..., variant: fp16}"
    )


def test_a_variant_that_nobody_has_is_refused():
    files = with_files("unet/diffusion_pytorch_model.non_ema.safetensors")
    with pytest.raises(ModelError, match="variant 'fp16'; there is non_ema: change"):
        loaded_files(files, INDEX, variant="fp16")


def test_shards_are_loaded_before_a_single_file_as_diffusers_does():
    files = loaded_files(with_files(*SHARDS), INDEX, variant=None)
    single = "unet/diffusion_pytorch_model.safetensors"
    assert set(files) == {*SHARDS, *LOADED} - {single}


def test_a_single_file_is_loaded_before_shards_as_transformers_does():
    shards = [
        "text_encoder/model.safetensors.index.json",
        "text_encoder/model-00001-of-00001.safetensors",
    ]
    assert loaded_files(with_files(*shards), INDEX, variant=None) == LOADED


@pytest.mark.parametrize(
    "shards",
    [
        (
            "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
            "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        ),
        (
            "unet/diffusion_pytorch_model.safetensors.fp16.index.json",
            "unet/diffusion_pytorch_model-00001-of-00001.fp16.safetensors",
        ),
    ],
)
def test_shards_of_a_variant_are_found_in_the_new_form_and_the_old(shards):
    files = loaded_files(with_files(*shards), INDEX, variant="fp16")
    assert set(shards) < set(files)


def test_a_missing_shard_is_noticed():
    with pytest.raises(ModelError, match="needs all of its shards, found 1"):
        loaded_files(with_files(*SHARDS[:2]), INDEX, variant=None)


def test_an_image_encoder_that_is_there_counts():
    index = INDEX | {"image_encoder": ["transformers", "CLIPVisionModel"]}
    added = ("image_encoder/config.json", "image_encoder/model.safetensors")
    assert set(added) < set(loaded_files(with_files(*added), index, variant=None))


def test_pickled_weights_are_not_taken_for_safetensors():
    single = "unet/diffusion_pytorch_model.safetensors"
    files = with_files("unet/diffusion_pytorch_model.bin", without=(single,))
    with pytest.raises(ModelError, match=r"unet must have safetensors .*model\.bin"):
        loaded_files(files, INDEX, variant=None)


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/model.safetensors",
    ],
)
def test_a_file_that_is_missing_is_named(file):
    with pytest.raises(ModelError, match=file.partition("/")[0]):
        loaded_files(with_files(without=(file,)), INDEX, variant=None)


def test_code_of_a_models_own_is_refused():
    index = INDEX | {"unet": ["my_unet", "MyUNet"]}
    with pytest.raises(ModelError, match="never run"):
        loaded_files(with_files("unet/my_unet.py"), index, variant=None)


def test_a_pipeline_of_a_models_own_is_refused():
    index = INDEX | {"_class_name": ["my_pipeline", "MyPipeline"]}
    with pytest.raises(ModelError, match="never run"):
        loaded_files(LOADED, index, variant=None)


def test_a_component_whose_name_is_a_path_is_not_followed(tmp_path):
    make_folder(tmp_path / "sd", index={"../other": ["diffusers", "VQModel"]})
    assert find(tmp_path / "sd").files == LOADED


def test_a_copy_under_another_name_has_the_same_fingerprint(tmp_path):
    make_folder(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert print_of(tmp_path / "one") == print_of(tmp_path / "two")


def test_a_fingerprint_is_32_hex_digits_and_stays_what_it_is(tmp_path):
    assert print_of(make_folder(tmp_path)) == "576e86514006c4b04e3d5ff478ea677e"


@pytest.mark.parametrize("file", LOADED)
def test_every_loaded_file_decides_the_fingerprint(tmp_path, file):
    before = print_of(make_folder(tmp_path))
    path = tmp_path / file
    path.write_bytes(path.read_bytes() + b" ")
    assert print_of(tmp_path) != before


def test_what_is_not_loaded_does_not_decide_the_fingerprint(tmp_path):
    before = print_of(make_folder(tmp_path))
    write(tmp_path, "README.md", "# Changed")
    write(tmp_path, "safety_checker/model.safetensors", weights("changed"))
    assert print_of(tmp_path) == before


def test_the_hub_and_a_folder_give_one_fingerprint(tmp_path):
    here = find(make_folder(tmp_path / "full"))
    unet = "unet/diffusion_pytorch_model.safetensors"
    stated = {unet: Digests().of(tmp_path / "full" / unet)}
    (tmp_path / "full" / unet).unlink()
    there = Located(
        name="org/name",
        folder=here.folder,
        commit="c" * 40,
        index=here.index,
        files=here.files,
        size_bytes=here.size_bytes,
        sha256=stated,
    )
    make_folder(tmp_path / "again")
    assert fingerprint(there, Digests()) == print_of(tmp_path / "again")


def test_a_model_that_was_not_planned_is_refused(tmp_path):
    model = find(make_folder(tmp_path))
    verify(model, print_of(tmp_path), digests=Digests())
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        verify(model, "0" * 32, digests=Digests())


def settled(memory: Path | None = None, **options: bool) -> Digests:
    """Digests for which every file was written long ago."""
    return Digests(memory, now_ns=lambda: time.time_ns() + 10**12, **options)


def test_a_digest_is_remembered(tmp_path, monkeypatch):
    file = write(tmp_path, "weights", b"before")
    memory = tmp_path / "state" / "digests.json"
    first = settled(memory)
    before = first.of(file)
    first.save()
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert settled(memory).of(file) == before


def test_a_file_replaced_by_one_of_equal_size_time_and_inode_is_hashed_again(tmp_path):
    # So does `tar` when it unpacks over a folder that was removed, on ext4.
    file = write(tmp_path, "weights", b"before")
    memory = tmp_path / "digests.json"
    first = settled(memory)
    first.of(file)
    first.save()
    stat = file.stat()
    file.write_bytes(b"after!")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    while file.stat().st_ctime_ns == stat.st_ctime_ns:  # until the clock has ticked
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_size) == (stat.st_ino, stat.st_size)
    assert settled(memory).of(file) == hashlib.sha256(b"after!").hexdigest()


def test_a_file_that_was_changed_a_moment_ago_is_not_remembered(tmp_path):
    file = write(tmp_path, "weights", b"before")
    changed_ns = file.stat().st_ctime_ns
    digests = Digests(tmp_path / "digests.json", now_ns=lambda: changed_ns + 10**9)
    digests.of(file)
    digests.save()
    assert not (tmp_path / "digests.json").exists()


def test_a_digest_of_an_earlier_version_is_not_believed(tmp_path):
    file = write(tmp_path, "weights", b"content")
    stat = file.stat()
    old = [stat.st_size, stat.st_mtime_ns, stat.st_ino, "0" * 64]
    memory = write(tmp_path, "digests.json", {str(file.resolve()): old})
    assert settled(memory).of(file) == hashlib.sha256(b"content").hexdigest()


def test_a_readonly_memory_of_digests_is_used_and_never_written(tmp_path):
    memory = tmp_path / "digests.json"
    digests = settled(memory, readonly=True)
    digests.of(write(tmp_path, "weights", b"content"))
    digests.save()
    assert not memory.exists()


def test_two_writers_of_one_memory_keep_each_others_digests(tmp_path):
    memory = tmp_path / "digests.json"
    one, two = settled(memory), settled(memory)
    one.of(write(tmp_path, "a", b"a"))
    two.of(write(tmp_path, "b", b"b"))
    one.save()
    two.save()
    names = {Path(path).name for path in json.loads(memory.read_text())}
    assert names == {"a", "b"}


@pytest.mark.parametrize("damage", ["", "[]", "not json", '{"weights": [1]}'])
def test_a_damaged_memory_of_digests_is_made_anew(tmp_path, damage):
    memory = write(tmp_path, "digests.json", damage)
    digests = settled(memory)
    digests.of(write(tmp_path, "weights", b"content"))
    digests.save()
    assert len(json.loads(memory.read_text())) == 1


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path, caplog):
    write(tmp_path, "file", "")
    digests = settled(tmp_path / "file" / "digests.json")
    digests.of(write(tmp_path, "weights", b"content"))
    digests.save()
    assert caplog.records[0].action == "digests_not_saved"


def test_a_file_that_is_gone_is_a_model_error(tmp_path):
    model = find(make_folder(tmp_path))
    (tmp_path / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="must be readable"):
        fingerprint(model, Digests())


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"a folder with a model_index\.json"):
        find(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["", "[]", b"\xff\xfe"])
def test_a_damaged_index_is_refused(tmp_path, damage):
    write(make_folder(tmp_path), "model_index.json", damage)
    with pytest.raises(ModelError, match=r"model_index\.json must"):
        find(tmp_path)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(ModelError, match="only Hub models have a revision"):
        locate(str(make_folder(tmp_path)), revision="main", download=True)


@pytest.mark.parametrize("revision", ["../main", "/main", "a/../../b", ""])
def test_a_revision_that_could_be_a_path_is_refused(revision):
    with pytest.raises(ModelError, match="a branch, tag or commit"):
        locate("org/name", revision=revision, download=True)


@pytest.mark.parametrize("variant", ["", "../fp16", "fp.16", ".*"])
def test_a_variant_is_one_word(tmp_path, variant):
    with pytest.raises(ModelError, match="a variant is a word"):
        locate(str(tmp_path), variant=variant, download=True)


def test_places_on_this_machine_are_tried_before_what_must_be_fetched(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    make_folder(tmp_path / "here")
    hub_id = Model(fingerprint="f" * 32, name="org/name", revision="main")
    here, gone = (replace(hub_id, name=str(tmp_path / n)) for n in ("here", "gone"))
    here = replace(here, revision=None)
    assert in_order(hub_id, [here, hub_id]) == [here, hub_id]
    assert in_order(gone, [hub_id, here, gone]) == [here, gone, hub_id]


def test_the_hubs_list_of_files_gives_sizes_and_stated_hashes():
    lfs = BlobLfsInfo(size=9, sha256="a" * 64, pointer_size=1)
    siblings = [
        RepoSibling(rfilename="model_index.json", size=5, lfs=None),
        RepoSibling(rfilename="vae/model.safetensors", size=9, lfs=lfs),
        RepoSibling(rfilename="odd", size=None, lfs=None),
    ]
    listing = hub.listing_of("c" * 40, siblings)
    assert listing.sizes == {
        "model_index.json": 5,
        "vae/model.safetensors": 9,
        "odd": 0,
    }
    assert listing.sha256 == {"vae/model.safetensors": "a" * 64}
