"""TokeniseProsody: how each utterance is said, as a token every 16 ms (see `models.codebook`)."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import excerpt, pcm_to_float, read_pcm
from dailytalk_contiguous.core.contours import as_features
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records import WordRow
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.utterance import PROSODIC_TOKENS
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK, Codebook, bundled_name
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, Stage
from dailytalk_contiguous.stages.columns import each_utterance

#: A token.
TOKEN = Value("int16")

#: How a word is said (see `models.prosodic_sequences.word_prosody`).
WORD_PROSODY = {
    "word": schema.STRING,
    "start": schema.SECONDS,
    "end": schema.SECONDS,
    "tokens": List(TOKEN),
    "pitch": schema.MEASURE,
    "slope": schema.MEASURE,
    "duration": schema.MEASURE,
    "energy": schema.MEASURE,
}

#: A setting of several stages.
CODEBOOK = Setting(
    "Codebook for prosodic tokens: bundled, or a folder of dailytalk tokens cluster.",
    option="prosodic_tokens",
    metavar="bundled|DIR",
    reference=True,
)


@dataclass(frozen=True)
class _Tokenises(Stage):
    """The settings of stages that take tokens from a codebook."""

    codebook: str = setting(DEFAULT_CODEBOOK, CODEBOOK)

    def preflight(self, fetch: bool = True) -> None:
        Codebook.load(self.codebook)

    def models(self) -> dict[str, str]:
        return {"prosody": bundled_name() if self.codebook == DEFAULT_CODEBOOK else self.codebook}


@dataclass(frozen=True)
class TokeniseProsody(_Tokenises):
    """Prosodic tokens of utterances: a token a frame, in runs, and by word; `prosody_model` names the codebook.

    A speaker's usual is that of the same channel of the same conversation, all of which must then be in
    one batch (`PerUtterance` sees to that); without `conversation_id` each utterance counts as a separate speaker.
    Words are `words`, or else `given_words`, in seconds of the conversation, or of a clip's file.
    """

    if_model_fails: ClassVar[str] = "it has no prosodic tokens; --prosodic-tokens chooses another codebook"
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = (
        "words",
        "given_words",
        "start",
        "speech_start",
        "conversation_id",
        "channel",
    )
    adds: ClassVar[Features] = Features(
        {
            "prosody_tokens": List(TOKEN),
            "prosody_runs": List({"token": TOKEN, "frames": Value("int32")}),
            "prosody_words": List(WORD_PROSODY),
            "prosody_model": schema.STRING,
        }
    )

    def __call__(self, batch: schema.Batch) -> schema.Batch:
        from dailytalk_contiguous.models.prosodic_sequences import seen_by, speaker_levels, to_runs, word_prosody

        codebook = Codebook.load(self.codebook)
        extractor = codebook.extractor
        sounds = [pcm_to_float(pcm) for pcm in batch["speech"]]
        features = [as_features(extractor.extract(audio_tensor=sound)) for sound in sounds]
        unknown = [None] * len(sounds)
        words: list[list[WordRow]] = []
        timed = batch.get("words") or unknown
        transcribed = batch.get("given_words") or unknown
        for timed_words, transcribed_words in zip(timed, transcribed, strict=True):
            words.append(list(timed_words or transcribed_words or ()))
        # When the speech of an utterance begins, in seconds of the times of its words.
        speech_starts = batch.get("speech_start") or unknown
        starts = batch.get("start") or unknown
        conversations = batch.get("conversation_id") or range(len(features))
        channels = batch.get("channel") or unknown
        speakers: dict[Hashable, list[int]] = {}
        for index, speaker in enumerate(zip(conversations, channels, strict=True)):
            speakers.setdefault(speaker, []).append(index)
        columns: schema.Batch = {name: [None] * len(features) for name in self.adds}
        for indices in speakers.values():
            spoken_words = [words[index] for index in indices]
            usual = speaker_levels([features[index] for index in indices], spoken_words)
            for index in indices:
                tokens, _ = codebook.assign(seen_by(codebook, features[index], usual.f0))
                start = speech_starts[index]
                if start is None:
                    start = starts[index] or 0.0
                columns["prosody_tokens"][index] = tokens.tolist()
                columns["prosody_runs"][index] = [run._asdict() for run in to_runs(tokens)]
                columns["prosody_words"][index] = word_prosody(words[index], tokens, features[index], usual, start)
                columns["prosody_model"][index] = codebook.name
        return columns


@dataclass(frozen=True)
class TokeniseResult(_Tokenises):
    """Prosodic tokens of the utterances of a rebuilt conversation, as they sound in it; none of a dropped one."""

    revoice: str = setting(schema.CHANNELS[0], REVOICE_OR_KEEP)

    needs: ClassVar[tuple[str, ...]] = ("built_audio", "utterance_id", "source_channel", "new_start", "new_end")
    uses: ClassVar[tuple[str, ...]] = ("model_failures",)
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {**schema.per_utterance(Features(PROSODIC_TOKENS)), **schema.MODEL_FAILURES}
    )

    def row(self, row: schema.Row) -> schema.Row:
        samples = read_pcm(row["built_audio"])
        sides = schema.result_sides(self.revoice)
        speech: list[bytes] = []
        for channel, start, end in each_utterance(row, "source_channel", "new_start", "new_end"):
            side = samples[:, schema.CHANNELS.index(sides[channel])]
            speech.append(excerpt(side, start or 0.0, end or 0.0).tobytes())
        conversation = {"conversation_id": [""] * len(speech), "channel": row["source_channel"], "speech": speech}
        columns, problems = TokeniseProsody(self.codebook).attempt(conversation)
        failures = list(row.get("model_failures") or [])
        for index, problem in problems.items():
            reject = Reject(row["utterance_id"][index], self.name, problem.reason, problem.remedy)
            failures.append(reject.as_dict())
        return {name: columns[name] for name in PROSODIC_TOKENS} | {"model_failures": failures or None}


@dataclass(frozen=True)
class TokeniseClip(_Tokenises):
    """Prosodic tokens of a finished clip, without the prompt before it."""

    needs: ClassVar[tuple[str, ...]] = ("audio", "clip_start", "duration")
    prepares: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(PROSODIC_TOKENS)

    def row(self, row: schema.Row) -> schema.Row:
        samples = read_pcm(row["audio"])
        speech = excerpt(samples[:, 0], row["clip_start"] or 0.0, row["duration"]).tobytes()
        columns, problems = TokeniseProsody(self.codebook).attempt({"speech": [speech]})
        if problems:
            raise problems[0]
        return {name: columns[name][0] for name in PROSODIC_TOKENS}
