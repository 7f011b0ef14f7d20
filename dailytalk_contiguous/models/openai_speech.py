"""Any server that speaks OpenAI's `POST /v1/audio/speech`: OpenAI itself, or vLLM, Kokoro-FastAPI, speaches, ….

Facts: https://platform.openai.com/docs/api-reference/audio/createSpeech. A style tag is not part of the text here:
it becomes a sentence of instructions. OpenAI's two oldest models take none, and saying a line without its tag
would be a silent loss, so they reject tagged lines.
"""

import hashlib
import json
import os
from collections.abc import Sequence

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import Line, Reserve, Spoken, VoiceSample, checked_price, free
from dailytalk_contiguous.models.fish import Sound, read_plain
from dailytalk_contiguous.models.paid import Client, Token

PUBLIC_URL = "https://api.openai.com"
PATH = "/v1/audio/speech"

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


class OpenAISpeech:
    """A `Synthesiser`. It gives no word times and clones no voice.

    Args:
        model, voice: as the server knows them.
        base_url: with or without `/v1`; empty or None: OPENAI_BASE_URL, else OpenAI's own.
        concurrency: requests at a time.
        usd_per_million_characters: price, where it is not that of `PRICES`. A server of one's own costs nothing.
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
        usd_per_million_characters: float | None = None,
        client: Client | None = None,
    ) -> None:
        self.model, self.voice, self.concurrency = model, voice, concurrency
        self._token = Token.from_environment("OPENAI_API_KEY")
        base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL).rstrip("/").removesuffix("/v1")
        self._client = client or Client("the speech server", base_url, self._token, most_at_once=concurrency)
        self._is_public = self._client.base_url == PUBLIC_URL
        price = usd_per_million_characters
        if price is None:
            # Of an unknown model at OpenAI the highest that is known, to be safe.
            prices = [known for name, known in PRICES.items() if model.startswith(name)] or [max(PRICES.values())]
            price = prices[0] if self._is_public else 0.0
        self._usd_per_character = checked_price("usd_per_million_characters", price) / 1e6

    def settings(self) -> dict[str, object]:
        """What decides the sound, with a digest of the wording of instructions."""
        wording = hashlib.sha256(json.dumps([INSTRUCTIONS, instruction("x")]).encode()).hexdigest()
        server = "public" if self._is_public else "own"
        return {"format": "wav", "speed": 1.0, "server": server, "instructions": wording[:16]}

    def price(self, lines: Sequence[Line]) -> float:
        return self._usd_per_character * sum(len(line.text) for line in lines)

    def preflight(self) -> None:
        if self._is_public and not self._token:
            raise DailytalkError("OpenAI needs a token", f"set {self._token.variables} in the environment")

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line.

        Raises NotAnswered and DailytalkError as `Client.post` does, and DailytalkError for `samples` and for a
        tag that the model would ignore.
        """
        if samples:
            raise DailytalkError("the OpenAI speech path clones no voice", "name a voice, or use --tts fish")
        if line.tag and self._is_public and self.model in WITHOUT_INSTRUCTIONS:
            raise DailytalkError(
                f"{self.model} takes no instructions, so the tag {line.tag!r} would be lost", "use gpt-4o-mini-tts"
            )
        body: dict[str, object] = {
            "model": self.model,
            "input": line.text,
            "voice": self.voice,
            "response_format": "wav",
            "speed": 1.0,
        }
        if line.tag:
            body["instructions"] = instruction(line.tag)
        encoded = json.dumps(body, ensure_ascii=False).encode()
        price = self.price([line])
        answer = self._client.post(
            PATH, encoded, {"Content-Type": "application/json"}, read_plain, price=price, reserve=reserve
        )
        sound: Sound = answer.value
        return Spoken(sound.samples, sound.sample_rate, None, answer.paid * price)
