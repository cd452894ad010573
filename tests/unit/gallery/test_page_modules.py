"""The modules of the pages that need no page; the browser tests try the rest."""

import json
import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from storage.queries.parsing import parse

NODE = shutil.which("node")
TESTS = Path(__file__).with_name("page_modules.mjs")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not on the PATH.")


def _run(folder: Path, *options: str, script: str) -> str:
    # Node takes a script for a module only where a package.json says so.
    with as_file(files("gallery") / "static") as static:
        shutil.copytree(static, folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.mjs").write_text(script, "utf-8")
    done = subprocess.run(
        [str(NODE), *options, "run.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_modules_of_pages_do_what_their_tests_say(tmp_path: Path) -> None:
    _run(tmp_path, "--test", script=TESTS.read_text("utf-8"))


def test_links_write_values_as_queries_read_them(tmp_path: Path) -> None:
    values = [
        "first-sweep",
        'a "red" fox, 1..2',
        "back\\slash",
        "-minus",
        "눈 속의 여우 🦊",
        "ddim(clip_sample=true)",
        "glob*?",
        "4..8",
        "<script>",
    ]
    script = (
        'import {termOf} from "./format.js";\n'
        f"const values = {json.dumps(values)};\n"
        'console.log(JSON.stringify(values.map((one) => termOf("prompt", one))));\n'
    )
    written = json.loads(_run(tmp_path, script=script))
    for term, value in zip(written, values, strict=True):
        (read,) = parse(term).terms
        assert [one.text for one in read.values] == [value], term
        assert not read.is_negated
        assert not read.values[0].is_glob
