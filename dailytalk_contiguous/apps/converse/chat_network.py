"""A language model that answers a person, run locally by transformers with its own chat template.

A checkpoint can do nothing but answer: its weights are safetensors, its code is not run, a missing weight is an
error (transformers would draw it at random), and its template runs in the sandbox of transformers. Messages of
people and models can't imitate the template's own marks: those are removed from every message.
"""

import atexit
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteriaList, TextIteratorStreamer

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.wording import counted, portable
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.checkpoints import resolve_folder
from dailytalk_contiguous.models.contracts import ChatMessage, NotAnswered, ReplyPieces
from dailytalk_contiguous.models.devices import resolve_device, within_memory
from dailytalk_contiguous.models.prosodic_encoder import quiet_transformers

_REMEDY = (
    "name a chat model with its own template and safetensors (on the Hub its name mostly ends in -Instruct or -it)"
)

#: Files of a model that are fetched from the Hub.
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]

#: Those among them that are not fetched: other forms of the same.
_OTHER_FILES = ["*/*", "consolidated*"]

#: Seconds that the end of the program waits for an answer: a thread that is stopped inside of PyTorch crashes it.
LAST_SECONDS = 5.0


class ChatNetwork:
    """A `ChatModel` of transformers: `source` is a folder, or OWNER/NAME on the Hub, with @TAG for a version."""

    service = ""

    def __init__(self, source: str, device: str) -> None:
        self.name = portable(source) or source
        self._source = source
        self._device = device
        self._tokenizer: Any = None
        self._network: Any = None
        self._loading = threading.Lock()
        self._answering = threading.Lock()
        atexit.register(self._answering.acquire, timeout=LAST_SECONDS)

    def preflight(self) -> None:
        """Load the model. Raises ModelMissing, and DailytalkError if it does not fit or CUDA is missing."""
        with self._loading:
            if self._network is not None:
                return
            folder = resolve_folder(self._source, _FILES, _OTHER_FILES)  # only files that are read are fetched
            try:
                with quiet_transformers():
                    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                    tokenizer.get_chat_template()  # which raises if there is none
                    self._network = within_memory(lambda: self._read(folder), f"the model {self._source!r}")
            except DailytalkError:
                raise
            except Exception as error:  # transformers has one for each way in which a checkpoint is invalid
                reason = f"{self._source!r} can't be loaded as a chat model ({_first_line(error)})"
                raise ModelMissing(reason, _REMEDY) from error
            special = [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()]
            marks = {mark for mark in special if mark.strip()}
            longest_first = sorted(marks, key=len, reverse=True)
            pattern = "|".join(map(re.escape, longest_first))
            self._marks = re.compile(pattern or "(?!)")  # without marks it matches nothing
            self._tokenizer = tokenizer

    def reply(self, messages: Sequence[ChatMessage], most_tokens: int) -> ReplyPieces:
        """Generate an answer in a thread of its own.

        Raises NotAnswered for a conversation that the template refuses. The pieces raise what PyTorch does where
        the memory is too small.
        """
        self.preflight()
        text = self._rendered(messages)
        prompt = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")
        padding = self._tokenizer.pad_token_id or 0

        def generate(**settings: Any) -> None:
            with self._answering, torch.inference_mode():
                self._network.generate(
                    **prompt.to(self._network.device),
                    max_new_tokens=most_tokens,
                    num_beams=1,
                    pad_token_id=padding,
                    **settings,
                )

        return _GeneratedReply(self._tokenizer, generate)

    def _read(self, folder: str) -> Any:
        device = resolve_device(self._device)
        precision, *_ = fast_precisions(device)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=getattr(torch, precision),
            output_loading_info=True,
        )
        network, report = loaded
        lacking = sorted(report["missing_keys"])
        if lacking:
            many = counted(len(lacking), "weight")
            raise ModelMissing(f"the checkpoint {self._source!r} lacks {many}, {lacking[0]} first", _REMEDY)
        return network.to(device).eval()

    def _rendered(self, messages: Sequence[ChatMessage]) -> str:
        """The conversation by the template; instructions that it refuses go into the first message.

        Raises NotAnswered for a template that refuses both.
        """
        plain = [{"role": role, "content": self._marks.sub(" ", content)} for role, content in messages]
        tries = [plain]
        if len(plain) > 1 and plain[0]["role"] == "system":
            system, first, *others = plain
            content = f"{system['content']}\n\n{first['content']}"
            tries.append([{"role": first["role"], "content": content}, *others])
        reason = "it leaves out the instructions"
        for conversation in tries:
            try:
                text: str = self._tokenizer.apply_chat_template(
                    conversation, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            except Exception as error:  # a template may fail in any way
                reason = _first_line(error)
                continue
            if conversation[0]["content"].strip() in text:
                return text
        raise NotAnswered(f"the model's chat template refuses the conversation ({reason})", "name another model")


class _GeneratedReply:
    """The pieces of an answer as they are generated, in a thread that ends with the first token after `close`."""

    def __init__(self, tokenizer: Any, generate: Callable[..., None]) -> None:
        self._streamer: Any = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._generate = generate
        self._error: Exception | None = None
        self._closed = False
        threading.Thread(target=self._run, name="chat network", daemon=True).start()

    def __iter__(self) -> "_GeneratedReply":
        return self

    def __next__(self) -> str:
        if self._closed:
            raise StopIteration
        text: str
        for text in self._streamer:
            if text and not self._closed:
                return text
        is_wanted = not self._closed
        self._closed = True
        if self._error is not None and is_wanted:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        self._closed = True

    def _run(self) -> None:
        stop = StoppingCriteriaList([lambda ids, scores, **named: self._closed])
        try:
            if not self._closed:
                self._generate(streamer=self._streamer, stopping_criteria=stop)
        except Exception as error:  # it is for whoever waits
            self._error = error
        finally:
            self._streamer.end()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return first.rstrip(".")
