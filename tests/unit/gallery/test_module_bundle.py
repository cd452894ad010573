"""Modules of JavaScript as one script: order, names, and what is refused."""

from pathlib import Path

import pytest

from gallery.module_bundle import BundleError, make_bundle
from gallery.static_files import PAGES, page_script

MODULES = {
    "grid.js": """\
// The page.
import {h, setChildren} from "./dom.js";
import {T} from "./texts.js";

export function draw() {
  const name = T.name;
  return h(name);
}
draw();
""",
    "dom.js": """\
import {T} from "./texts.js";

const [first, second] = [1, 2];
const {width, height: tall = 3, ...rest} = {};
export async function h(tag) {
  return `
${tag} ${T.name}`;
}
export const setChildren = (element) => element;
export class Place {}
""",
    "texts.js": 'export const T = {name: "눈 🦊"};\n',
}


def write(folder: Path, **changed: str) -> Path:
    modules = MODULES | {f"{name}.js": text for name, text in changed.items()}
    for name, text in modules.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_modules_stand_in_the_order_in_which_they_need_each_other(
    tmp_path: Path,
) -> None:
    script = make_bundle(write(tmp_path), "grid.js")
    heads = [line for line in script.splitlines() if line.endswith(".js")]
    assert heads == ["// texts.js", "// dom.js", "// grid.js"]
    assert "import" not in script
    assert "export" not in script
    assert 'const T = {name: "눈 🦊"};' in script
    assert "\nasync function h(tag) {" in script
    assert script.endswith("draw();\n")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"texts": "export const T = 1;\nfunction draw() {}\n"}, "'draw' in texts.js"),
        ({"texts": "export const T = 1;\nclass h {}\n"}, "'h' in texts.js and dom.js"),
        ({"texts": "export const T = 1;\nlet tall;\n"}, "'tall' in texts.js"),
        ({"texts": "export const T = 1;\nlet rest = 1;\n"}, "'rest' in texts.js"),
        ({"texts": "const T = 1;\n"}, "import what texts.js exports, got 'T'"),
        ({"texts": "export default 1;\n"}, "'export default 1;' in texts.js line 1"),
        ({"texts": "\nexport {T};\n"}, "in texts.js line 2"),
        ({"dom": 'import T from "./texts.js";\n'}, "in dom.js line 1"),
        ({"dom": 'import {T as U} from "./texts.js";\n'}, "in dom.js line 1"),
        ({"dom": 'import {\n  T,\n} from "./texts.js";\n'}, "in dom.js line 1"),
        ({"dom": 'import {x} from "./gone.js";\n'}, "got gone.js, which dom.js"),
        ({"dom": 'const x = () => import("./texts.js");\n'}, "do without 'import('"),
        ({"dom": "const x = '</SCRIPT>';\n"}, "dom.js must do without '</SCRIPT'"),
        (
            {"texts": 'import {h} from "./dom.js";\nexport const T = 1;\n'},
            "got dom.js -> texts.js -> dom.js",
        ),
    ],
)
def test_what_cannot_be_one_script_is_refused_with_its_place(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(BundleError) as refused:
        make_bundle(write(tmp_path, **changed), "grid.js")
    assert said in str(refused.value)


@pytest.mark.parametrize("page", PAGES)
def test_the_modules_of_a_page_are_one_script(page: str) -> None:
    script = page_script(page)
    assert "\nconst T = {" in script
    lines = script.splitlines()
    assert not [line for line in lines if line.startswith(("import", "export"))]
