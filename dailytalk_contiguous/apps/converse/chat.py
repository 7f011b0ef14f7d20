"""Models that answer a person: a listener made of rules, a server of a language model, or a local model.

All three give a reply piece by piece, so that its first sentence is spoken while the rest is generated. The
listener needs nothing. A server is any that speaks OpenAI's `POST /v1/chat/completions`, with `stream` or without
(https://platform.openai.com/docs/api-reference/chat/create): llama.cpp, vLLM, Ollama, OpenAI itself. Requests go
through `models.paid`. The answer is checked event by event, and cut if it is too long.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from dailytalk_contiguous.apps.converse.listening_rules import listen
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.machine import is_this_machine
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.models.contracts import ChatMessage
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.paid import Client, NotServed, Reply, ServerEvent, ShortRead, Token
from dailytalk_contiguous.models.pieces import Feed, Pieces

#: The name of the listener.
LISTENER = "listener"

COMPLETIONS_PATH, MODELS_PATH = "/v1/chat/completions", "/v1/models"

#: The host whose newer models take the limit of an answer only under another name.
PUBLIC_HOST = "api.openai.com"

#: Seconds to the first piece of an answer, in which a server may have to load its model; the longest silence
#: after it; and for all of it.
FIRST_SECONDS, SILENT_SECONDS, ANSWER_SECONDS = 120.0, 20.0, 300.0

#: Requests for one answer. A conversation can't wait for more.
CHAT_TRIES = 3

#: Bytes of a text that `count_tokens` takes for a token where the tokenizer is unknown: English has about 4 and
#: Chinese 3, and an estimate that is too high only forgets a little earlier.
BYTES_A_TOKEN = 3

#: Bytes a token of an answer may have on average before it is cut: for servers that obey no limit.
MOST_BYTES_A_TOKEN = 8

#: Models that an error names, and characters of a model's name.
_NAMED, _LONGEST_NAME = 5, 200

#: The remedy for a missing answer.
_AGAIN = "say it again"

#: An event: https://platform.openai.com/docs/api-reference/chat-streaming. Other fields are not read.
_EVENT = {"choices?": [dict], "error?": object}
#: A server that does not stream sends one, with a `message` in place of the `delta`.
_PART = {"role?": str, "content?": str}
_CHOICE = {"delta?": _PART, "message?": _PART, "finish_reason?": str}

#: The role whose parts of an answer are spoken; a part without a role has the previous one, at first this.
_ASSISTANT = "assistant"

#: The marks around a model's thoughts before its answer.
_THOUGHTS = ("<think>", "</think>")


@dataclass(frozen=True)
class ChatSettings:
    """Settings of a model's answers. The listener ignores them."""

    temperature: float | None = setting(
        None,
        "Randomness of answers, 0 for none.",
        option="chat_temperature",
        panel="models",
        least=0.0,
        most=2.0,
        shown="the model's",
    )
    seed: int | None = setting(None, SEED)
    device: str = setting(
        "auto", "Where models run: {choices}.", execution=True, panel="models", choices=DEVICES, shown="auto"
    )


class RuleListener:
    """A `ChatModel` without a model: the rules of `apps.converse.listening_rules`. A word counts as a token."""

    name = LISTENER
    service = ""

    def preflight(self) -> None:
        pass

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> Pieces[str]:
        words = re.findall(r"\S+\s*", listen(messages))[:most_tokens]

        def make(feed: Feed[str]) -> None:
            for word in words:
                feed.put(word)

        return Pieces(make, "listener")

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class ChatServer:
    """A `ChatModel` behind an address.

    Args:
        address: `http` or `https`, with or without `/v1`, with `#MODEL` for a model that is not the first.
        settings: temperature and seed are sent if they are set.
        connect: makes the client for an address and a token; tests pass one with other timeouts.

    Raises DailytalkError for an invalid address, and for plain http to another machine with a token.
    """

    def __init__(
        self, address: str, settings: ChatSettings, connect: "Callable[[str, Token], Client] | None" = None
    ) -> None:
        url, _, self.name = address.partition("#")
        if "?" in url:
            raise DailytalkError(
                "the address of the chat server has a question mark", "leave away what follows it"
            )
        self._settings = settings
        url = url.rstrip("/").removesuffix("/v1")
        self._connect = partial(connect or _connect, url, Token.from_environment("OPENAI_API_KEY"))
        self._client = self._connect()
        self._host = urlsplit(url).hostname or ""
        self.service = "" if is_this_machine(self._host) else self._host

    def preflight(self) -> None:
        """Ask for the server's models. Raises DailytalkError as `Client.post` does, and ModelMissing."""
        try:
            listed = self._renewed().get(MODELS_PATH, _read_models, frozenset({404, 405, 501})).value
        except NotServed:
            if self.name:
                return
            raise ModelMissing("the chat server lists no models", "name one: http://…#MODEL") from None
        if not self.name:
            self.name = listed[0]
        elif not {self.name, f"{self.name}:latest"} & {*listed}:  # as Ollama understands a name without a version
            names = ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
            raise ModelMissing(f"the chat server has no model {self.name!r}", f"it has {names}")

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> Pieces[str]:
        """Start an answer. Raises as `preflight` if no model is named and that was not called yet."""
        if not self.name:
            self.preflight()
        limit = "max_completion_tokens" if self._host == PUBLIC_HOST else "max_tokens"
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": role, "content": content} for role, content in messages],
            "stream": True,
            limit: most_tokens,
        }
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.seed is not None:
            body["seed"] = self._settings.seed
        return self._renewed().stream(
            COMPLETIONS_PATH,
            json.dumps(body).encode(),
            # A compressed answer comes in blocks, and late.
            {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"},
            partial(read_completion, most_bytes=MOST_BYTES_A_TOKEN * most_tokens),
            first_seconds=FIRST_SECONDS,
        )

    def count_tokens(self, text: str) -> int:
        return -(-len(text.encode(errors="replace")) // BYTES_A_TOKEN)

    def _renewed(self) -> Client:
        """The client; a new one if it has given up, because a person may have acted between two turns."""
        if self._client.stopped:
            self._client = self._connect()
        return self._client


def _connect(url: str, token: Token) -> Client:
    return Client(
        "the chat server",
        url,
        token,
        connect_seconds=5.0,
        read_seconds=SILENT_SECONDS,
        total_seconds=ANSWER_SECONDS,
        tries=CHAT_TRIES,
        chosen=("model",),
        again=_AGAIN,
    )


def _read_models(reply: Reply) -> list[str]:
    """The names of a server's models, at least one. Raises ShortRead."""
    try:
        answer = expect(parse_json(reply.body, ""), {"data": [{"id": str}]}, "its list of models")
    except BadInput as error:
        raise ShortRead(error.reason) from None
    names = [model["id"] for model in answer["data"]]
    usable = [name for name in names if name.isprintable() and 0 < len(name) <= _LONGEST_NAME]
    if not usable:
        raise ShortRead("it names no model")
    return usable


def read_completion(events: Iterable[ServerEvent], most_bytes: int) -> Iterator[str]:
    """At most `most_bytes` of the text of an answer, which comes as chunks of a chat completion, or as one.

    Raises ShortRead for events of another form or with an error, and for an empty answer or one that ends too
    early.
    """
    return limited_text(without_thoughts(_contents(events)), most_bytes)


def _contents(events: Iterable[ServerEvent]) -> Iterator[str]:
    reason, role = "", _ASSISTANT
    for event in events:
        if event.data.strip() == "[DONE]":
            return
        try:
            chunk = expect(parse_json(event.data, ""), _EVENT, "an event")
            if error := chunk.get("error"):
                message = error.get("message") if isinstance(error, dict) else error
                raise ShortRead(f"it says: {plain_text(str(message or 'error'))}")
            if chunk.get("choices") is None:
                raise ShortRead("an event has no choices")
            for choice in chunk["choices"][:1]:  # none where only the use of tokens is reported
                expect(choice, _CHOICE, "an event")
                message = choice.get("message")
                part = message or choice.get("delta") or {}
                role = part.get("role") or role
                if role == _ASSISTANT:
                    yield part.get("content") or ""
                reason = choice.get("finish_reason") or reason or ("stop" if message else "")
        except BadInput as problem:
            raise ShortRead(problem.reason) from None
        if reason == "content_filter":
            raise ShortRead("its own filter stopped it")
    if not reason:
        raise ShortRead("it ends too early")


def without_thoughts(pieces: Iterable[str]) -> Iterator[str]:
    """Text without a model's thoughts, in `<think>` and `</think>`, before its answer.

    >>> list(without_thoughts(["<thi", "nk>They ask…</th", "ink>", " Hello"]))
    [' Hello']
    """
    opened, closed = _THOUGHTS
    waiting, state = "", "may think"
    for piece in pieces:
        if state == "answers":
            yield piece
            continue
        waiting += piece
        if state == "may think":
            begun = waiting.lstrip()
            if begun.startswith(opened):
                state = "thinks"
            elif not opened.startswith(begun):
                state = "answers"
        if state == "thinks":
            _, mark, after = waiting.partition(closed)
            waiting = after if mark else opened + waiting[-len(closed) :]
            state = "answers" if mark else state
        if state == "answers":
            yield waiting
    if state == "may think":
        yield waiting


def limited_text(pieces: Iterable[str], most_bytes: int) -> Iterator[str]:
    """Text from outside as it comes, without control characters and leading blanks, in non-empty pieces.

    It ends after `most_bytes` of UTF-8. Raises ShortRead for an empty text.
    """
    size = 0
    for piece in pieces:
        text = plain_text(piece)
        encoded = (text if size else text.lstrip()).encode()
        if allowed := encoded[: most_bytes - size].decode(errors="ignore"):
            yield allowed
        size += len(encoded)
        if size >= most_bytes:
            break
    if not size:
        raise ShortRead("it says nothing")


def plain_text(text: str) -> str:
    """A text without control characters (terminals obey them) except new lines and tabs."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
    )
