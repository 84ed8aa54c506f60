"""What an answer of Alipay's is when it cannot be believed."""


class Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log."""

    def __init__(self, why: str, code: str = "", *, misconfigured: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.misconfigured = misconfigured
