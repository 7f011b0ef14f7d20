"""Fish Audio, in the cloud or a self-hosted fish-speech server with the same paths.

Facts: https://docs.fish.audio/api-reference (text-to-speech, and its stream with timestamps). The model's name
is checked here because the service silently takes an unknown one for s2.1-pro; word times come from the
timestamp path, which a self-hosted server lacks, and are kept only where they spell out the whole text.

The self-hosted server (https://github.com/fishaudio/fish-speech, tools/server/views.py) speaks by the model that
it was started with, at that model's rate, and says a line in any voice where it does not know the one that is
named; so its list of voices is read before the first line.
"""

import binascii
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgpack
import numpy as np

from dailytalk_contiguous.core.documents import parse_json, quoted, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.quotas import Quota
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.style.tags import render
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import fit_within, split_words
from dailytalk_contiguous.models.contracts import (
    ANY,
    Engine,
    Line,
    Reserve,
    Spoken,
    VoiceSample,
)
from dailytalk_contiguous.models.event_streams import server_events
from dailytalk_contiguous.models.paid import Answer, Client, Purchase, ServedSynthesiser
from dailytalk_contiguous.models.request_failures import LONGEST_MESSAGE, LongRead, NotServed, ShortRead
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.models.speech_answers import (
    SLOWEST,
    Sound,
    TimedText,
    count,
    read_plain,
    read_voices,
    read_wav,
    sound_quota,
)

PUBLIC_URL = "https://api.fish.audio"
DOMAIN = "fish.audio"
TOKEN = "FISH_API_KEY"
PRICE = "FISH_AUDIO_USD_PER_MILLION_BYTES"
PLAIN_PATH = "/v1/tts"
TIMES_PATH = "/v1/tts/stream/with-timestamp"
VOICES_PATH = "/v1/references/list?format=json"

#: How each model takes tags (see `core.style.tags`), and USD for a million UTF-8 bytes of text.
MODELS = {
    "s1": ("fish-s1", 15.0),
    "s2-pro": ("fish-s2", 15.0),
    "s2.1-pro": ("fish-s2", 15.0),
    "s2.1-pro-free": ("fish-s2", 0.0),
}

VOICE_REMEDY = (
    "pass --voice ID or set FISH_AUDIO_REFERENCE_ID (the address of a voice's page ends in its ID), or pass "
    "--voice any to accept that"
)

#: The service's own defaults, sent so that a change of them there changes nothing here.
FIXED = {"format": "wav", "normalize": True, "chunk_length": 300, "latency": "normal"}

#: Statuses with which a server without a path answers.
_ABSENT = frozenset({404, 405, 501})


class FishSampling(NamedTuple):
    """Sampling settings of the model, both in [0, 1], and the rate in Hz to ask for."""

    temperature: float = 0.7
    top_p: float = 0.7
    sample_rate: int = 24000


DEFAULT_SAMPLING = FishSampling()


class Fish(ServedSynthesiser):
    """A `Synthesiser`. Raises DailytalkError for settings that the service would reject, or take for others.

    Args:
        model: one of `MODELS`.
        voice: the id of a voice of the service, `clone`, or `any`, which may be another one for every line; empty:
            FISH_AUDIO_REFERENCE_ID. With neither, `preflight` refuses.
        base_url: the address of the service; empty or None: FISH_AUDIO_BASE_URL, else the public one. Another one
            than that costs nothing, unless FISH_AUDIO_USD_PER_MILLION_BYTES says so.
        sampling: the sampling settings. The rate of the speech that comes is in `Spoken`.
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
        sampling: FishSampling = DEFAULT_SAMPLING,
        concurrency: int = 5,
        client: Client | None = None,
    ) -> None:
        self.model = one_of("the model of Fish Audio", model, MODELS)
        self.voice = voice or os.environ.get("FISH_AUDIO_REFERENCE_ID", "")
        self.style, price = MODELS[model]
        base_url = base_url or os.environ.get("FISH_AUDIO_BASE_URL") or PUBLIC_URL
        token = Token.from_environment(TOKEN)
        super().__init__("Fish Audio", base_url, token, DOMAIN, concurrency, client)
        self._usd_per_byte = (price if self._is_public else 0.0) / 1e6
        chosen = os.environ.get(PRICE)
        if chosen:
            # NaN compares false with everything, so it would switch the spending limit off.
            if not re.fullmatch(r"\d{1,9}(\.\d+)?", chosen):
                raise DailytalkError(f"{PRICE} is {chosen[:40]!r}", "give a price in USD, such as 15")
            self._usd_per_byte = float(chosen) / 1e6
        self._sampling = sampling._asdict()
        self._timestamps = True
        self._listed: dict[str, str] = {}

    def settings(self) -> dict[str, object]:
        return {**FIXED, **self._sampling}

    def price(self, lines: Sequence[Line]) -> float:
        n_bytes = sum(len(self.rendered(line).encode()) for line in lines)
        return self._usd_per_byte * n_bytes

    def rendered(self, line: Line) -> str:
        return render(line.tag, line.text, self.style)

    def preflight(self) -> None:
        reasons: list[str] = []
        remedies: list[str] = []
        if self._is_public and not self._token:
            reasons.append("needs a token")
            remedies.append(
                f"set {TOKEN} in the environment, or build with --profile embedded (a voice of this machine) or "
                "--revoice none (both as recorded)"
            )
        if not self.voice:
            reasons.append("may say every line in another voice unless one is named")
            remedies.append(VOICE_REMEDY)
        if reasons:
            reason = ", and ".join(reasons)
            raise DailytalkError(f"Fish Audio {reason}", "; ".join(remedies))

    def _say(self, line: Line, samples: Sequence[VoiceSample], reserve: Reserve) -> Spoken:
        """Say a line.

        Raises NotAnswered and DailytalkError as `Client.post` does, also for a voice that a server of
        one's own does not have.
        """
        body: dict[str, object] = {"text": self.rendered(line), **FIXED, **self._sampling}
        if samples:
            body["references"] = [{"audio": sample.wav, "text": sample.text} for sample in samples]
            encoded = msgpack.packb(body)
            content_type = "application/msgpack"
        else:
            self._check_voice()
            is_any_voice = self.voice in ("", ANY)
            body["reference_id"] = None if is_any_voice else self.voice
            encoded = json.dumps(body, ensure_ascii=False).encode()
            content_type = "application/json"
        price = self.price([line])
        headers = {"Content-Type": content_type, "model": self.model}
        purchase = Purchase(price, reserve, quoted(line.text))
        answer = self._ask(encoded, headers, line.text, purchase)
        sound = answer.value
        seconds = len(sound.samples) / sound.sample_rate
        words = fish_words(line.text, line.tag, sound.segments, seconds)
        return Spoken(sound.samples, sound.sample_rate, words, answer.paid * price)

    def _check_voice(self) -> None:
        """Raise DailytalkError for a voice that a server of one's own doesn't list: it would take any."""
        if self._is_public or self.voice in ("", ANY, *self._listed):
            return
        try:
            self._listed = self._client.get(VOICES_PATH, read_voices, _ABSENT).value
        except NotServed:  # an older one
            self._listed = {self.voice: self.voice}
        if self.voice not in self._listed:
            reason = f"the Fish server at {self.server} has no voice {self.voice!r}, and would use any"
            listed = ", ".join(self._listed)[:LONGEST_MESSAGE] or "none"
            raise DailytalkError(reason, f"name one of its voices ({listed}), or pass --voice clone")

    def _ask(self, body: bytes, headers: dict[str, str], text: str, purchase: Purchase) -> Answer[Sound]:
        """Ask for speech with word times, or for speech alone from a server that has no path for these.

        `text` is that of the line, which limits the answer.
        """
        read_events = partial(read_stream_events, text=text)
        read_sound = partial(read_plain, text=text)
        if self._timestamps:
            absent = frozenset[int]() if self._has_spoken else _ABSENT  # the path is there once it has answered
            with suppress(NotServed):
                return self._client.post(TIMES_PATH, body, headers, read_events, absent, purchase)
        # 404 also means an unknown voice: only a plain answer shows that it was the path.
        answer = self._client.post(PLAIN_PATH, body, headers, read_sound, purchase=purchase)
        self._timestamps = False
        return answer


#: Separate sounds of an answer, and letters of its alignment besides those that the text has: a chunk has 300.
MOST_PARTS = 1000

#: Seconds by which the audio may be shorter than its alignment says: rounding, not a stream cut short.
_ROUNDING_SECONDS = 0.5


def read_stream_events(body: bytes, text: str) -> Sound:
    """The sound of an answer that is a stream of events with audio in base64 and alignments.

    `text` is that of the line. Raises ShortRead, and LongRead for more sound, letters or parts than it can need.
    """
    quota = sound_quota(text)
    letters = Quota("its alignment", MOST_PARTS + SLOWEST * len(text), "characters", "ask again")
    files: list[list[bytes]] = []
    chunks: dict[int, list[TimedText]] = {}
    promised = 0.0
    for event in _events(body):
        try:
            audio = binascii.a2b_base64(event["audio_base64"] or "", strict_mode=True)
        except (KeyError, TypeError, ValueError):
            reason = event.get("message") or event.get("error") or "an event without audio in base64"
            raise ShortRead(f"its stream says: {str(reason)[:200]}") from None
        alignment = event.get("alignment")
        if audio[:4] == b"RIFF" or not files:  # if each chunk has a header, each is a separate file
            files.append([])
        files[-1].append(audio)
        if len(files) > MOST_PARTS:
            raise LongRead(f"its stream has more than {MOST_PARTS:,} sounds")
        number, segments, end = _aligned(event, alignment or {})
        count(letters, sum(1 + len(segment.text) for segment in segments))
        if alignment or number not in chunks:  # the newest of a chunk counts; one that is null takes nothing back
            chunks[number] = segments
            promised = max(promised, end)
    sounds = [read_wav(b"".join(parts), quota) for parts in files if any(parts)]
    seconds = sum(len(part) / sample_rate for part, sample_rate in sounds)
    if not sounds or seconds < promised - _ROUNDING_SECONDS:
        raise ShortRead(f"its stream promises {promised:.2f} s of audio and holds {seconds:.2f} s")
    samples = np.concatenate([part for part, _ in sounds])
    sample_rate = sounds[0][1]
    if not all(chunks.values()):  # a chunk without an alignment may hold any part of the text
        return Sound(samples, sample_rate, [])
    aligned: list[TimedText] = []
    for number in sorted(chunks):
        aligned += chunks[number]
    return Sound(samples, sample_rate, aligned)


def fish_words(text: str, tag: str, segments: Sequence[TimedText], seconds: float) -> list[Word] | None:
    """The words of the text as written, with times from segments that may be cut and spelled in other ways.

    None unless the letters and digits of the segments (with or without those of the tag before them) are just
    those of the text: a guess about which word is which is worse than asking a recogniser. Where they are the
    beginning of the text and no more, the service stopped early: then these are its first words. `seconds` is the
    length of the audio, into which all words are fitted.
    """
    letters: list[TimedText] = []
    for segment in segments:
        letters_of_segment = _letters(segment.text)
        step = (segment.end - segment.start) / max(1, len(letters_of_segment))
        for index, letter in enumerate(letters_of_segment):
            start = segment.start + index * step
            end = segment.start + (index + 1) * step
            letters.append(TimedText(letter, start, end))
    expected = _letters(text)
    spelled = "".join(letter.text for letter in letters)
    letters_of_tag = _letters(tag)
    if tag and spelled.startswith(letters_of_tag) and not expected.startswith(spelled):
        letters = letters[len(letters_of_tag) :]
        spelled = spelled.removeprefix(letters_of_tag)
    if not spelled or not expected.startswith(spelled):
        return None
    timed: list[Word] = []
    first = 0
    for word in split_words(text):
        count = len(_letters(word))
        if first + count > len(letters):
            break
        last = first + count - 1
        timed.append(Word(word, letters[first].start, letters[last].end, 1.0))
        first += count
    is_in_order = all(before.start <= after.start for before, after in itertools.pairwise(timed))
    return fit_within(timed, seconds) if is_in_order else None


#: Characters of an event: three minutes of speech as 16-bit WAV at 24 kHz in base64. A chunk has 20 s.
MOST_EVENT_CHARACTERS = 12 << 20

#: Lines of a stream: an event has two or three, and a chunk of sound an event or some.
MOST_LINES = 100_000


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of events; the last one may lack the empty line behind it."""
    if body.count(b"\n") + body.count(b"\r") > MOST_LINES:
        raise LongRead(f"its stream has more than {MOST_LINES:,} lines")
    for event in server_events([body + b"\n\n"]):
        if event.data.strip() == "[DONE]":
            continue
        if len(event.data) > MOST_EVENT_CHARACTERS:
            raise LongRead(f"its stream has an event of over {MOST_EVENT_CHARACTERS:,} characters")
        try:
            yield typed(parse_json(event.data, ""), dict[str, Any], "it")
        except BadInput:
            raise ShortRead("its stream breaks off inside an event") from None


def _aligned(event: dict[str, Any], alignment: dict[str, Any]) -> tuple[int, list[TimedText], float]:
    """The chunk of an event, its segments in seconds of the whole audio, and where its audio ends."""
    try:
        offset = float(event.get("chunk_audio_offset_sec") or 0.0)
        end = offset + float(alignment.get("audio_duration") or 0.0)
        segments: list[TimedText] = []
        for part in alignment.get("segments") or []:
            segment_start = offset + float(part["start"])
            segment_end = offset + float(part["end"])
            segments.append(TimedText(str(part["text"]), segment_start, segment_end))
        return int(event.get("chunk_seq") or 0), segments, end
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ShortRead("its stream holds an alignment without times") from None


def _letters(text: str) -> str:
    """Letters and digits only, without case or typographic variants."""
    normalised = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, normalised))


LICENCE = Licence(
    "other: Fish Audio's terms",
    "https://fish.audio/terms",
    "cloud output as the account's terms say; of weights served by yourself, s2-pro forbids use for other "
    "generative models, openaudio-s1-mini is CC BY-NC-SA 4.0",
)

ENGINE = Engine(
    "fish",
    lambda chosen: Fish(
        chosen.model,
        chosen.voice,
        sampling=FishSampling(chosen.temperature, chosen.top_p, chosen.sample_rate),
        concurrency=chosen.concurrency,
    ),
    LICENCE,
    model="s1",
    clones=True,
    tags={model: tags for model, (tags, _) in MODELS.items()},
    voices={"any": ANY},
    price="15 USD for a million bytes of text; free on a server of your own",
)
