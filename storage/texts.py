"""Text from outside: whether it is valid, and how to show it if not."""


def is_text(value: str) -> bool:
    """Return whether an argument, a path or an environment variable is UTF-8 text.

    Python keeps bytes that are not UTF-8 as lone surrogates, which neither SQL nor
    JSON nor a tokenizer can hold.
    """
    return not any("\ud800" <= character <= "\udfff" for character in value)


def shown_bytes(value: str) -> str:
    r"""Return a value for a message, with bytes that are not text as `\xe9`."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
