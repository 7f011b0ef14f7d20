"""Any server that speaks OpenAI's `POST /v1/audio/speech`: OpenAI itself, or vLLM, Kokoro-FastAPI, speaches, ….

Facts: https://platform.openai.com/docs/api-reference/audio/createSpeech. A style tag is not part of the text here:
it becomes a sentence of instructions. OpenAI's two oldest models take none, and saying a line without its tag
would be a silent loss, so they reject tagged lines.

A server of one's own may clone a voice in one of two ways: from a sample in the request (`ref_audio`, `ref_text`:
vLLM-Omni, SGLang-Omni), or from one that was uploaded before (`POST /v1/audio/voices`: those, too;
`POST /v1/voices`: chatterbox-tts-api). Most servers pass over fields and voices that they do not know, and speak
in another voice. So each way is proved before it is used: a server that reads samples rejects what is no sound,
before and after it accepts a sample; one that keeps voices lists them.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from urllib3.filepost import encode_multipart_formdata

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.models.contracts import (
    CLONE,
    Engine,
    Line,
    Reserve,
    Spoken,
    VoiceSample,
)
from dailytalk_contiguous.models.paid import Answer, Client, Purchase, ServedSynthesiser
from dailytalk_contiguous.models.request_failures import NotServed
from dailytalk_contiguous.models.service_token import Token
from dailytalk_contiguous.models.speech_answers import Sound, read_plain, read_voices

PUBLIC_URL = "https://api.openai.com"
DOMAIN = "openai.com"
PATH = "/v1/audio/speech"
VOICES_PATH = "/v1/audio/voices"

#: Where a voice is uploaded, and the form's fields for name and sample: OpenAI's form, and chatterbox-tts-api's.
UPLOADS = ((VOICES_PATH, "name", "audio_sample"), ("/v1/voices", "voice_name", "voice_file"))

#: The line that is said to find out whether a server reads samples, and a reference that is no sound.
TRIAL = Line("Test.", "", "en", 0)
NO_SOUND = "no sound"

#: The answer to forms that ask for the speaker's consent, which users state by asking for a clone.
CONSENT = "given, as the user of dailytalk states"

#: Statuses that reject a request, and those of a path that is not there.
_REJECTED = frozenset({400, 413, 415, 422})
_ABSENT = frozenset({404, 405, 501})

#: USD for a million characters (https://platform.openai.com/docs/pricing). gpt-4o-mini-tts is sold by the minute,
#: about 0.015 USD; at 15 characters a second that makes 17 USD.
PRICES = {"gpt-4o-mini-tts": 17.0, "tts-1-hd": 30.0, "tts-1": 15.0}

#: Models of OpenAI that take no instructions.
WITHOUT_INSTRUCTIONS = ("tts-1", "tts-1-hd")

#: Instructions for the tags that name no feeling; all others follow the rule of `instruction`.
INSTRUCTIONS = {
    "in a hurry tone": "Speak fast, as if in a hurry.",
    "shouting": "Shout.",
    "screaming": "Scream.",
    "whispering": "Whisper.",
    "soft tone": "Speak in a soft, quiet voice.",
    "laughing": "Laugh while speaking.",
    "chuckling": "Chuckle while speaking.",
    "sobbing": "Sob while speaking.",
    "crying loudly": "Cry loudly while speaking.",
    "sighing": "Sigh, then speak.",
    "groaning": "Groan, then speak.",
    "panting": "Speak out of breath, panting.",
    "gasping": "Gasp, then speak.",
    "yawning": "Yawn while speaking.",
    "snoring": "Snore, then speak.",
    "moved": "Speak as someone who is deeply moved.",
    "audience laughing": "Speak as if to an audience that is laughing.",
    "background laughter": "Speak as if there were laughter in the background.",
    "crowd laughing": "Speak as if a crowd were laughing around you.",
    "break": "Pause for a moment, then speak.",
    "long-break": "Pause for a long moment, then speak.",
}


def instruction(tag: str) -> str:
    """A style tag as a sentence to the speaker; empty for no tag.

    >>> instruction("excited")
    'Speak in an excited voice.'
    """
    if not tag:
        return ""
    article = "an" if tag[0].lower() in "aeiou" else "a"
    return INSTRUCTIONS.get(tag, f"Speak in {article} {tag} voice.")


class OpenAISpeech(ServedSynthesiser):
    """A `Synthesiser`. It gives no word times.

    Args:
        model: a model of the server.
        voice: a voice of the server; `clone` for that of samples.
        base_url: with or without `/v1`; empty or None: OPENAI_BASE_URL, else OpenAI's own.
        concurrency: requests at a time.
        client: transport with other timeouts or tries than the defaults; its address counts, not `base_url`.
    """

    engine = "openai"
    deterministic = False

    def __init__(
        self,
        model: str = "gpt-4o-mini-tts",
        voice: str = "alloy",
        base_url: str | None = None,
        concurrency: int = 5,
        client: Client | None = None,
    ) -> None:
        self.model = model
        self.voice = voice
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL
        base_url = base_url.rstrip("/").removesuffix("/v1")
        token = Token.from_environment("OPENAI_API_KEY")
        super().__init__("the speech server", base_url, token, DOMAIN, concurrency, client)
        # Found out by the first line that needs it.
        self._reads_samples: bool | None = None
        # The server's name for the voice of each uploaded sample; empty if it took none.
        self._uploaded: dict[str, str] = {}
        self._cloning = threading.Lock()
        self._usd_per_character = 0.0  # a server of one's own is free
        if self._is_public:
            # An unknown model at OpenAI has the highest price that is known, to be safe.
            prices = [usd for name, usd in PRICES.items() if model.startswith(name)]
            self._usd_per_character = (prices[0] if prices else max(PRICES.values())) / 1e6

    def settings(self) -> dict[str, object]:
        """The settings that decide the sound, with a digest of the wording of instructions."""
        wording = json.dumps([INSTRUCTIONS, instruction("x")])
        digest = hashlib.sha256(wording.encode()).hexdigest()
        return {"format": "wav", "speed": 1.0, "instructions": digest[:16]}

    def price(self, lines: Sequence[Line]) -> float:
        n_characters = sum(len(line.text) for line in lines)
        return self._usd_per_character * n_characters

    def preflight(self) -> None:
        if self._is_public and self.voice == CLONE:
            raise _no_clone("OpenAI")
        if self._is_public and not self._token:
            raise DailytalkError("OpenAI needs a token", f"set {self._token.variables} in the environment")

    def _say(self, line: Line, samples: Sequence[VoiceSample], reserve: Reserve) -> Spoken:
        """Say a line.

        Raises NotAnswered and DailytalkError as `Client.post` does, and DailytalkError for a tag that the model
        would ignore and for samples if the server clones no voice.
        """
        if line.tag and self._is_public and self.model in WITHOUT_INSTRUCTIONS:
            raise DailytalkError(
                f"{self.model} takes no instructions, so the tag {line.tag!r} would be lost", "use gpt-4o-mini-tts"
            )
        voice = {"voice": self.voice}
        if samples:
            voice = self._cloned(samples[0], reserve)
        answer = self._ask(line, voice, reserve)
        sound = answer.value
        return Spoken(sound.samples, sound.sample_rate, None, answer.paid * self.price([line]))

    def _ask(
        self, line: Line, voice: dict[str, str], reserve: Reserve, absent: frozenset[int] = frozenset()
    ) -> Answer[Sound]:
        body: dict[str, object] = {
            "model": self.model,
            "input": line.text,
            **voice,
            "response_format": "wav",
            "speed": 1.0,
        }
        if line.tag:
            body["instructions"] = instruction(line.tag)
        json_type = {"Content-Type": "application/json"}
        encoded = json.dumps(body).encode()  # in ASCII: what a server calls a voice may be no UTF-8
        purchase = Purchase(self.price([line]), reserve, quoted(line.text))
        read = partial(read_plain, text=line.text)
        return self._client.post(PATH, encoded, json_type, read, absent, purchase)

    def _cloned(self, sample: VoiceSample, reserve: Reserve) -> dict[str, str]:
        """The fields of a request to be said in the voice of a sample, in the way that the server has."""
        encoded = base64.b64encode(sample.wav).decode()
        reference = {"ref_audio": f"data:audio/wav;base64,{encoded}", "ref_text": sample.text}
        digest = hashlib.sha256(sample.wav + sample.text.encode()).hexdigest()
        name = f"dailytalk-{digest[:24]}"
        with self._cloning:
            if self._reads_samples is None:
                self._reads_samples = self._can_read_samples(reference, reserve)
            if not self._reads_samples and name not in self._uploaded:
                self._uploaded[name] = self._listed(name) or self._upload(name, sample)
        if self._reads_samples:
            return reference
        if not self._uploaded[name]:
            raise _no_clone(f"the speech server at {self.server}")
        return {"voice": self._uploaded[name]}

    def _can_read_samples(self, reference: dict[str, str], reserve: Reserve) -> bool:
        """Return whether the server reads samples in requests: one that ignores them answers any trial.

        A status of 500 may also come from a server that is just not ready, so no sound has to be rejected twice.
        """

        def is_rejected(audio: str, statuses: frozenset[int]) -> bool:
            try:
                self._ask(TRIAL, reference | {"ref_audio": audio}, reserve, statuses)
            except NotServed:
                return True
            return False

        rejected_or_failed = _REJECTED | {500}
        if not is_rejected(NO_SOUND, rejected_or_failed):
            return False
        if is_rejected(reference["ref_audio"], _REJECTED):
            return False
        return is_rejected(NO_SOUND, rejected_or_failed)

    def _listed(self, name: str) -> str:
        """The server's id of the voice of that name; empty if it lists no such voice."""
        with suppress(NotServed):
            answer = self._client.get(VOICES_PATH, read_voices, _ABSENT)
            return answer.value.get(name, "")
        return ""

    def _upload(self, name: str, sample: VoiceSample) -> str:
        """Make a voice of a sample. Return its name there; empty if the server does not list it afterwards."""
        refused_or_created = _REJECTED | _ABSENT | {201}  # 201 is a yes: what counts is the list
        for path, name_field, sample_field in UPLOADS:
            wav = (f"{name}.wav", sample.wav, "audio/wav")
            fields = {name_field: name, "ref_text": sample.text, "consent": CONSENT}
            form, form_type = encode_multipart_formdata({**fields, sample_field: wav})
            with suppress(NotServed):
                self._client.post(path, form, {"Content-Type": form_type}, bool, refused_or_created)
            voice = self._listed(name)
            if voice:
                return voice
        return ""


def _no_clone(server: str) -> DailytalkError:
    remedy = "name a voice, use --tts fish, or set OPENAI_BASE_URL to a server that clones voices"
    return DailytalkError(f"{server} clones no voice from a sample", remedy)


LICENCE = Licence("other: the server's terms", "https://openai.com/policies", "or those of your own server")

ENGINE = Engine(
    "openai",
    lambda chosen: OpenAISpeech(chosen.model, chosen.voice, concurrency=chosen.concurrency),
    LICENCE,
    model="gpt-4o-mini-tts",
    voice="alloy",
    clones=True,
    tags="fish-s1",
    voices={"male": "onyx", "female": "nova"},
    price="about 17 USD for a million characters of text; free on a server of your own",
)
