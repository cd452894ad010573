"""Node, which Playwright brings along, for modules that need no page."""

import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path

import playwright

NODE = Path(playwright.__file__).parent / "driver" / "node"


def run_module(folder: Path, script: str, *options: str) -> str:
    """Run a module beside copies of the gallery's; return what it prints.

    Args:
        folder: Where the copies go.
        script: The module's text.
        options: Of Node: `--test` if the module has tests.
    """
    with as_file(files("gallery") / "static") as static:
        shutil.copytree(static, folder, dirs_exist_ok=True)
    # Node takes a script for a module only where a package.json says so.
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.mjs").write_text(script, "utf-8")
    done = subprocess.run(
        [NODE, *options, "run.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
