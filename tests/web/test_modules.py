"""Modules of pages that need no page, in Node; the browser's tests try the rest."""

import json
from pathlib import Path

import pytest
from starlette.datastructures import QueryParams

from gallery.pages import pivot_address
from storage.queries.parsing import parse
from tests.web.node import run_module


@pytest.mark.parametrize("name", ["grid_modules.mjs", "page_modules.mjs"])
def test_modules_do_what_their_tests_say(name: str, tmp_path: Path) -> None:
    tests = Path(__file__).with_name(name).read_text("utf-8")
    run_module(tmp_path, tests, "--test")


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
    written = json.loads(run_module(tmp_path, script))
    for term, value in zip(written, values, strict=True):
        (read,) = parse(term).terms
        assert [one.text for one in read.values] == [value], term
        assert not read.is_negated
        assert not read.values[0].is_glob


def test_a_page_asks_early_for_what_its_script_will_ask(tmp_path: Path) -> None:
    query = 'a~ *b 여우 🦊 (c)!\' "d" 100% + e&f=g._-'
    pairs = [("q", query), ("fix.prompt", "~* x/y")]
    script = f"console.log(String(new URLSearchParams({json.dumps(pairs)})))"
    asked = run_module(tmp_path, script).strip()
    params = QueryParams([("zoom", "2,0,0"), *pairs])
    assert pivot_address(params) == f"/api/pivot?{asked}"
