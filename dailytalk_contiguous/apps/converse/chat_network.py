"""A language model that answers a person, run locally by transformers with its own chat template.

A checkpoint can do nothing but answer: its weights are safetensors, its code is not run, a missing weight is an
error (transformers would draw it at random), and its template runs in the sandbox of transformers. Messages of
people and models can't imitate the template's own marks: those are removed from every message.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList, TextStreamer

from dailytalk_contiguous.apps.converse import chat
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.wording import counted, portable
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.checkpoints import find_folder
from dailytalk_contiguous.models.contracts import BrokenOff, ChatMessage, NotAnswered
from dailytalk_contiguous.models.devices import is_out_of_memory, resolve_device, within_memory
from dailytalk_contiguous.models.paid import ShortRead
from dailytalk_contiguous.models.pieces import Feed, Pieces
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers

_REMEDY = "name a model for chats with its own template and safetensors, on the Hub mostly -Instruct or -it"

#: Files of a model that are fetched from the Hub, and those among them that are other forms of the same.
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_OTHER_FILES = ["*/*", "consolidated*"]

#: The errors of transformers for a bad checkpoint.
_UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    SafetensorError,
)


class _Loaded(NamedTuple):
    """A tokenizer, its model on one device, and the marks of its template, which are removed from messages."""

    tokenizer: Any
    network: Any
    marks: re.Pattern[str]


class ChatNetwork:
    """A `ChatModel` of transformers: `source` is a folder, or OWNER/NAME on the Hub, with @TAG for a version."""

    service = ""

    def __init__(self, source: str, settings: chat.ChatSettings) -> None:
        self.name = portable(source) or source
        self._source, self._settings = source, settings
        self._known: _Loaded | None = None
        self._loading, self._answering = threading.Lock(), threading.Lock()

    def preflight(self) -> None:
        """Load the model. Raises ModelMissing, and DailytalkError if it does not fit or CUDA is missing."""
        self._load()

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> Pieces[str]:
        def make(feed: Feed[str]) -> None:
            raw = Pieces[str](lambda tokens: self._generate(messages, most_tokens, tokens), "chat model")
            with raw, feed.cut_by(raw.close):
                try:
                    for piece in chat.limited_text(
                        chat.without_thoughts(raw), chat.MOST_BYTES_A_TOKEN * most_tokens
                    ):
                        feed.put(piece)
                except ShortRead as error:
                    raise NotAnswered(f"{self.name} gave no answer ({error})", "say it again") from None

        return Pieces(make, "chat")

    def count_tokens(self, text: str) -> int:
        return len(self._load().tokenizer.encode(text, add_special_tokens=False))

    def _load(self) -> _Loaded:
        with self._loading:
            if self._known is None:
                self._known = _open(self._source, resolve_device(self._settings.device))
            return self._known

    def _generate(self, messages: Sequence[ChatMessage], most_tokens: int, feed: Feed[str]) -> None:
        """Deliver an answer. Raises NotAnswered for a conversation that the template or the memory can't take."""
        tokenizer, network, marks = self._load()
        plain = [{"role": role, "content": marks.sub(" ", content)} for role, content in messages]
        prompt = tokenizer(_rendered(tokenizer, plain), add_special_tokens=False, return_tensors="pt")
        n_tokens = prompt["input_ids"].shape[1]
        room = _context(network) - n_tokens
        if room <= 0:
            raise NotAnswered(
                f"the conversation has {n_tokens:,} tokens, and {self.name} takes {_context(network):,}",
                "start it afresh, or set a smaller budget of tokens",
            )
        # Another seed for every place in the conversation, or the same question would always get the same answer.
        seed = None if self._settings.seed is None else self._settings.seed + len(messages)
        temperature = self._settings.temperature
        sampling: dict[str, Any] = {}
        if temperature == 0:
            sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        elif temperature is not None:
            sampling = {"do_sample": True, "temperature": temperature}
        with self._answering, _drawn_from(seed), torch.inference_mode():
            if feed.closed:
                return
            try:
                network.generate(
                    **prompt.to(network.device),
                    **sampling,
                    max_new_tokens=min(most_tokens, room),
                    num_beams=1,
                    pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
                    streamer=_Streamer(tokenizer, feed),
                    stopping_criteria=StoppingCriteriaList([_Unwanted(feed)]),
                )
            except (RuntimeError, MemoryError) as error:
                if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                    raise
                kind = BrokenOff if feed.n_pieces else NotAnswered
                failed = kind(
                    f"the answer of {self.name} does not fit into memory",
                    "start the conversation afresh, or name a smaller model",
                )
            else:
                return
        raise failed  # with the tensors of the traceback gone


@contextmanager
def _drawn_from(seed: int | None) -> Iterator[None]:
    """A block in which PyTorch draws from a seed, if there is one; its generator is restored after it."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class _Streamer(TextStreamer):
    def __init__(self, tokenizer: Any, feed: Feed[str]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._feed = feed

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._feed.put(text)


class _Unwanted(StoppingCriteria):
    def __init__(self, feed: Feed[str]) -> None:
        self._feed = feed

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> Any:
        return torch.full((len(input_ids),), self._feed.closed, dtype=torch.bool, device=input_ids.device)


def _open(model: str, device: str) -> _Loaded:
    """The model of a folder or of the Hub on `cpu` or `cuda`. Raises ModelMissing; DailytalkError for memory."""
    folder = find_folder(model, _FILES, _OTHER_FILES)  # only files that are read are fetched
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            if not tokenizer.chat_template:
                raise ModelMissing(f"{model!r} has no chat template", _REMEDY)
            network = within_memory(partial(_read_network, model, folder, device), f"the model {model!r}")
    except _UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelMissing(f"{model!r} can't be loaded as a model that chats ({reason})", _REMEDY) from error
    # Texts that the tokenizer reads as tokens of their own, the longest first.
    marks = {mark for mark in (*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()) if mark.strip()}
    pattern = "|".join(map(re.escape, sorted(marks, key=lambda mark: (-len(mark), mark)))) or "(?!)"
    return _Loaded(tokenizer, network, re.compile(pattern))


def _read_network(model: str, folder: str, device: str) -> Any:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=getattr(torch, fast_precisions(device)[0]),
        output_loading_info=True,
    )
    network, report = loaded
    if lacking := sorted(report["missing_keys"]):
        many = counted(len(lacking), "weight")
        raise ModelMissing(f"the checkpoint {model!r} lacks {many}, {lacking[0]} first", _REMEDY)
    return network.to(device).eval()


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The conversation by the template; instructions that it refuses go into the first message.

    Raises NotAnswered for a template that refuses both.
    """
    render = partial(
        tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    tries = [messages]
    if len(messages) > 1 and messages[0]["role"] == "system":
        first, second, *others = messages
        tries.append([second | {"content": f"{first['content']}\n\n{second['content']}"}, *others])
    reason = "it leaves out the instructions"
    for conversation in tries:
        try:
            text: str = render(conversation)
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            continue
        if all(message["content"].strip() in text for message in conversation[:1]):
            return text
    raise NotAnswered(f"the model's chat template refuses the conversation ({reason})", "name another model")


def _context(network: Any) -> int:
    """Tokens that a model takes, including those of its answer."""
    config = network.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 1 << 20)
