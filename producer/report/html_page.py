"""A report as one HTML file, which opens from disk without a network."""

from dataclasses import dataclass
from importlib.resources import files

from gallery.exporting.inline_parts import as_json, policy_hash
from producer.report.content import Content

#: The libraries that draw the charts, in the order of loading.
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")


def render(content: Content, *, made_at: str, version: str) -> str:
    """Return the page of a report.

    All texts are escaped. The page's policy admits its own scripts by their hashes and
    `data:` images, and nothing else: a prompt cannot run, and nothing is loaded.

    Args:
        content: What it says.
        made_at: When it was made, for people.
        version: Version of nightsweep.
    """
    # Imported here: most commands render nothing.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [_read("analysis", f"vega/{name}") for name in SCRIPTS]
    scripts.append(_read("producer.report", "page.js"))
    template = environment.from_string(_read("producer.report", "page.html.j2"))
    return template.render(
        content=content,
        made_at=made_at,
        version=version,
        style=_Verbatim(_read("producer.report", "page.css")),
        scripts=[_Verbatim(each) for each in scripts],
        policy=" ".join(map(policy_hash, scripts)),
        specs={each.name: _Verbatim(as_json(each.spec)) for each in content.charts},
    )


@dataclass(frozen=True, slots=True)
class _Verbatim:
    """A text of our own that the template must not escape."""

    text: str

    def __html__(self) -> str:
        return self.text


def _read(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text("utf-8")
