"""Models that answer a person: a listener made of rules, a server of a language model, or a local model.

All three give a reply piece by piece, so that its first sentence is spoken while the rest is generated. The
listener needs nothing. A server is any that speaks OpenAI's `POST /v1/chat/completions`, with `stream` or without
(https://platform.openai.com/docs/api-reference/chat/create): llama.cpp, vLLM, Ollama, OpenAI itself. Requests go
through `models.paid`. The answer is checked event by event.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dailytalk_contiguous.apps.converse.dialogue import ReplyText, plain_text
from dailytalk_contiguous.apps.converse.talk_settings import LISTENER
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.machine import is_this_machine
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel
from dailytalk_contiguous.models.paid import Client, NotServed, Reply, ServerEvent, ShortRead, Token
from dailytalk_contiguous.models.pieces import Pieces

#: Words of the speaker in an answer, at most.
MOST_ECHOED_WORDS = 14

_FEELINGS = (
    "sad|unhappy|lonely|hopeless|disappointed|hurt|upset|angry|furious|annoyed|frustrated|afraid|scared|anxious|"
    "worried|nervous|stressed|ashamed|guilty|tired|exhausted|confused|happy|glad|excited|proud|relieved|grateful"
)


class ListeningRule(NamedTuple):
    """The answers to a pattern in a text of small letters; the first rule that matches counts.

    `replies` are taken in turn. `{echo}` becomes the pattern's group with its pronouns swapped.
    """

    pattern: str
    tag: str
    replies: tuple[str, ...]

    def reply(self, number: int, echo: str) -> str:
        return self.replies[number % len(self.replies)].format(echo=echo, Echo=echo[:1].upper() + echo[1:])


RULES = (
    ListeningRule(
        r"\b(?:kill(?:ing)? myself|suicid\w*|end (?:it all|my life)|"
        r"(?:hurt|harm|cut)(?:ting)? myself|want to die)\b",
        "soft tone",
        (
            "That is very heavy, and I am glad that you say it. I am only a small program, and this needs a "
            "person. If you are in danger, please call the emergency number. Who could be with you now?",
            "This matters too much to be told only to a program. Please call a crisis line, or somebody near you "
            "that you trust. Who could that be?",
        ),
    ),
    ListeningRule("^$", "calm", ("I am here. Take your time.", "There is no hurry. I am listening.")),
    ListeningRule(
        # No letter of English, or five words or more without a common one.
        r"^[^a-z]*[^\x00-\x7f][^a-z]*$|^(?!.*\b(?:i|i'm|you|he|she|it|it's|we|they|me|him|her|us|them|my|your|his|our|"
        r"their|this|that|these|those|a|an|the|and|or|but|so|if|because|when|what|who|where|why|how|is|am|are|was|were|"
        r"be|been|do|does|did|don't|have|has|had|not|no|yes|can|can't|could|will|would|should|to|of|in|on|at|for|with|"
        r"from|by|about|up|out|just|very|really|too|there|here|all|some|more|good|bad|today|now|feel|think|know|want|go|"
        r"got|like)\b)\S+(?: \S+){4}",
        "",
        (
            "I am sorry, I understand only English. Could you say it in English?",
            "That was not English to me. Could you try it once more?",
        ),
    ),
    ListeningRule(
        r"^(?:\w+ )?(?:good ?bye|bye|see you|good ?night|take care)\b",
        "calm",
        ("Goodbye. It was good to listen to you.", "Take care. I am here whenever you want to talk again."),
    ),
    ListeningRule(
        r"^(?:hello|hi|hey|good (?:morning|afternoon|evening))\b(?: there| you)?$",
        "calm",
        ("Hello. I am listening. How are you today?", "Hello again. What is on your mind?"),
    ),
    ListeningRule(
        r"\b(?:what should i|should i|help me|what do you think|who are you|are you a)\b",
        "curious",
        (
            "I am a small program. I can't tell you what to do, but I can listen. Which ways do you see yourself?",
            "If a good friend asked you this, what would you answer?",
        ),
    ),
    ListeningRule(
        rf"\b(?:i am|i'm|i was|i feel|i felt|makes me|made me)(?: feeling| so| very| really| a bit| just)* "
        rf"({_FEELINGS})\b",
        "soft tone",
        (
            "You feel {echo}. What brought it about?",
            "So you feel {echo}. Where do you notice it most?",
            "You say openly that you feel {echo}. What would you need now?",
        ),
    ),
    ListeningRule(
        r"\bi (?:really |just )?(?:can't|cannot|couldn't) (.+)",
        "soft tone",
        ("You can't {echo}. What is that like?", "That sounds hard. What happens when you try?"),
    ),
    ListeningRule(
        r"^((?:i|my|we|our|i'm|i've) .+)",
        "",
        ("{Echo}. How was that for you?", "So {echo}. Tell me more.", "{Echo}. And what happened next?"),
    ),
    ListeningRule(
        "",
        "",
        (
            "Tell me more about that.",
            "What was that like for you?",
            "What matters most to you in this?",
            "And how do you feel about it now?",
        ),
    ),
)

_SWAPPED = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "am": "are", "i'm": "you're",
    "i've": "you've", "we": "you", "us": "you", "our": "your", "you": "me", "your": "my", "you're": "I'm",
}  # fmt: skip

_HEARD_LINE = re.compile(r"\[sounds ([a-z][a-z -]*?) \(confidence [0-9.]+\)[^\]\n]*\]")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def listen(turns: Sequence[tuple[str, str]]) -> str:
    """The listener's next answer, which may begin with a style tag in parentheses.

    Args:
        turns: role and content of each message, the last of the user; those of the system have no effect.

    >>> listen([("user", "My sister is late.\\n[sounds sad (confidence 0.71)]")])
    '(soft tone) You sound sad as you say that. Your sister is late. How was that for you?'
    """
    said = [content for role, content in turns if role == "assistant"]
    asked = [content for role, content in turns if role == "user"]
    heard = _HEARD_LINE.findall(asked[-1])
    earlier = _HEARD_LINE.findall(asked[-2]) if len(asked) > 1 else []
    words = [word.lower() for word in _WORD.findall(_HEARD_LINE.sub(" ", asked[-1]).replace("’", "'"))]
    for rule in RULES:
        match = re.search(rule.pattern, " ".join(words))
        echoed = match[1].split() if match and match.re.groups else []
        if match and len(echoed) <= MOST_ECHOED_WORDS and all(len(word) <= 20 for word in echoed):
            break
    echo = " ".join(_SWAPPED.get(word, word) for word in echoed)
    answer = rule.reply(len(said), echo)
    if said and said[-1].endswith(answer):
        answer = rule.reply(len(said) + 1, echo)
    tag = rule.tag
    if heard and heard != earlier and heard[-1] != "neutral":
        tag, answer = tag or "soft tone", f"You sound {heard[-1]} as you say that. {answer}"
    return f"({tag}) {answer}" if tag else answer


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
    """A `ChatModel` without a model: the rules of `apps.converse.chat`. A word counts as a token."""

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
