"""How the naive engine refuses a metric or an argument."""


class Refused(Exception):  # noqa: N818 - named after what happens
    """A metric or an argument that no engine may accept; `code` is one of those of the published rules."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
