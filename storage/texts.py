"""Text from outside: whether it is text at all."""


def is_text(value: str) -> bool:
    """Tell whether a word, a path or a variable of the system is UTF-8 text.

    Python keeps bytes that are not UTF-8 as lone surrogates, which neither SQL nor
    JSON nor a tokenizer can hold.
    """
    return not any("\ud800" <= character <= "\udfff" for character in value)


def shown_bytes(value: str) -> str:
    r"""Return a word of the system for a message: bytes that are no text as `\xe9`."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
