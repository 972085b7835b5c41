"""The named errors of the data side; nothing else may reach a user."""


class DataError(ValueError):
    """Something is wrong with the user's data or its settings.

    The text is one sentence: what was expected, what came, which file, and
    what to do.
    """


class CorruptFileError(DataError):
    """A file cannot be read or decoded (truncated, damaged, not a picture).

    Only this kind of error may be skipped by ``skip_corrupt=True``.
    """
