"""FirstWords: the words at the beginning of each piece of a recording, for the names of files."""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.audio import mixed_down, read_header, read_pcm
from dailytalk_contiguous.core.schema import STRING, Row
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, Transcribe

#: Seconds of a piece that are recognised: this many, and one for each word, which is enough for slow speakers.
HEARD_SECONDS = 1.0

#: Pieces that are decoded at a time, so that memory doesn't grow with the recording.
PIECES = 64


@dataclass(frozen=True)
class FirstWords(Stage):
    """The first words of each piece that can be used; empty for others, and if nothing is recognised.

    The language `auto` is detected in the first pieces. `words` is how many of each are taken, at most.
    """

    transcribe: Transcribe
    words: int = unlisted(3)

    needs: ClassVar[tuple[str, ...]] = ("audio", "conversation_id", "pieces")
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"first_words": List(STRING)})

    def row(self, row: Row) -> Row:
        rate = read_header(row["audio"]).sample_rate
        first_words = [""] * len(row["pieces"])
        transcribe = self.transcribe
        usable = [index for index, piece in enumerate(row["pieces"]) if piece["reason"] is None]
        for first in range(0, len(usable), PIECES):
            indices, speech = usable[first : first + PIECES], []
            for piece in map(row["pieces"].__getitem__, indices):
                start, end = piece["start"] / rate, piece["end"] / rate
                pcm = read_pcm(row["audio"], start, min(end - start, HEARD_SECONDS + self.words))
                speech.append(mixed_down(pcm).tobytes())
            heard = transcribe({"speech": speech, "conversation_id": [row["conversation_id"]] * len(speech)})
            if transcribe.language == "auto" and heard["language"][0] != UNDETERMINED:
                transcribe = replace(transcribe, language=heard["language"][0])
            for index, words in zip(indices, heard["words"], strict=True):
                first_words[index] = " ".join(word["word"] for word in words[: self.words])
        return {"first_words": first_words}

    def preflight(self, fetch: bool = True) -> None:
        self.transcribe.preflight(fetch)

    def models(self) -> dict[str, str]:
        return self.transcribe.models()

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.VERSION}{self.words}\0{self.transcribe.digest}".encode()).hexdigest()[:20]
