"""What typefaces a test has."""

import shutil
from pathlib import Path

import pytest

#: Rectangles of different heights for 고, 양, 이, 猫 and 🐱, made with fontTools.
BOXES = Path(__file__).parent / "boxes.ttf"
#: A coloured bitmap of one size for 🦊, as fonts of emoji have them.
COLOURS = BOXES.with_name("colours.ttf")
#: Letters of `BOXES`.
LETTERS = "고양이猫🐱"


def leave_no_typeface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Pillow's own typeface alone: no system has any, nor a fontconfig."""
    monkeypatch.setattr("producer.sheet.typefaces.SYSTEM_TYPEFACES", ())
    monkeypatch.setattr("producer.sheet.typefaces.TYPEFACE_FOLDERS", ())
    monkeypatch.setenv("PATH", "")


def leave_boxes(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    fontconfig: bool,
    of: Path = BOXES,
) -> Path:
    """Leave `of` as the only typeface of the system; return its file."""
    fonts = folder / "fonts"
    fonts.mkdir()
    file = Path(shutil.copy(of, fonts))
    path = shutil.which("fc-list")
    leave_no_typeface(monkeypatch)
    if not fontconfig:
        monkeypatch.setattr("producer.sheet.typefaces.TYPEFACE_FOLDERS", (str(fonts),))
        return file
    if path is None:
        pytest.skip("this machine has no fontconfig")
    config = folder / "fonts.conf"
    config.write_text(
        f"<fontconfig><dir>{fonts}</dir><cachedir>{folder}/cache</cachedir></fontconfig>"
    )
    monkeypatch.setenv("FONTCONFIG_FILE", str(config))
    monkeypatch.setenv("PATH", str(Path(path).parent))
    return file
