"""Why something was not done, in one sentence, whatever was raised."""

from hfdiff.core.errors import HFDiffError


def reason_of(error: BaseException) -> str:
    """One line for people: the way out in brackets where there is one.

    Errors that hfdiff did not foresee keep their type's name, so that they can be reported.
    """
    if isinstance(error, HFDiffError):
        text = str(error) if error.hint is None else f"{error} ({error.hint})"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = "not enough memory"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.splitlines())
