"""What one script for all modules of a page asks of them."""

import re
from collections import Counter
from importlib.resources import files

import pytest

from gallery.static_files import PAGES, page_script

SCRIPTS = {
    place.name: place.read_text("utf-8")
    for place in (files("gallery") / "static").iterdir()
    if place.name.endswith(".js")
}
IMPORT = re.compile(r'import \{(\w+(?:, \w+)*)\} from "\./([\w-]+\.js)";')
EXPORT = re.compile(r"export (?:const|class|(?:async )?function\*?) (\w+)")
TOP_LEVEL = re.compile(
    r"^(?:export )?(?:const|let|class|(?:async )?function\*?) (\w+)", re.MULTILINE
)
#: Of the first load of a page, without the charts' library.
MOST_BYTES = 200_000


@pytest.mark.parametrize("name", SCRIPTS)
def test_imports_name_what_another_module_exports(name: str) -> None:
    lines = [one for one in SCRIPTS[name].splitlines() if re.match(r"import\b", one)]
    for line in lines:
        found = IMPORT.fullmatch(line)
        assert found, line
        names, other = found.groups()
        assert set(names.split(", ")) <= set(EXPORT.findall(SCRIPTS[other])), line


@pytest.mark.parametrize("name", SCRIPTS)
def test_imports_are_used(name: str) -> None:
    text = SCRIPTS[name]
    for names, _ in IMPORT.findall(text):
        for one in names.split(", "):
            assert len(re.findall(rf"\b{one}\b", text)) > 1, one


@pytest.mark.parametrize("name", SCRIPTS)
def test_exports_are_plain_declarations(name: str) -> None:
    for line in SCRIPTS[name].splitlines():
        if line.startswith("export"):
            assert EXPORT.match(line), line


def test_no_two_modules_share_a_name() -> None:
    counts = Counter(
        name for text in SCRIPTS.values() for name in TOP_LEVEL.findall(text)
    )
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_module_writes_html_or_waits_at_its_top(name: str) -> None:
    text = SCRIPTS[name]
    for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert banned not in text
    assert not re.search(r"\b(eval|Function|import)\(", text)
    assert not re.search(r"^await ", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_script_of_a_page_is_small(page: str) -> None:
    assert len(page_script(page).encode()) <= MOST_BYTES
