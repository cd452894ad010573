"""Models of the Hub: from a cache that a test lays out, and from a small server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from tests.hub_server import COMMIT, NAME, cached_files, hub_settings, serve, sha256
from tests.unit.tiny_checkpoints import SD1, UNET, write_checkpoint
from tests.unit.tiny_folders import LOADED, make_folder, weights, write

WEIGHTS = tuple(file for file in LOADED if file.endswith(".safetensors"))

# The library reads its settings when it is imported, so each question is asked in a
# process of its own.
ASK = """
import json, sys
from pathlib import Path
from producer.models.cards import describe
from storage.errors import ModelError
from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from storage.models.networks import locate_network
options = json.loads(sys.argv[1])
try:
    if options.pop("card", False):
        model = describe(**options, base_dir=Path("/")).model
        answer = {"commit": model.commit, "fingerprint": model.fingerprint}
    else:
        found = (locate_network if "types" in options else locate)(**options)
        answer = {
            "commit": found.commit,
            "folder": str(found.folder),
            "files": found.files,
            "size_bytes": found.size_bytes,
            "fingerprint": fingerprint(found, Digests()),
        }
except ModelError as error:
    answer = {"error": str(error)}
print(json.dumps(answer))
"""


def ask(home: Path, endpoint: str = "", **options: Any) -> dict[str, Any]:
    """Locate or describe org/name in a process whose Hub cache is under `home`.

    Without an endpoint the Hub is switched off.
    """
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps({"name": NAME, **options})],
        env=hub_settings(home, endpoint),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def lay_out(home: Path, source: Path, *, revision: str = "main") -> Path:
    """Lay a folder out as huggingface_hub keeps it; give the snapshot."""
    repo = home / "hub" / "models--org--name"
    write(repo, f"refs/{revision}", COMMIT)
    for file in LOADED:
        if (source / file).is_file():
            blob = repo / "blobs" / sha256(source / file)
            write(repo, str(blob), (source / file).read_bytes())
            link = repo / "snapshots" / COMMIT / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    return repo / "snapshots" / COMMIT


def print_of(folder: Path) -> str:
    return fingerprint(locate(str(folder), download=True), Digests())


def test_a_cached_model_is_found_offline(tmp_path):
    source = make_folder(tmp_path / "source")
    snapshot = lay_out(tmp_path / "home", source)
    found = ask(tmp_path / "home", download=True)
    assert found["folder"] == str(snapshot)
    assert found["commit"] == COMMIT
    assert found["files"] == list(LOADED)
    assert found["fingerprint"] == print_of(source)


@pytest.mark.parametrize("revision", ["v1.0", COMMIT])
def test_a_cached_revision_is_found_by_tag_and_by_commit(tmp_path, revision):
    lay_out(tmp_path / "home", make_folder(tmp_path / "source"), revision="v1.0")
    found = ask(tmp_path / "home", revision=revision, download=True)
    assert found["commit"] == COMMIT


def test_a_cached_model_has_a_card_offline(tmp_path):
    source = make_folder(tmp_path / "source")
    lay_out(tmp_path / "home", source)
    card = ask(tmp_path / "home", card=True)
    assert card == {"commit": COMMIT, "fingerprint": print_of(source)}


def test_a_blob_that_is_not_what_its_name_says_is_noticed(tmp_path):
    source = make_folder(tmp_path / "source")
    snapshot = lay_out(tmp_path / "home", source)
    (snapshot / WEIGHTS[0]).resolve().write_bytes(weights("damaged"))
    found = ask(tmp_path / "home", download=True)
    assert found["fingerprint"] != print_of(source)


def test_a_model_that_is_not_cached_names_the_way_out(tmp_path):
    error = ask(tmp_path / "home", download=True)["error"]
    assert error.startswith(f"{NAME} is not in the cache {tmp_path}/home/hub")
    assert "`nightsweep fetch org/name`" in error


def test_a_revision_that_is_not_cached_names_the_way_out(tmp_path):
    lay_out(tmp_path / "home", make_folder(tmp_path / "source"))
    error = ask(tmp_path / "home", revision="other", download=True)["error"]
    assert "`nightsweep fetch org/name --revision other`" in error


def test_a_cache_without_the_weights_says_that_it_is_not_whole(tmp_path):
    source = make_folder(tmp_path / "source")
    for file in WEIGHTS:
        (source / file).unlink()
    lay_out(tmp_path / "home", source)
    error = ask(tmp_path / "home", card=True)["error"]
    assert "is only partly in the cache" in error


def test_a_plan_fetches_all_but_the_weights(tmp_path):
    source = make_folder(tmp_path / "source")
    with serve(source) as hub:
        card = ask(tmp_path / "home", hub.url, card=True)
    assert card == {"commit": COMMIT, "fingerprint": print_of(source)}
    assert cached_files(tmp_path / "home") == set(LOADED) - set(WEIGHTS)


def test_a_worker_fetches_what_is_loaded_and_nothing_else(tmp_path):
    source = make_folder(tmp_path / "source")
    with serve(source) as hub:
        found = ask(tmp_path / "home", hub.url, download=True)
    assert found["fingerprint"] == print_of(source)
    assert found["size_bytes"] == sum((source / f).stat().st_size for f in LOADED)
    assert cached_files(tmp_path / "home") == set(LOADED)


def test_of_the_config_of_a_single_file_only_what_the_file_lacks_is_fetched(tmp_path):
    source = make_folder(tmp_path / "source")
    network = {name: shape for name, shape in SD1.items() if name.startswith(UNET)}
    file = write_checkpoint(tmp_path / "x.safetensors", network)
    name, home = f"{file}?config={NAME}", tmp_path / "home"
    lacking = set(LOADED) - {"unet/diffusion_pytorch_model.safetensors"}
    with serve(source) as hub:
        plan = ask(home, hub.url, name=name, card=True)
        assert cached_files(home) == lacking - set(WEIGHTS)
        work = ask(home, hub.url, name=name, revision=COMMIT, download=True)
    assert cached_files(home) == lacking
    assert plan["commit"] == work["commit"] == COMMIT
    in_folder = locate(f"{file}?config={source}", download=True)
    own = fingerprint(in_folder, Digests())
    assert plan["fingerprint"] == work["fingerprint"] == own
    assert ask(home, name=name, revision=COMMIT, download=True) == work


def test_every_vocabulary_file_is_fetched_for_the_plan_and_for_the_work(tmp_path):
    source = make_folder(tmp_path / "source")
    added = {
        "tokenizer/chat_template.jinja",
        "tokenizer/additional_chat_templates/tool_use.jinja",
        "tokenizer/vocab.txt",
        "text_encoder/generation_config.json",
    }
    for file in added:
        write(source, file, "text")
    write(source, "tokenizer/README.md", "# Not loaded")
    with serve(source) as hub:
        card = ask(tmp_path / "plan", hub.url, card=True)
        work = ask(tmp_path / "work", hub.url, download=True)
    assert card["fingerprint"] == work["fingerprint"] == print_of(source)
    assert cached_files(tmp_path / "plan") == {*LOADED, *added} - set(WEIGHTS)
    assert cached_files(tmp_path / "work") == {*LOADED, *added}


def test_what_was_fetched_is_found_when_the_hub_is_gone(tmp_path):
    with serve(make_folder(tmp_path / "source")) as hub:
        online = ask(tmp_path / "home", hub.url, download=True)
    assert ask(tmp_path / "home", hub.url, download=True) == online


def test_a_hub_that_is_down_is_replaced_by_the_cache(tmp_path):
    lay_out(tmp_path / "home", make_folder(tmp_path / "source"))
    with serve(tmp_path, (503, "")) as hub:
        assert ask(tmp_path / "home", hub.url, download=True)["commit"] == COMMIT


@pytest.mark.parametrize(
    ("status", "code", "way_out"),
    [
        (403, "GatedRepo", "is gated on the Hub; agree to its licence at"),
        (404, "RevisionNotFound", "has no revision 'main'"),
        (401, "RepoNotFound", "is not on the Hub, or is private; check the spelling"),
        (403, "", "(HTTP 403); run `hf auth login`"),
    ],
)
def test_a_refusal_of_the_hub_names_the_way_out(tmp_path, status, code, way_out):
    with serve(tmp_path, (status, code)) as hub:
        options = {"revision": "main", "download": True}
        assert way_out in ask(tmp_path / "home", hub.url, **options)["error"]


def test_a_repository_that_is_no_pipeline_is_refused(tmp_path):
    source = make_folder(tmp_path / "source")
    (source / "model_index.json").unlink()
    with serve(source) as hub:
        error = ask(tmp_path / "home", hub.url, download=True)["error"]
    assert "not a diffusers pipeline" in error
