"""Fish Audio's service, and the WAV files that speech services send."""

import binascii
import io
import itertools
import json
import math
import os
import struct
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import msgpack
import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tags import render
from dailytalk_contiguous.core.word_times import Word, fit, split_words
from dailytalk_contiguous.models.contracts import (
    Line,
    Reserve,
    Spoken,
    SynthesisFailed,
    VoiceSample,
    checked_price,
    free,
)
from dailytalk_contiguous.models.paid import LONGEST_MESSAGE, Answer, Client, NotServed, Reply, ShortRead, Token

# WAV files as speech services send them, with a header that was written before the length was known.
#
# A streamed header says 0 or nearly 2^32 bytes, and then everything up to the end is audio; any other header that
# promises more than there is means an answer cut short, which would otherwise be half a sentence in a dataset.


#: A data size from here on means "unknown": most write 2^32-1, sox 2^31-4096 and a few bytes more.
UNKNOWN_SIZE = 0x7FFFF000


def read_wav(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Mono samples in [-1, 1] of a WAV file in memory (several channels are averaged), and its rate in Hz.

    Raises ShortRead if it is empty, cut short, damaged, or no WAV.
    """
    if not data:
        raise ShortRead("it is empty")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ShortRead(f"it is no WAV: it begins with {data[:12]!r}")
    shape, audio = _shape_and_audio(data)
    kind, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", shape)
    if (kind, channels, bits) == (1, 1, 16) and sample_rate:
        # What nearly all services send needs no detour through libsndfile.
        samples: NDArray[np.float32] = pcm_to_float(audio[: len(audio) // 2 * 2])
    else:
        samples, sample_rate = _by_libsndfile(shape, audio)
    if not np.isfinite(samples).all():
        raise ShortRead("its WAV holds samples that are not numbers")
    if not len(samples):
        raise ShortRead("its WAV holds no samples")
    return samples, sample_rate


def _by_libsndfile(shape: bytes, audio: bytes) -> tuple[NDArray[np.float32], int]:
    body = b"".join(
        (b"WAVEfmt ", struct.pack("<I", len(shape)), shape, b"data", struct.pack("<I", len(audio)), audio)
    )
    file = io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)
    try:
        samples, sample_rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ShortRead(f"its WAV can't be read: {error.error_string}") from None
    return samples.mean(axis=1, dtype=np.float32), int(sample_rate)


def _shape_and_audio(data: bytes) -> tuple[bytes, bytes]:
    """The contents of the chunks `fmt ` and `data`; other chunks are no audio."""
    at, shape = 12, b""
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        start = at + 8
        if name == b"fmt ":
            shape = data[start : start + size]
        if name == b"data" and len(shape) >= 16:
            available = len(data) - start
            streamed = size == 0 or size >= UNKNOWN_SIZE
            if streamed and available % max(1, struct.unpack_from("<H", shape, 12)[0]):
                raise ShortRead("its WAV ends in the middle of a sample")
            if not streamed and size > available:
                raise ShortRead(f"its WAV promises {size} bytes of audio and holds {available}")
            return shape, data[start:] if streamed else data[start : start + size]
        at = start + size + size % 2
    raise ShortRead("its WAV ends before its audio")


# Fish Audio, in the cloud or a self-hosted fish-speech server with the same paths.
#
# Facts: https://docs.fish.audio/api-reference (text-to-speech, and its stream with timestamps). The model's name
# is checked here because the service silently takes an unknown one for s2.1-pro; word times come from the
# timestamp path, which a self-hosted server lacks, and are kept only where they spell out the whole text.
#
# The self-hosted server (https://github.com/fishaudio/fish-speech, tools/server/views.py) speaks by the model that
# it was started with, at that model's rate, and says a line in any voice where it does not know the one that is
# named; so its list of voices is read before the first line.


PUBLIC_URL, DOMAIN = "https://api.fish.audio", "fish.audio"
TOKEN = "FISH_API_KEY"
PRICE = "FISH_AUDIO_USD_PER_MILLION_BYTES"
PLAIN_PATH, TIMES_PATH = "/v1/tts", "/v1/tts/stream/with-timestamp"
VOICES_PATH = "/v1/references/list?format=json"

#: How each model takes tags (see `core.tags`), and USD for a million UTF-8 bytes of text.
MODELS = {
    "s1": ("fish-s1", 15.0),
    "s2-pro": ("fish-s2", 15.0),
    "s2.1-pro": ("fish-s2", 15.0),
    "s2.1-pro-free": ("fish-s2", 0.0),
}

#: Voices that the service does not know by name: that of `VoiceSample`s, and whichever it takes for each request.
CLONE, ANY = "clone", "any"

VOICE_REMEDY = (
    "pass --voice ID or set FISH_AUDIO_REFERENCE_ID (the address of a voice's page ends in its ID), or pass "
    "--voice any to accept that"
)

#: The service's own defaults, sent so that a change of them there changes nothing here.
FIXED = {"format": "wav", "normalize": True, "chunk_length": 300, "latency": "normal"}

#: Statuses with which a server without a path answers.
_ABSENT = frozenset({404, 405, 501})

#: Seconds by which the audio may be shorter than its alignment says: rounding, not a stream cut short.
_ROUNDING_SECONDS = 0.5


class FishSegment(NamedTuple):
    """A stretch of the text with its times, in seconds of the whole audio."""

    text: str
    start: float
    end: float


class Sound(NamedTuple):
    """The content of an answer: mono samples, rate in Hz, and the segments, if any."""

    samples: NDArray[np.float32]
    sample_rate: int
    segments: list[FishSegment]


class Fish:
    """A `Synthesiser`. Raises DailytalkError for settings that the service would reject, or take for others.

    Args:
        model: one of `MODELS`.
        voice: the id of a voice of the service, `clone`, or `any`, which may be another one for every line; empty:
            FISH_AUDIO_REFERENCE_ID. With neither, `preflight` refuses.
        base_url: of the service; empty or None: FISH_AUDIO_BASE_URL, else the public one. Another one than that
            costs nothing, unless FISH_AUDIO_USD_PER_MILLION_BYTES says so.
        temperature, top_p: in [0, 1].
        sample_rate: Hz to ask for. What comes is said in `Spoken`.
        concurrency: requests at a time; 5 is what a new account may make.
        client: transport with other timeouts or tries than the defaults; its address counts, not `base_url`.
    """

    engine = "fish"
    deterministic = False

    def __init__(
        self,
        model: str = "s1",
        voice: str = "",
        base_url: str | None = None,
        temperature: float = 0.7,
        top_p: float = 0.7,
        sample_rate: int = 24000,
        concurrency: int = 5,
        client: Client | None = None,
    ) -> None:
        if model not in MODELS:
            raise DailytalkError(f"Fish Audio has no model {model!r}", f"choose one of {', '.join(MODELS)}")
        for name, share in (("temperature", temperature), ("top_p", top_p)):
            if not 0.0 <= share <= 1.0:
                raise DailytalkError(f"{name} is {share}", "give a number from 0 to 1")
        self.model = model
        self.voice = voice or os.environ.get("FISH_AUDIO_REFERENCE_ID", "")
        self.concurrency = concurrency
        self.style, price = MODELS[model]
        self._token = Token.from_environment(TOKEN)
        base_url = base_url or os.environ.get("FISH_AUDIO_BASE_URL") or PUBLIC_URL
        self._client = client or Client("Fish Audio", base_url, self._token, most_at_once=concurrency)
        self.server = self._client.base_url
        self._is_public = self._client.is_of(DOMAIN)
        price_setting = os.environ.get(PRICE) or (price if self._is_public else 0.0)
        self._usd_per_byte = checked_price(PRICE, price_setting) / 1e6
        self._sampling = {"temperature": temperature, "top_p": top_p, "sample_rate": sample_rate}
        self._timestamps = True
        # The first request finds out alone whether there is the path with word times, and whether the voice is
        # known: a refusal meets one line, and not as many as are sent at a time.
        self._first, self._known = threading.Lock(), threading.Event()
        self._listed: dict[str, str] = {}

    def settings(self) -> dict[str, object]:
        """What decides the sound. A server of one's own has other weights, wherever it listens."""
        return {**FIXED, **self._sampling, "server": "public" if self._is_public else "own"}

    def price(self, lines: Sequence[Line]) -> float:
        return self._usd_per_byte * sum(len(self.rendered(line).encode()) for line in lines)

    def rendered(self, line: Line) -> str:
        return render(line.tag, line.text, self.style)

    def preflight(self) -> None:
        lacks = []
        if self._is_public and not self._token:
            instead = (
                "build with --profile embedded (a voice of this machine) or --revoice none (both as recorded)"
            )
            lacks.append(("needs a token", f"set {TOKEN} in the environment, or {instead}"))
        if not self.voice:
            lacks.append(("may say every line in another voice unless one is named", VOICE_REMEDY))
        if lacks:
            reasons, remedies = zip(*lacks, strict=True)
            raise DailytalkError(f"Fish Audio {', and '.join(reasons)}", "; ".join(remedies))

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line.

        Raises NotAnswered and DailytalkError as `Client.post` does, DailytalkError for a voice that a server of
        one's own does not have, and SynthesisFailed if the voice is to be cloned and `samples` are missing: the
        service would say it in any voice.
        """
        if self.voice == CLONE and not samples:
            raise SynthesisFailed("there is no sample of the voice to clone", "name a voice for these lines")
        body: dict[str, Any] = {"text": self.rendered(line), **FIXED, **self._sampling}
        if samples:
            body["references"] = [{"audio": sample.wav, "text": sample.text} for sample in samples]
            encoded, content_type = msgpack.packb(body), "application/msgpack"
        else:
            self._check_voice()
            body["reference_id"] = None if self.voice in ("", ANY) else self.voice
            encoded, content_type = json.dumps(body, ensure_ascii=False).encode(), "application/json"
        price = self.price([line])
        answer = self._ask(encoded, {"Content-Type": content_type, "model": self.model}, price, reserve)
        sound = answer.value
        words = fish_words(line.text, line.tag, sound.segments, len(sound.samples) / sound.sample_rate)
        return Spoken(sound.samples, sound.sample_rate, words, answer.paid * price)

    def _check_voice(self) -> None:
        if self._is_public or self.voice in ("", ANY, *self._listed):
            return
        try:
            self._listed = self._client.get(VOICES_PATH, read_voices, _ABSENT).value
        except NotServed:  # an older one
            self._listed = {self.voice: self.voice}
        if self.voice not in self._listed:
            reason = f"the Fish server at {self.server} has no voice {self.voice!r}, and would take any"
            known = ", ".join(self._listed)[:LONGEST_MESSAGE] or "none"
            raise DailytalkError(reason, f"name one of its voices ({known}), or pass --voice clone")

    def _ask(self, body: bytes, headers: dict[str, str], price: float, reserve: Reserve) -> Answer[Sound]:
        if not self._known.is_set() and not self._first.acquire(blocking=False):
            self._known.wait()
        try:
            if self._timestamps:
                with suppress(NotServed):
                    return self._client.post(
                        TIMES_PATH, body, headers, read_stream_events, _ABSENT, price, self._telling(reserve)
                    )
            # 404 also means an unknown voice: only a plain answer shows that it was the path.
            answer = self._client.post(PLAIN_PATH, body, headers, read_plain, price=price, reserve=reserve)
            self._timestamps = False
            return answer
        finally:
            self._known.set()

    def _telling(self, reserve: Reserve) -> Reserve:
        """`reserve`, after which the other lines may begin: however the first request ended, the path is there."""

        @contextmanager
        def first(price: float) -> Iterator[Callable[[float], None]]:
            with reserve(price) as pay:
                yield pay
            self._known.set()  # not after NotServed

        return first


def read_voices(reply: Reply) -> dict[str, str]:
    """What a server calls the voices that it lists, by their names. Raises ShortRead for another answer."""
    try:
        listed = json.loads(reply.body)
        parts = [listed.get(part) or [] for part in ("reference_ids", "voices", "uploaded_voices", "data")]
        entries = [entry if isinstance(entry, dict) else {"name": entry} for part in parts for entry in part]
    except (ValueError, RecursionError, AttributeError, TypeError):
        raise ShortRead("it lists no voices") from None
    return {
        str(entry.get("name")): str(entry.get("id") or entry.get("voice_id") or entry.get("name"))
        for entry in entries
    }


def read_plain(reply: Reply) -> Sound:
    samples, sample_rate = read_wav(reply.body)
    return Sound(samples, sample_rate, [])


def read_stream_events(reply: Reply) -> Sound:
    """The sound of an answer that is a stream of events with audio in base64 and alignments. Raises ShortRead."""
    files: list[list[bytes]] = []
    chunks: dict[int, list[FishSegment]] = {}
    promised = 0.0
    for event in _events(reply.body):
        audio, alignment = _audio_of(event), event.get("alignment")
        if audio[:4] == b"RIFF" or not files:  # if each chunk has a header, each is a separate file
            files.append([])
        files[-1].append(audio)
        number, segments, end = _aligned(event, alignment or {})
        if alignment or number not in chunks:  # the newest of a chunk counts; one that is null takes nothing back
            chunks[number] = segments
            promised = max(promised, end)
    sounds = [read_wav(b"".join(parts)) for parts in files if any(parts)]
    if not sounds:
        raise ShortRead("its stream holds no audio")
    samples = np.concatenate([part for part, _ in sounds])
    sample_rate = sounds[0][1]
    if len(samples) / sample_rate < promised - _ROUNDING_SECONDS:
        raise ShortRead(f"its stream promises {promised:.2f} s and holds {len(samples) / sample_rate:.2f} s")
    # A chunk without an alignment may hold any part of the text.
    is_aligned = all(chunks.values())
    return Sound(
        samples,
        sample_rate,
        [segment for number in sorted(chunks) for segment in chunks[number]] if is_aligned else [],
    )


def fish_words(text: str, tag: str, segments: Sequence[FishSegment], seconds: float) -> list[Word] | None:
    """The words of the text as written, with times from segments that may be cut and spelled in other ways.

    None unless the letters and digits of the segments (with or without those of the tag before them) are just
    those of the text: a guess about which word is which is worse than asking a recogniser. Where they are the
    beginning of the text and no more, the service stopped early: then these are its first words. `seconds` is the
    length of the audio, into which all words are fitted.
    """
    letters: list[tuple[str, float, float]] = []
    for segment in segments:
        letters_of_segment = _letters(segment.text)
        step = (segment.end - segment.start) / max(1, len(letters_of_segment))
        letters += [
            (letter, segment.start + index * step, segment.start + (index + 1) * step)
            for index, letter in enumerate(letters_of_segment)
        ]
    expected, spelled = _letters(text), "".join(letter for letter, _, _ in letters)
    if tag and spelled.startswith(_letters(tag)) and not expected.startswith(spelled):
        letters = letters[len(_letters(tag)) :]
        spelled = spelled.removeprefix(_letters(tag))
    if not spelled or not expected.startswith(spelled):
        return None
    timed, at = [], 0
    for word in split_words(text):
        count = len(_letters(word))
        if at + count > len(letters):
            break
        timed.append(Word(word, letters[at][1], letters[at + count - 1][2], 1.0))
        at += count
    in_order = all(first.start <= second.start for first, second in itertools.pairwise(timed))
    return fit(timed, seconds) if in_order else None


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of an event stream (https://html.spec.whatwg.org/#server-sent-events)."""
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        if not lines or lines == [b"[DONE]"]:
            continue
        try:
            event = json.loads(b"\n".join(lines))
        except (ValueError, RecursionError):
            raise ShortRead("its stream breaks off inside an event") from None
        if not isinstance(event, dict):
            raise ShortRead("its stream holds an event that is no object")
        yield event


def _audio_of(event: dict[str, Any]) -> bytes:
    if "audio_base64" not in event:
        reason = event.get("message") or event.get("error") or "no audio in an event"
        raise ShortRead(f"its stream says: {str(reason)[:200]}")
    try:
        return binascii.a2b_base64(event["audio_base64"] or "", strict_mode=True)
    except (TypeError, ValueError):
        raise ShortRead("its stream holds audio that is no base64") from None


def _aligned(event: dict[str, Any], alignment: Any) -> tuple[int, list[FishSegment], float]:
    """The chunk of an event, its segments in seconds of the whole audio, and where its audio ends."""
    try:
        offset = _seconds(event.get("chunk_audio_offset_sec") or 0.0)
        end = offset + _seconds(alignment.get("audio_duration") or 0.0)
        segments = [
            FishSegment(str(part["text"]), offset + _seconds(part["start"]), offset + _seconds(part["end"]))
            for part in alignment.get("segments") or []
        ]
        return int(event.get("chunk_seq") or 0), segments, end
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ShortRead("its stream holds an alignment without times") from None


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(value)
    return seconds


def _letters(text: str) -> str:
    """Letters and digits only, without case or typographic variants."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))
