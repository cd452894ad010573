"""The grid's modules that need no page; the browser tests try the rest."""

import json
import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from starlette.datastructures import QueryParams

from gallery.pages import pivot_address

TESTS = Path(__file__).with_name("grid_modules.mjs")
NODE = shutil.which("node")


pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not on the PATH.")


def test_modules_without_a_page_do_what_their_tests_say(tmp_path: Path) -> None:
    assert NODE is not None
    # Node takes a script for a module only where a package.json says so.
    with as_file(files("gallery") / "static") as static:
        shutil.copytree(static, tmp_path, dirs_exist_ok=True)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(TESTS, tmp_path)
    done = subprocess.run(
        [NODE, "--test", TESTS.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_asks_early_for_what_its_script_will_ask() -> None:
    assert NODE is not None
    query = 'a~ *b 여우 🦊 (c)!\' "d" 100% + e&f=g._-'
    pairs = [("q", query), ("fix.prompt", "~* x/y")]
    script = f"console.log(String(new URLSearchParams({json.dumps(pairs)})))"
    done = subprocess.run(
        [NODE, "-e", script], capture_output=True, text=True, check=True
    )
    params = QueryParams([("zoom", "2,0,0"), *pairs])
    assert pivot_address(params) == f"/api/pivot?{done.stdout.strip()}"
