"""The bearer token of a service, which shows itself to that service only."""

import os

import requests
from requests.auth import AuthBase

from dailytalk_contiguous.core.errors import DailytalkError


class Token(AuthBase):
    """A bearer token that shows itself to the service only. An empty one sends no header at all.

    Args:
        token: its text; white space around it is removed.
        variables: the environment variables that may hold it, for messages.
    """

    def __init__(self, token: str, variables: str) -> None:
        self._token = token.strip()
        self.variables = variables
        # requests would show what it can't send in its error message.
        is_printable = self._token.isascii() and self._token.isprintable()
        if not is_printable or " " in self._token:
            raise DailytalkError("the token holds characters that no header can carry", f"set {variables} again")

    @classmethod
    def from_environment(cls, *variables: str) -> "Token":
        """The token in the first of these environment variables that is set and not empty."""
        values = [os.environ.get(variable) for variable in variables]
        token = next(filter(None, values), "")
        return cls(token, " or ".join(variables))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __bool__(self) -> bool:
        return bool(self._token)

    def __reduce__(self) -> str:
        raise TypeError("a token is not pickled: it would end in a file")

    def hidden_in(self, text: str) -> str:
        """Return a text with asterisks where it repeats the token."""
        if not self._token:
            return text
        return text.replace(self._token, "***")
