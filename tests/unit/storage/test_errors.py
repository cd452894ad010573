from storage.errors import in_words


def test_an_error_is_its_class_and_its_words() -> None:
    assert in_words(ValueError("too long")) == "ValueError: too long"


def test_an_error_without_words_is_told_by_the_line_that_raised_it() -> None:
    order = 0
    try:
        assert order > 0
    except AssertionError as error:
        error.args = ()
        said = in_words(error)
    assert said.startswith("AssertionError in test_errors.py line ")
    assert "assert order > 0" in said


def test_an_error_that_was_never_raised_is_its_class() -> None:
    assert in_words(AssertionError()) == "AssertionError"
