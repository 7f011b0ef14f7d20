"""An utterance, with its fields: each is declared once, in a row, in a line of transcript.jsonl and in tables.

In flight an utterance is an object, and in a row one item in each of many list columns; in what is finished it is
a struct in the list `utterances` (`core.records.finished`). Rows, transcripts (`core.records.lines`), their
readers and checks, exports, the review page and tables for people are made from `FIELDS`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from datasets import Value
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.arrow_types import Feature, record_features
from dailytalk_contiguous.core.records.fields import Field, TablePlace, declared_fields, finite
from dailytalk_contiguous.core.records.record import (
    AnyRecord,
    Count,
    EmotionShare,
    FinishedName,
    Flag,
    Measure,
    ModelsOfUtterance,
    Seconds,
    Stored,
    SynthesisRecord,
    Text,
)
from dailytalk_contiguous.core.words.word import TIMED, UTTERED, Span, Word, WordRow

#: Seconds beyond its start and end that an utterance may sound (`core.sound.sound_edges.sounding` looks no further
#: than 0.2).
MOST_BEYOND = 1.0

#: `tries` of an utterance that is the recorded sound in another voice: no take of its text was made.
CONVERTED_TRIES = 0

#: Seconds by which times may differ and be called the same.
SAME_TIME = 1e-6

#: The value of a field that no stage has made yet.
UNSET = msgspec.UNSET

_Value = TypeVar("_Value")

#: The default of a field, whatever its type: a stage is only called with all that it needs.
_unset: Any = UNSET

Sound: TypeAlias = Annotated[bytes, Stored("binary")]
Token: TypeAlias = Annotated[int, Stored("int16")]


def is_set(value: object) -> bool:
    """Whether a stage has made the value of a field; None counts as made."""
    return value is not UNSET


def or_none(value: _Value | None) -> _Value | None:
    """Return the value of a field, or None where no stage has made it."""
    return value if is_set(value) else None


def known_trims(length: float, start_trim: object, end_trim: object) -> tuple[float | None, float | None]:
    """Return the seconds without sound at the start and the end of an utterance, by its length and its trims.

    A trim is None where it is unknown or impossible.
    """
    before = start_trim if is_number(start_trim, -MOST_BEYOND, length) else None
    after = end_trim if is_number(end_trim, -MOST_BEYOND, length) else None
    trimmed_start = before or 0.0
    trimmed_end = after or 0.0
    if trimmed_start + trimmed_end < length:
        return before, after
    return None, None


def sounding_between(start: float, end: float, start_trim: object, end_trim: object) -> tuple[float, float]:
    """Return start and end of an utterance's sound; those of the utterance where the trims are not known."""
    before, after = known_trims(end - start, start_trim, end_trim)
    if before is not None:
        start += before
    if after is not None:
        end -= after
    return start, end


#: Ratings of affect, each in [0, 1].
AFFECT = ("valence", "arousal", "dominance")

#: Prosodic measures in the order in which transcripts show them.
PROSODY = ("rms", "zcr", "f0_mean", "f0_std", "speech_rate", "voiced_fraction")

#: The types of what a synthesis cost, and how it sounds; null for utterances that were not resynthesised.
SYNTHESIS = record_features(SynthesisRecord)

#: What a classifier of emotion says of an utterance.
EMOTION_GUESS = ("emotion_class", "emotion_probabilities", "emotion_model")

#: The text that is put where a reply was interrupted.
CUT_MARK = "— [interrupted]"

#: The value of `recogniser` for utterances whose words came with the recording.
GIVEN = "given"

#: The source of words with the times of the voice that says them.
SYNTHESISER = "synthesiser"

#: The source of words with the recogniser's times.
RECOGNISER = "recogniser"

#: The source of words whose given times were fitted to the speech that was found (see `core.words.cues`).
GIVEN_FITTED = "given-fitted"

#: The source of words of a given text by Whisper, which knows the text.
RECOGNISED_TEXT = "recognised-text"

#: The source of words of a synthesised text by Whisper, which knows the text.
RECOGNISED_SYNTHESIS = "recognised-synthesis"

#: The source of words that share the time of their utterance.
PROPORTIONAL = "proportional"

#: Flags of a word, which a line has only where they are true.
_WORD_MARKS = ("fitted", "filler")

#: Characters of the text of one utterance; half an hour of speech has fewer.
LONGEST_TEXT = 20_000

#: The times of an utterance: its start and end, and how far inside these it sounds.
EDGES = ("start", "end", "start_trim", "end_trim")


class TokenRun(msgspec.Struct, frozen=True):
    """A prosodic token, and the number of frames in a row that have it."""

    token: Token
    frames: Count


class ProsodicWord(msgspec.Struct):
    """The prosody of a word; unknown values are None.

    Attributes:
        word: written form of the word.
        start: start in seconds.
        end: end in seconds.
        tokens: tokens of the frames whose middle is in the word.
        pitch: pitch in semitones above the speaker's median.
        slope: slope of the pitch in semitones a second.
        duration: ratio to the median length of the speaker's words.
        energy: level in dB above the speaker's median.
    """

    word: Text
    start: Seconds
    end: Seconds
    tokens: list[Token]
    pitch: Measure | None = None
    slope: Measure | None = None
    duration: Measure | None = None
    energy: Measure | None = None


#: How an utterance came into the rebuilt conversation: resynthesised, kept sample for sample, kept although it was
#: to be resynthesised (flagged), or left out for want of text.
STATUSES = ("spoken", "kept", "kept-original", "dropped")

#: How an utterance enters (see `core.turns.turn_taking`).
EVENTS = ("turn", "overlap", "backchannel", "interruption")

#: The types of a word with its times.
WORD = record_features(WordRow, TIMED)


def texts_of(value: object) -> list[str] | None:
    """Return one text or several as a list, each once and none empty; None where there is none.

    >>> texts_of("Ann"), texts_of(["tag", "text", "tag"]), texts_of([])
    (['Ann'], ['tag', 'text'], None)
    """
    candidates = value if isinstance(value, list) else [value]
    texts = [text for text in candidates if isinstance(text, str) and text.strip()]
    return list(dict.fromkeys(texts)) or None


def _shares_by_name(shares: Iterable[EmotionShare] | None) -> dict[str, float | None]:
    # A file from outside may hold empty shares.
    by_name: dict[str, float | None] = {}
    for share in shares or ():
        if share and share["emotion"]:
            by_name[share["emotion"]] = finite(share["probability"], 4)
    return by_name


def _shares(by_name: object) -> list[EmotionShare] | None:
    shares: list[EmotionShare] = []
    if isinstance(by_name, dict):
        for name, share in by_name.items():
            if is_number(share):
                shares.append({"emotion": name, "probability": share})
    return shares or None


def _words_written(words: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    written: list[dict[str, object]] = []
    for word in words:
        line_word = {**word, "probability": finite(word.get("probability"), 3)}
        for mark in _WORD_MARKS:
            if not line_word.get(mark):
                line_word.pop(mark, None)
        written.append(line_word)
    return written


def words_read(words: Iterable[AnyRecord] | None) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = []
    for line_word in words or ():
        word = {name: line_word.get(name) for name in WORD}
        for mark in _WORD_MARKS:
            word[mark] = line_word.get(mark) is True
        read.append(word)
    return read


def _models_read(by_role: object) -> ModelsOfUtterance:
    names = by_role if isinstance(by_role, dict) else {}
    return {"recogniser": names.get("recogniser"), "affect": names.get("affect")}


def _synthesis_written(synthesis: Mapping[str, object]) -> dict[str, object]:
    return {name: None if value == "" else value for name, value in synthesis.items()}


# Fields that several fields are like.


def _affect(key: str) -> Field:
    return Field(about="rating by the model that `models.affect` names", unit="[0, 1]", key=key, digits=4)


def _prosody(key: str, about: str, unit: str) -> Field:
    return Field(about=about, unit=unit, key=key, digits=5)


def _bucket(key: str, measure: str = "") -> Field:
    about = "level among the speaker's utterances in this conversation"
    if measure:
        about = f"level of `{measure}` among the speaker's utterances in this conversation"
    return Field(about=about, unit="LOW, MID, HIGH", key=key, editable=False)


def _trim(about: str) -> Field:
    return Field(
        about=about,
        unit="seconds, or absent",
        digits=4,
        editable=False,
        leave_out_empty=True,
        optional=True,
        table="file",
    )


def _emotion(about: str) -> Field:
    return Field(about=about, unit="or absent", only_with="emotion_model", optional=True)


def _texts(about: str, table: TablePlace = "queries") -> Field:
    return Field(
        about=about,
        unit="or absent",
        editable=False,
        leave_out_empty=True,
        optional=True,
        shape=[Value("string")],
        read=texts_of,
        table=table,
    )


def _event(about: str) -> Field:
    return Field(about=about, unit=", ".join(EVENTS), part="built", table="file")


def _transition(about: str) -> Field:
    return Field(about=about, unit="`shift`, `hold` or null", part="built", leave_out_empty=True, optional=True)


def _turn_end(about: str, transition: str) -> Field:
    return Field(about=about, unit="[0, 1] or null", digits=4, part="built", only_with=transition, optional=True)


class Utterance(msgspec.Struct):
    """A stretch of speech of one speaker, with the fields that stages have made.

    Each field is a column of conversations, with one value an utterance. A `Field` says what lines, finished rows
    and tables make of it, in their order; a field without one is there during a run alone, or docs/columns.md
    describes it.
    """

    channel: Annotated[
        Text,
        Field(
            about="the speaker's channel in the recording; in finished conversations, in the result",
            unit="`left`, `right`, `mix`",
        ),
    ] = _unset
    start: Annotated[
        Seconds,
        FinishedName("source_start"),
        Field(
            about="start of speech, by Silero; in finished conversations null if `status` is `dropped`",
            unit="seconds",
            table="file",
        ),
    ] = _unset
    end: Annotated[
        Seconds,
        FinishedName("source_end"),
        Field(
            about="end of speech, or null like `start`; speech over 12 s is cut at its quietest point",
            unit="seconds",
            table="file",
        ),
    ] = _unset
    run: Count = _unset
    speech_seconds: Measure = _unset
    speech: Sound = _unset
    speech_start: Seconds | None = _unset
    # of a transcript that came with the recording
    given_text: Text | None = _unset
    given_words: Annotated[list[Word], UTTERED] | None = _unset
    # of its sound
    valence: Annotated[Measure | None, _affect("vad.valence")] = _unset
    arousal: Annotated[Measure | None, _affect("vad.arousal")] = _unset
    dominance: Annotated[Measure | None, _affect("vad.dominance")] = _unset
    affect_model: Text | None = _unset
    rms: Annotated[
        Measure | None,
        _prosody("features.rms", "mean RMS of frames of 1024 samples, 256 apart, at 16 kHz", "linear full scale"),
    ] = _unset
    zcr: Annotated[
        Measure | None, _prosody("features.zcr", "mean rate of zero crossings", "crossings a sample")
    ] = _unset
    f0_mean: Annotated[
        Measure | None,
        _prosody("features.f0_mean", "mean pitch by pYIN, 65–500 Hz; null with fewer than 5 voiced frames", "Hz"),
    ] = _unset
    f0_std: Annotated[Measure | None, _prosody("features.f0_std", "standard deviation of the pitch", "Hz")] = (
        _unset
    )
    speech_rate: Annotated[
        Measure | None, _prosody("features.speech_rate", "rate of the words", "words a second of speech")
    ] = _unset
    voiced_fraction: Annotated[
        Measure | None, _prosody("features.voiced_fraction", "share of voiced frames", "[0, 1]")
    ] = _unset
    prosody_tokens: list[Token] | None = _unset
    prosody_runs: list[TokenRun] | None = _unset
    prosody_words: list[ProsodicWord] | None = _unset
    prosody_model: Text | None = _unset
    # of its style
    valence_bucket: Annotated[Text | None, _bucket("vad_bucket.valence")] = _unset
    arousal_bucket: Annotated[Text | None, _bucket("vad_bucket.arousal")] = _unset
    dominance_bucket: Annotated[Text | None, _bucket("vad_bucket.dominance")] = _unset
    energy_bucket: Annotated[Text | None, _bucket("prosody_bucket.energy", "rms")] = _unset
    rate_bucket: Annotated[Text | None, _bucket("prosody_bucket.rate", "speech_rate")] = _unset
    zcr_bucket: Annotated[Text | None, _bucket("prosody_bucket.zcr", "zcr")] = _unset
    pitch_bucket: Annotated[Text | None, _bucket("prosody_bucket.pitch", "f0_mean")] = _unset
    pitch_var_bucket: Annotated[Text | None, _bucket("prosody_bucket.pitch_var", "f0_std")] = _unset
    rms_gain_db: Measure | None = _unset
    f0_ratio: Measure | None = _unset
    rate_ratio: Measure | None = _unset
    tag: Annotated[Text | None, Field(about="style tag from Fish Audio s1's list")] = _unset
    # of its text
    text_raw: Annotated[
        Text | None,
        Field(
            about="recognised text, or that of the given transcript; empty if nothing credible was recognised",
            table="file",
        ),
    ] = _unset
    text: Annotated[
        Text,
        Field(
            about="`text_raw` with a capital and, if the recogniser wrote no end mark, one that fits the tag",
            table="file",
        ),
    ] = _unset
    tagged_text: Annotated[
        Text | None, Field(about="`(tag) text`", unit="or null", editable=False, table="file")
    ] = _unset
    utterance_id: Annotated[
        Text,
        Field(
            about="unique name; its number counts within the channel",
            unit="`conversation/channel/0007`",
            table="file",
        ),
    ] = _unset
    speaker: Annotated[
        Text, Field(about="name in `--speakers` or in the given transcript, or else `recording/channel`")
    ] = _unset
    rule: Annotated[Text | None, Field(about="rule that chose the tag", editable=False, table="file")] = _unset
    kind: Annotated[Text, Field(about="`short` if it lasts less than 0.8 s", unit="`speech`, `short`")] = _unset
    words: Annotated[
        list[Word],
        UTTERED,
        Field(
            about="words in order, inside the utterance, each longer than 0 s (in finished rows: `alignments`). "
            "`fitted` (true or absent): the given transcript has no time for this word, or one that reaches "
            "beyond the speech. `filler` (true or absent): the word is an um, uh … (see `--fillers`)",
            unit="seconds, [0, 1] or null",
            part="line",
            write=_words_written,
            read=words_read,
        ),
    ] = _unset
    avg_logprob: Measure | None = _unset
    no_speech_prob: Measure | None = _unset
    recogniser: Text = _unset
    question: Flag | None = _unset
    verbatim: Text = _unset
    keeps_sound: Flag | None = _unset
    language: Annotated[
        Text | None,
        Field(
            about="language as set, as detected once a conversation, or as found in given texts",
            unit="ISO 639-1, or `und`",
            table="file",
        ),
    ] = _unset
    confidence: Annotated[
        Measure | None,
        Field(
            about="geometric mean of the words' probabilities; null if a word has none (given transcripts)",
            unit="[0, 1] or null",
            digits=4,
        ),
    ] = _unset
    models: Annotated[
        ModelsOfUtterance,
        Field(
            about="names of the models; `given` for a transcript by people, `voice-linear` for the model that "
            "comes with the package",
            shape={str: Value("string")},
            read=_models_read,
            table="rows",
        ),
    ] = _unset
    context_seconds: Annotated[
        Measure | None,
        Field(
            about="length of the speaker's nearby speech that was rated with it",
            unit="seconds",
            digits=3,
            table="file",
        ),
    ] = _unset
    text_reason: Annotated[Text | None, Field(about="why `text_raw` is empty", unit="or null", editable=False)] = (
        _unset
    )
    start_trim: Annotated[
        Seconds | None,
        FinishedName("source_start_trim"),
        _trim(
            "time from `start` to its first sound (above the room, and at most 40 dB below its loudest "
            "moment), which measures of timing use; below 0 if it sounds before `start`"
        ),
    ] = _unset
    end_trim: Annotated[
        Seconds | None, FinishedName("source_end_trim"), _trim("time from its last sound to `end`")
    ] = _unset
    leak_share: Annotated[
        Measure | None,
        Field(
            about="how much of its energy in the recording is the other speaker's voice that leaks into its side",
            unit="[0, 1], or absent (none)",
            digits=3,
            editable=False,
            leave_out_empty=True,
            optional=True,
            table="file",
        ),
    ] = _unset
    emotion_class: Annotated[
        Text | None,
        _emotion(
            "with `--emotion`: the likeliest class by a classifier (a guess from sound, not a diagnosis); "
            "`unsure` if none reaches the model's limit, or `--emotion-confidence`; null if no guess is possible "
            "(silence, under 0.1 s)"
        ),
    ] = _unset
    emotion_probabilities: Annotated[
        list[EmotionShare] | None,
        Field(
            about="probability of each class (sum 1); empty if no guess is possible. In a line: "
            "{class: probability}",
            unit="[0, 1], or absent",
            only_with="emotion_model",
            optional=True,
            shape={str: Value("float32")},
            write=_shares_by_name,
            read=_shares,
            table="rows",
        ),
    ] = _unset
    emotion_model: Annotated[
        Text | None, _emotion("name of the classifier; `voice-linear` comes with the package")
    ] = _unset
    joined: Annotated[
        list[Text] | None,
        _texts(
            "ids of the parts into which a pause had split one sentence, now joined; the first is its own",
            table="rows",
        ),
    ] = _unset
    edited_by: Annotated[list[Text] | None, _texts("who corrected it")] = _unset
    edited_fields: Annotated[list[Text] | None, _texts("fields that they corrected: `text`, `tag`, `start` …")] = (
        _unset
    )
    # of its new voice, and of the result
    source_channel: Annotated[
        Text,
        Field(about="its channel in the recording", unit="`left`, `right`", part="built", table="file"),
    ] = _unset
    status: Annotated[
        Text,
        Field(
            about="what became of it, in this order: resynthesised, kept as recorded, kept although it was to be "
            "resynthesised, left out",
            unit=", ".join(STATUSES),
            part="built",
        ),
    ] = _unset
    reason: Annotated[Text | None, Field(about="why it was dropped or kept", unit="or null", part="built")] = (
        _unset
    )
    unspoken_remedy: Text | None = _unset
    spoken: Sound = _unset
    spoken_seconds: Measure | None = _unset
    spoken_words: Annotated[list[Word], TIMED] = _unset
    tag_said: Annotated[
        Flag | None,
        Field(
            about="whether the new voice was given the tag, or what `--map-tag` sends for it; false if the voice "
            "takes no tags",
            unit="or null (not resynthesised, or without a tag)",
            part="built",
            optional=True,
        ),
    ] = _unset
    new_start: Annotated[Seconds | None, FinishedName("start")] = _unset
    new_end: Annotated[Seconds | None, FinishedName("end")] = _unset
    new_start_trim: Annotated[Seconds | None, FinishedName("start_trim")] = _unset
    new_end_trim: Annotated[Seconds | None, FinishedName("end_trim")] = _unset
    event: Annotated[Text | None, _event("how it enters, judged by times alone")] = _unset
    source_event: Annotated[Text | None, _event("its `event` in the recording")] = _unset
    transition: Annotated[
        Text | None,
        _transition(
            "who speaks next if both are silent for 0.2 s after its end: the other speaker (`shift`) or the "
            "same one (`hold`)"
        ),
    ] = _unset
    source_transition: Annotated[Text | None, _transition("its `transition` in the recording")] = _unset
    turn_end: Annotated[
        Measure | None,
        _turn_end(
            "how finished its end sounds to Smart Turn, if it has a `transition` (see `--turn-ends`)", "transition"
        ),
    ] = _unset
    source_turn_end: Annotated[
        Measure | None, _turn_end("its `turn_end` in the recording", "source_transition")
    ] = _unset
    synthesis: Annotated[
        SynthesisRecord | None,
        Field(
            about="the take of a resynthesised utterance. take_part counts, from 1, the utterances of a turn that "
            "was said in one take; they share its cache_key. cost is in USD; each of them has its share of it. "
            "tries is 0 if the recorded sound was converted (`--tts shift`), which needs no takes. rms, f0_mean "
            "and speech_rate are those of the take, measured as in the source",
            unit="or null",
            part="built",
            write=_synthesis_written,
            table="rows",
        ),
    ] = _unset
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    @property
    def side(self) -> str:
        """The channel of the recording that it is on."""
        return self.source_channel if is_set(self.source_channel) else self.channel

    @property
    def has_recorded_times(self) -> bool:
        """Whether it has times in the recording, which rows of others may lack."""
        return is_number(self.start) and is_number(self.end)

    @property
    def sounding(self) -> Span:
        """The span of its sound in the recording; its start and end where the trims are not known."""
        return Span(*sounding_between(self.start, self.end, self.start_trim, self.end_trim))

    @property
    def new_span(self) -> Span | None:
        """Its span in the result; None where it was left out."""
        if self.new_start is None or self.new_end is None:
            return None
        return Span(self.new_start, self.new_end)

    @property
    def new_sounding(self) -> Span | None:
        """The span of its sound in the result; None where it was left out."""
        span = self.new_span
        if span is None:
            return None
        return Span(*sounding_between(*span, self.new_start_trim, self.new_end_trim))

    @property
    def is_heard(self) -> bool:
        """Whether it is in the result; one that was left out has a reason, and no times there."""
        return self.status != "dropped"

    @property
    def is_converted(self) -> bool:
        """Whether it is its recorded sound in another voice, and no take of its text."""
        synthesis = or_none(self.synthesis)
        return synthesis is not None and synthesis.tries == CONVERTED_TRIES

    @property
    def is_recorded(self) -> bool:
        """Whether its sound is the recorded one, or that in another voice."""
        return self.status != "spoken" or self.is_converted

    @property
    def said_tag(self) -> str | None:
        """The style tag of its audible speech; None where a new voice did not get the source's (`tag_said`)."""
        return None if self.tag_said is False else self.tag

    def words_among(self, words: Iterable[Word]) -> list[Word]:
        """Return the words of its channel of the result whose middle is in it; none where it was left out."""
        span = self.new_span
        if span is None:
            return []
        first = span.start - SAME_TIME
        last = span.end + SAME_TIME
        of_channel = [word for word in words if word.speaker == self.channel]
        return [word for word in of_channel if first <= word.middle <= last]

    def update(self, values: Mapping[str, Any]) -> None:
        """Set fields by their names. Raises AttributeError for a name that no field has."""
        for name, value in values.items():
            setattr(self, name, value)

    def shifted(self, seconds: float) -> "Utterance":
        """Return the utterance and its words moved so many seconds later."""
        words = [word.shifted(seconds) for word in self.words] if is_set(self.words) else self.words
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)


#: Fields of a line or a finished row of which an utterance has no attribute: they are its conversation's, are
#: counted, or follow from its times. Each stands before the field that `before` names.
COMPUTED = (
    Field(
        "segment_id",
        Value("int32"),
        about="number of the line in the whole file",
        unit="from 0",
        part="line",
        before="channel",
    ),
    Field(
        "audio_file",
        Value("string"),
        about="path of the recording within the input",
        part="line",
        before="channel",
    ),
    Field(
        "duration",
        Value("float64"),
        about="time from `start` to `end`",
        unit="seconds",
        part="line",
        editable=False,
        before="valence",
    ),
    Field(
        "conversation_id",
        Value("string"),
        about="path of the recording without its extension; plus `.000`, `.001`, … if it was cut",
        part="line",
        before="speaker",
    ),
    Field(
        "gender",
        Value("string"),
        about="gender of the speaker, from `--speakers`",
        unit="or absent",
        part="line",
        before="rule",
    ),
    Field(
        "source_start",
        Value("float64"),
        about="its start in the recording",
        unit="seconds of the conversation",
        part="built",
        before="status",
        table="file",
    ),
    Field(
        "source_end",
        Value("float64"),
        about="its end in the recording",
        unit="seconds of the conversation",
        part="built",
        before="status",
        table="file",
    ),
    dataclasses.replace(
        _trim("its `start_trim` in the recording"),
        name="source_start_trim",
        feature=Value("float64"),
        part="built",
        before="status",
    ),
    dataclasses.replace(
        _trim("its `end_trim` in the recording"),
        name="source_end_trim",
        feature=Value("float64"),
        part="built",
        before="status",
    ),
)


def _all_fields() -> tuple[Field, ...]:
    """Return the fields that `Utterance` declares, and `COMPUTED` among them."""
    fields: list[Field] = []
    for field in declared_fields(Utterance):
        fields += [computed for computed in COMPUTED if computed.before == field.name]
        fields.append(field)
    return tuple(fields)


#: All fields of an utterance, in the order of a line of transcript.jsonl and of a finished row.
#:
#: Fields of part `line` are in transcripts alone. `start` and `end` are null in an utterance that was left out
#: (`status` is `dropped`), which `heard_utterances` does not return; `source_channel`, `source_start` and
#: `source_end` are null before `speak`.
FIELDS = _all_fields()


def features_of_fields(fields: Iterable[Field] = FIELDS) -> dict[str, Feature]:
    """Return the types of the fields of an utterance of a finished row."""
    return {field.name: field.feature for field in fields if field.part != "line"}


UTTERANCE = features_of_fields()

#: Fields that rows of other programs may lack; their readers see null.
OPTIONAL_FIELDS = frozenset(field.name for field in FIELDS if field.optional)

#: Keys of lines that follow from others, and are no edits themselves.
DERIVED_KEYS = frozenset(field.path[0] for field in FIELDS if not field.editable)


def heard_utterances(row: AnyRecord) -> list[dict[str, Any]]:
    """Return the utterances of a finished row that are in its audio, each with a `start` and an `end` in seconds.

    Utterances that were left out (`status` is `dropped`) stay in the row, with a `reason` and without times.

    >>> from dailytalk_contiguous import heard_utterances
    >>> heard = {"status": "spoken", "start": 0.5, "end": 2.0}
    >>> left_out = {"status": "dropped", "start": None, "end": None}
    >>> sum(said["end"] - said["start"] for said in heard_utterances({"utterances": [heard, left_out]}))
    1.5
    """
    utterances = row["utterances"] or ()
    return [utterance for utterance in utterances if utterance["status"] != "dropped"]


def emotion_guess(emotion: str | None, shares: Mapping[str, float], model: str) -> dict[str, object]:
    """Return the fields of `EMOTION_GUESS` from the probabilities of classes; None without an estimate."""
    probabilities: list[EmotionShare] = []
    for name, share in shares.items():
        probabilities.append({"emotion": name, "probability": float(share)})
    return {
        "emotion_class": emotion,
        "emotion_probabilities": probabilities or None,
        "emotion_model": model,
    }


def no_text_reason(fields: AnyRecord) -> str:
    """Return why an utterance has no text, from its fields or its line; empty where no reason is known."""
    return str(fields.get("text_reason") or "")
