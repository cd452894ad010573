"""A sweep's name in the text of its spec."""

import pytest

from producer.spec.naming import with_name
from storage.errors import UsageError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# mine\nname:  old # the name\nbase: {model: old}\n",
            "# mine\nname:  new # the name\nbase: {model: old}\n",
        ),
        ('name: "old"\naxes: {}\n', 'name: "new"\naxes: {}\n'),
        ("{name: 'old', base: {}}", "{name: 'new', base: {}}"),
        (
            '{"base": {"name": "x"}, "name": "old"}',
            '{"base": {"name": "x"}, "name": "new"}',
        ),
        (
            "base:\n  name: x\naxes: [name, a]\nname: old\n",
            "base:\n  name: x\naxes: [name, a]\nname: new\n",
        ),
        ("name: &n old\nbase: {tag: *n}\n", "name: &n new\nbase: {tag: *n}\n"),
        ("name: >-\n  old\nbase: {}\n", "name: new\nbase: {}\n"),
        ("name: ünï\nbase: {}\n", "name: new\nbase: {}\n"),
    ],
)
def test_only_the_name_changes(before: str, after: str) -> None:
    assert with_name(before, "new") == after


def test_a_name_that_yaml_takes_for_nothing_is_quoted() -> None:
    assert with_name("name: old", "null") == 'name: "null"'


@pytest.mark.parametrize("text", ["", "# nothing", "a: 1", "a: {name: old}", "a: ["])
def test_a_spec_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a spec must have a name"):
        with_name(text, "new")
