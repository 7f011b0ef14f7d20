"""Models that answer a person: a listener made of rules, a server of a language model, or a local model.

All three give a reply piece by piece, so that its first sentence is spoken while the rest is generated. The
listener needs nothing. A server is any that speaks OpenAI's `POST /v1/chat/completions`, with `stream` or without
(https://platform.openai.com/docs/api-reference/chat/create): llama.cpp, vLLM, Ollama, OpenAI itself. Requests go
through `models.paid`. The answer is checked event by event.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from dailytalk_contiguous.apps.converse.dialogue import ReplyText, plain_text
from dailytalk_contiguous.apps.converse.listening_rules import listen
from dailytalk_contiguous.apps.converse.talk_settings import LISTENER
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.machine import is_this_machine
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel
from dailytalk_contiguous.models.paid import Client, NotServed, Reply, ServerEvent, ShortRead, Token
from dailytalk_contiguous.models.pieces import Pieces

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

#: Models that an error names.
_NAMED = 5

#: An event: https://platform.openai.com/docs/api-reference/chat-streaming. Other fields are not read. A server
#: that does not stream sends one, with a `message` in place of the `delta`.
_PART = {"role?": str, "content?": str}
_EVENT = {"choices?": [{"delta?": _PART, "message?": _PART, "finish_reason?": str}], "error?": object}

#: The role whose parts of an answer are spoken; a part without a role has the previous one, at first this.
_ASSISTANT = "assistant"


def load_chat(
    name: str, temperature: float | None = None, seed: int | None = None, device: str = "auto"
) -> ChatModel:
    """The model of a name; nothing is loaded or asked before its `preflight`.

    Args:
        name: `listener`; the address of a server, `http://…` or `https://…`, with `#MODEL` after it if that is not
            the first of its models; or a model for transformers: a folder, or OWNER/NAME on the Hub, with @TAG for
            a version.
        temperature: randomness of answers, 0 for none; None: the model's own. The listener has none.
        seed: the same conversation gets the same answer with the same one.
        device: where a model of transformers runs: `auto`, `cpu` or `cuda`.

    Raises DailytalkError for a name that can't be any of these.
    """
    if name == LISTENER:
        return RuleListener()
    if re.match(r"(?i)https?://", name):
        return ChatServer(name, temperature, seed)
    if "://" in name or not name.strip():
        raise DailytalkError(
            f"{name!r} is no model that chats",
            f"name {LISTENER}, the address of a server like http://localhost:8080, a folder, or OWNER/NAME",
        )
    from dailytalk_contiguous.apps.converse.chat_network import ChatNetwork

    return ChatNetwork(name, temperature, seed, device)


class RuleListener:
    """A `ChatModel` without a model: the rules of `apps.converse.listening_rules`. A word counts as a token."""

    name = LISTENER
    service = ""

    def preflight(self) -> None:
        pass

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> Pieces[str]:
        words = re.findall(r"\S+\s*", listen(messages))[:most_tokens]
        return Pieces(lambda feed: [*map(feed.put, words)], "listener")

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class ChatServer:
    """A `ChatModel` behind an address.

    Args:
        address: `http` or `https`, with or without `/v1`, with `#MODEL` for a model that is not the first.
        temperature, seed: sent if they are set.
        client: further options of the `Client`.

    Raises DailytalkError for an invalid address, and for plain http to another machine with a token.
    """

    def __init__(
        self, address: str, temperature: float | None = None, seed: int | None = None, **client: Any
    ) -> None:
        url, _, self.name = address.partition("#")
        if "?" in url:
            raise DailytalkError(
                "the address of the chat server has a question mark", "leave away what follows it"
            )
        chosen = {"temperature": temperature, "seed": seed}
        self._chosen = {name: value for name, value in chosen.items() if value is not None}
        self._url, self._options = url.rstrip("/").removesuffix("/v1"), client
        self._token = Token.from_environment("OPENAI_API_KEY")
        self._client = self._connected()
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
            **self._chosen,
        }
        return self._renewed().stream(
            COMPLETIONS_PATH,
            json.dumps(body).encode(),
            # A compressed answer comes in blocks, and late.
            {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"},
            read_completion,
            first_seconds=FIRST_SECONDS,
        )

    def count_tokens(self, text: str) -> int:
        return -(-len(text.encode(errors="replace")) // BYTES_A_TOKEN)

    def _renewed(self) -> Client:
        """The client; a new one if it has given up, because a person may have acted between two turns."""
        if self._client.stopped:
            self._client = self._connected()
        return self._client

    def _connected(self) -> Client:
        options: dict[str, Any] = {
            "connect_seconds": 5.0,
            "read_seconds": SILENT_SECONDS,
            "total_seconds": ANSWER_SECONDS,
            "tries": CHAT_TRIES,
            **self._options,
        }
        return Client(
            "the chat server", self._url, self._token, chosen=("model",), again="say it again", **options
        )


def _read_models(reply: Reply) -> list[str]:
    """The names of a server's models, at least one. Raises ShortRead."""
    try:
        answer = expect(parse_json(reply.body, ""), {"data": [{"id": str}]}, "its list of models")
    except BadInput as error:
        raise ShortRead(error.reason) from None
    if not answer["data"]:
        raise ShortRead("it names no model")
    return [model["id"] for model in answer["data"]]


def read_completion(events: Iterable[ServerEvent]) -> Iterator[str]:
    """The text of an answer, which comes as chunks of a chat completion, or as one.

    Raises ShortRead for events of another form or with an error, and for an empty answer or one that ends too
    early.
    """
    reason, role, reply = "", _ASSISTANT, ReplyText()
    for event in events:
        if event.data.strip() == "[DONE]":
            break
        try:
            chunk = expect(parse_json(event.data, ""), _EVENT, "an event")
        except BadInput as problem:
            raise ShortRead(problem.reason) from None
        if error := chunk.get("error"):
            message = error.get("message") if isinstance(error, dict) else error
            raise ShortRead(f"it says: {plain_text(str(message or 'error'))}")
        if chunk.get("choices") is None:
            raise ShortRead("an event has no choices")
        for choice in chunk["choices"][:1]:  # none where only the use of tokens is reported
            message = choice.get("message")
            part = message or choice.get("delta") or {}
            role = part.get("role") or role
            if role == _ASSISTANT and (text := reply.push(part.get("content") or "")):
                yield text
            reason = choice.get("finish_reason") or reason or ("stop" if message else "")
        if reason == "content_filter":
            raise ShortRead("its own filter stopped it")
    if not reason:
        raise ShortRead("it ends too early")
    if rest := reply.end():
        yield rest
    if not reply.said:
        raise ShortRead("it says nothing")
