"""The server of a language model, which answers a person.

It gives a reply piece by piece, so that its first sentence is spoken while the rest is generated. It is any that
streams OpenAI's `POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat/create):
llama.cpp, vLLM, Ollama, OpenAI itself. Requests go through `models.paid`. The answer is checked event by event.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict
from urllib.parse import urlsplit

from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel, ReplyPieces
from dailytalk_contiguous.models.event_streams import ServerEvent
from dailytalk_contiguous.models.paid import Client, RequestLimits
from dailytalk_contiguous.models.request_failures import Advice, NotServed, ShortRead
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.store.secrets import is_this_machine

COMPLETIONS_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"

#: Seconds of silence in an answer at most, since a server may have to load its model, and for a whole one: a
#: person who waits for it asks again.
CHAT_LIMITS = RequestLimits(read_seconds=120.0, total_seconds=300.0, tries=1)

#: Seconds of silence at most where a server is asked for its models.
LIST_SECONDS = 20.0


class _Delta(TypedDict, total=False):
    content: str | None


class _Choice(TypedDict, total=False):
    delta: _Delta | None
    finish_reason: str | None


class _Error(TypedDict, total=False):
    message: str | None


class _Event(TypedDict, total=False):
    """An event: https://platform.openai.com/docs/api-reference/chat-streaming. Other fields are not read."""

    choices: list[_Choice] | None
    error: _Error | None


class _Model(TypedDict):
    id: str


class _Models(TypedDict):
    data: list[_Model]


def load_chat(address: str) -> ChatModel:
    """The model behind an address (see `ChatServer`); nothing is asked before its `preflight`.

    Raises DailytalkError for what is no address.
    """
    if not re.match(r"(?i)https?://", address):
        raise DailytalkError(
            f"{address!r} is not a chat model's address" if address else "nobody answers yet",
            "start a local server, such as llama-server, and give --chat http://localhost:8080 "
            "(see docs/converse.md)",
        )
    return ChatServer(address)


#: The host whose newer models take the limit of an answer only under another name.
PUBLIC_HOST = "api.openai.com"

#: Status codes of servers that don't list their models.
_NO_SUCH_PATH = frozenset({404, 405, 501})


class ChatServer:
    """A `ChatModel` behind an address.

    Args:
        address: `http` or `https`, with or without `/v1`, with `#MODEL` for a model that is not the first.
        limits: how long and how often the server is asked.

    Raises DailytalkError for an invalid address, and for plain http to another machine with a token.
    """

    def __init__(self, address: str, limits: RequestLimits = CHAT_LIMITS) -> None:
        url, _, self.name = address.partition("#")
        self._url = url.rstrip("/").removesuffix("/v1")
        self._limits = limits
        self._token = Token.from_environment("OPENAI_API_KEY")
        self._client = self._connected(limits)
        self._host = urlsplit(url).hostname or ""
        self.service = "" if is_this_machine(self._host) else self._host

    def preflight(self) -> None:
        """Ask for the server's models. Raises DailytalkError as `Client.post` does, and ModelMissing."""

        def first_model(body: bytes) -> str:
            try:
                models = typed(parse_json(body, ""), _Models, "its list of models")
            except BadInput as error:
                raise ShortRead(error.reason) from None
            return next((model["id"] for model in models["data"]), "")

        seconds = min(self._limits.read_seconds, LIST_SECONDS)
        client = self._connected(self._limits._replace(read_seconds=seconds))
        try:
            first = client.get(MODELS_PATH, first_model, _NO_SUCH_PATH).value
        except NotServed:
            first = ""
        self.name = self.name or first
        if not self.name:
            raise ModelMissing("the chat server lists no models", "name one: http://…#MODEL")

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> ReplyPieces:
        limit = "max_completion_tokens" if self._host == PUBLIC_HOST else "max_tokens"
        body: dict[str, object] = {
            "model": self.name,
            "messages": [{"role": role, "content": content} for role, content in messages],
            "stream": True,
            limit: most_tokens,
        }
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # a compressed answer comes in blocks, and late
        }
        if self._client.has_stopped:  # a person may have acted between two turns
            self._client = self._connected(self._limits)
        encoded = json.dumps(body).encode()
        return self._client.stream(COMPLETIONS_PATH, encoded, headers, read_completion)

    def _connected(self, limits: RequestLimits) -> Client:
        advice = Advice(chosen=("model",), retry_remedy="say it again")
        return Client("the chat server", self._url, self._token, limits, advice)


def read_completion(events: Iterable[ServerEvent]) -> Iterator[str]:
    """The text of an answer, which comes as chunks of a chat completion.

    Raises ShortRead for events of another form, for an error, and for an answer that ends too early.
    """
    reason = ""
    failure = "it ends too early"
    for event in events:
        if event.data.strip() == "[DONE]":
            break
        try:
            chunk = typed(parse_json(event.data, ""), _Event, "an event")
        except BadInput as problem:
            raise ShortRead(problem.reason) from None
        if "error" in chunk:
            reason = ""
            message = (chunk["error"] or {}).get("message")
            failure = message or "it ends in an error without a reason"
            break
        choices = chunk.get("choices")
        if not choices:  # only the use of tokens is reported
            continue
        choice = choices[0]
        delta = choice.get("delta") or {}
        text = delta.get("content")
        if text:
            yield text
        reason = choice.get("finish_reason") or reason
    if not reason:
        raise ShortRead(failure)
