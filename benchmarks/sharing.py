"""What `export` and `import` of many images take.

    python benchmarks/sharing.py --images 100000

Makes a sweep of PNG files in a new home, exports it to a folder and to a zip file, and
imports both into new homes, twice. Prints a table in Markdown: the seconds of each
command by the clock and of its processor, and the most memory that it had.
"""

import argparse
import hashlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import removal
from PIL import Image

SIDE_PX = 512


def main() -> None:
    """Measure each command in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sharing-") as folder:
        base = Path(folder)
        settings = removal.read_settings({"NIGHTSWEEP_HOME": str(base / "home")})
        settings.make_home()
        use_real_pictures()
        removal.fill(settings, asked.images)
        rows = []
        for to in ("folder", "file.zip"):
            words = ("export", "big", "--to", str(base / to), "--no-sheet")
            rows.append(measure(base / "home", *words))
            rows.append(measure(base / f"home-{to}", "import", str(base / to)))
            rows.append(measure(base / f"home-{to}", "import", str(base / to)))
        write(rows)


def use_real_pictures() -> None:
    """Have `removal.fill` make files that can be imported."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), "teal")
    out = io.BytesIO()
    picture.save(out, "PNG")
    content = out.getvalue()

    def make_files(images: Path, key: str) -> None:
        path = images / removal.relative_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    removal.make_files = make_files
    removal.PNG_BYTES = len(content)
    removal.PIXELS = hashlib.sha256(picture.tobytes()).hexdigest()


def measure(home: Path, *words: str) -> tuple[str, float, float, float]:
    """Run a command; return it with its seconds and its memory in MB."""
    env = {**os.environ, "NIGHTSWEEP_HOME": str(home)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", RUN, *words]
    said = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    wall_s, after = (
        time.perf_counter() - began,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shown = f"{words[0]} {Path(words[-2 if words[0] == 'export' else -1]).name}"
    return shown, wall_s, cpu_s, int(said.stdout.splitlines()[-1]) / 1000


#: Runs a command, and prints the most memory of its process in kB.
RUN = """
import resource, sys
from producer.cli import cli
cli(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write(rows: list[tuple[str, float, float, float]]) -> None:
    """Print the figures as a table."""
    out = sys.stdout.write
    out("| command | seconds | CPU s | MB |\n|---|---|---|---|\n")
    for shown, wall_s, cpu_s, memory in rows:
        out(f"| {shown} | {wall_s:.1f} | {cpu_s:.1f} | {memory:.0f} |\n")


if __name__ == "__main__":
    main()
