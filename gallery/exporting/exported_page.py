"""The page of an export: script, style and data in one file, opened from a disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gallery.exporting.inline_parts import as_json, policy_hash
from gallery.static_files import page_script, page_style

HERE = Path(__file__).resolve().parent.parent
#: The element that the page reads its data from; an earlier export is known by it.
MARK = 'id="nightsweep-data"'


def make_page(data: Mapping[str, Any], *, who: str) -> str:
    """Return the HTML of an exported page.

    Args:
        data: What the page shows: `pivot`, `images`, `thumbs` and `files`.
        who: The person whose ratings it has.

    Raises:
        BundleError: A module cannot be part of one script.
    """
    script = "\n" + page_script("grid")
    style = "\n" + page_style()
    policy = (
        "default-src 'none'",
        f"script-src {policy_hash(script)}",
        f"style-src {policy_hash(style)}",
        # Pictures beside the page; `'self'` means no file to some browsers.
        "img-src 'self' file: data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return templates.get_template("export.html").render(
        title=data["pivot"]["query"] or "all images",
        policy="; ".join(policy),
        script=script,
        style=style,
        data=as_json(data),
        who=who,
    )
