"""The fields of an utterance, each declared once, in a row and in a line of transcript.jsonl.

Rows, transcripts, their readers and checks, exports, the review page and tables for people are made from `FIELDS`.
In flight an utterance is an object (`core.records.conversation`), and in a row one item in each of many list
columns; in what is finished it is a struct in the list `utterances` (`core.records.finished`). `to_line` and
`to_shifted_line` make a line of a transcript of an object, `from_line` an object of a line.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from datasets import List, Value
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import LATEST, is_number, quoted
from dailytalk_contiguous.core.records.arrow_types import Feature, record_features
from dailytalk_contiguous.core.records.conversation import (
    Conversation,
    Utterance,
    assign_flat,
    known_columns,
    or_none,
    rows_of_words,
    utterance_features,
)
from dailytalk_contiguous.core.records.fields import (
    Converter,
    Field,
    finite,
    value_kind,
    value_problem,
)
from dailytalk_contiguous.core.records.finished import OF_UTTERANCE, finished_fields
from dailytalk_contiguous.core.records.record import (
    AnyRecord,
    EmotionShare,
    ModelsOfUtterance,
    SynthesisRecord,
)
from dailytalk_contiguous.core.words.word import TIMED, Word, WordRow

_TEXT = Value("string")
_MEASURE = Value("float32")

#: Ratings of affect, each in [0, 1].
AFFECT = ("valence", "arousal", "dominance")

#: Prosodic measures in the order in which transcripts show them.
PROSODY = ("rms", "zcr", "f0_mean", "f0_std", "speech_rate", "voiced_fraction")

#: The types of a word with its times.
WORD = record_features(WordRow, TIMED)

#: Flags of a word, which a line has only where they are true.
_WORD_MARKS = ("fitted", "filler")

#: The types of what a synthesis cost, and how it sounds; null for utterances that were not resynthesised.
SYNTHESIS = record_features(SynthesisRecord)

#: The types of what a classifier of emotion says of an utterance.
EMOTION_GUESS = utterance_features("emotion_class", "emotion_probabilities", "emotion_model")

#: How an utterance came into the rebuilt conversation: resynthesised, kept sample for sample, kept although it was
#: to be resynthesised (flagged), or left out for want of text.
STATUSES = ("spoken", "kept", "kept-original", "dropped")

#: How an utterance enters (see `core.turns.turn_taking`).
EVENTS = ("turn", "overlap", "backchannel", "interruption")

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

#: Characters of the text of one utterance; half an hour of speech has fewer.
LONGEST_TEXT = 20_000

#: The times of an utterance: its start and end, and how far inside these it sounds.
EDGES = ("start", "end", "start_trim", "end_trim")


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


def _words_read(words: Iterable[AnyRecord] | None) -> list[dict[str, Any]]:
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


# Fields that many utterances' fields are like.


def _affect(name: str) -> Field:
    return Field(
        name, about="rating by the model that `models.affect` names", unit="[0, 1]", key=f"vad.{name}", digits=4
    )


def _prosody(name: str, about: str, unit: str) -> Field:
    return Field(name, about=about, unit=unit, key=f"features.{name}", digits=5)


def _bucket(name: str, key: str, measure: str = "") -> Field:
    about = "level among the speaker's utterances in this conversation"
    if measure:
        about = f"level of `{measure}` among the speaker's utterances in this conversation"
    return Field(name, about=about, unit="LOW, MID, HIGH", key=key, editable=False)


def _trim(name: str, about: str, part: str = "") -> Field:
    return Field(
        name,
        about=about,
        unit="seconds, or absent",
        digits=4,
        editable=False,
        part=part,
        only_with=name,
        optional=True,
    )


def _emotion(name: str, about: str) -> Field:
    return Field(name, about=about, unit="or absent", only_with="emotion_model", optional=True)


def _texts(name: str, about: str) -> Field:
    return Field(
        name,
        about=about,
        unit="or absent",
        editable=False,
        only_with=name,
        optional=True,
        shape=[_TEXT],
        read=texts_of,
    )


def _built(name: str, about: str, unit: str) -> Field:
    return Field(name, about=about, unit=unit, part="built")


def _transition(name: str, about: str) -> Field:
    return Field(name, about=about, unit="`shift`, `hold` or null", part="built", only_with=name, optional=True)


def _turn_end(name: str, about: str, transition: str) -> Field:
    return Field(
        name, about=about, unit="[0, 1] or null", digits=4, part="built", only_with=transition, optional=True
    )


#: All fields of an utterance, in the order of a line of transcript.jsonl.
#:
#: Fields of part `line` are in transcripts alone. `start` and `end` are null in an utterance that was left out
#: (`status` is `dropped`), which `heard_utterances` does not return; `source_channel`, `source_start` and
#: `source_end` are null before `speak`.
_WITHOUT_TYPES = (
    Field("segment_id", Value("int32"), about="number of the line in the whole file", unit="from 0", part="line"),
    Field("audio_file", _TEXT, about="path of the recording within the input", part="line"),
    Field(
        "channel",
        about="the speaker's channel in the recording; in finished conversations, in the result",
        unit="`left`, `right`, `mix`",
    ),
    Field(
        "start",
        about="start of speech, by Silero; in finished conversations null if `status` is `dropped`",
        unit="seconds",
    ),
    Field(
        "end",
        about="end of speech, or null like `start`; speech over 12 s is cut at its quietest point",
        unit="seconds",
    ),
    Field(
        "duration",
        Value("float64"),
        about="time from `start` to `end`",
        unit="seconds",
        part="line",
        editable=False,
    ),
    _affect("valence"),
    _affect("arousal"),
    _affect("dominance"),
    _prosody("rms", "mean RMS of frames of 1024 samples, 256 apart, at 16 kHz", "linear full scale"),
    _prosody("zcr", "mean rate of zero crossings", "crossings a sample"),
    _prosody("f0_mean", "mean pitch by pYIN, 65–500 Hz; null with fewer than 5 voiced frames", "Hz"),
    _prosody("f0_std", "standard deviation of the pitch", "Hz"),
    _prosody("speech_rate", "rate of the words", "words a second of speech"),
    _prosody("voiced_fraction", "share of voiced frames", "[0, 1]"),
    _bucket("valence_bucket", "vad_bucket.valence"),
    _bucket("arousal_bucket", "vad_bucket.arousal"),
    _bucket("dominance_bucket", "vad_bucket.dominance"),
    _bucket("energy_bucket", "prosody_bucket.energy", "rms"),
    _bucket("rate_bucket", "prosody_bucket.rate", "speech_rate"),
    _bucket("zcr_bucket", "prosody_bucket.zcr", "zcr"),
    _bucket("pitch_bucket", "prosody_bucket.pitch", "f0_mean"),
    _bucket("pitch_var_bucket", "prosody_bucket.pitch_var", "f0_std"),
    Field("tag", about="style tag from Fish Audio s1's list"),
    Field(
        "text_raw",
        about="recognised text, or that of the given transcript; empty if nothing credible was recognised",
    ),
    Field(
        "text", about="`text_raw` with a capital and, if the recogniser wrote no end mark, one that fits the tag"
    ),
    Field("tagged_text", about="`(tag) text`", unit="or null", editable=False),
    Field(
        "utterance_id",
        about="unique name; its number counts within the channel",
        unit="`conversation/channel/0007`",
    ),
    Field(
        "conversation_id",
        _TEXT,
        about="path of the recording without its extension; plus `.000`, `.001`, … if it was cut",
        part="line",
    ),
    Field("speaker", about="name in `--speakers` or in the given transcript, or else `recording/channel`"),
    Field("gender", _TEXT, about="gender of the speaker, from `--speakers`", unit="or absent", part="line"),
    Field(
        "rule",
        about="rule that chose the tag",
        editable=False,
    ),
    Field("kind", about="`short` if it lasts less than 0.8 s", unit="`speech`, `short`"),
    Field(
        "words",
        about="words in order, inside the utterance, each longer than 0 s (in finished rows: `alignments`). "
        "`fitted` (true or absent): the given transcript has no time for this word, or one that reaches "
        "beyond the speech. `filler` (true or absent): the word is an um, uh … (see `--fillers`)",
        unit="seconds, [0, 1] or null",
        part="line",
        write=_words_written,
        read=_words_read,
    ),
    Field(
        "language",
        about="language as set, as detected once a conversation, or as found in given texts",
        unit="ISO 639-1, or `und`",
    ),
    Field(
        "confidence",
        about="geometric mean of the words' probabilities; null if a word has none (given transcripts)",
        unit="[0, 1] or null",
        digits=4,
    ),
    Field(
        "models",
        about="names of the models; `given` for a transcript by people, `voice-linear` for the model that "
        "comes with the package",
        shape={str: _TEXT},
        read=_models_read,
    ),
    Field(
        "context_seconds",
        about="length of the speaker's nearby speech that was rated with it",
        unit="seconds",
        digits=3,
    ),
    Field("text_reason", about="why `text_raw` is empty", unit="or null", editable=False),
    _trim(
        "start_trim",
        "time from `start` to its first sound (above the room, and at most 40 dB below its loudest "
        "moment), which measures of timing use; below 0 if it sounds before `start`",
    ),
    _trim("end_trim", "time from its last sound to `end`"),
    Field(
        "leak_share",
        about="how much of its energy in the recording is the other speaker's voice that leaks into its side",
        unit="[0, 1], or absent (none)",
        digits=3,
        editable=False,
        only_with="leak_share",
        optional=True,
    ),
    _emotion(
        "emotion_class",
        "with `--emotion`: the likeliest class by a classifier (a guess from sound, not a diagnosis); "
        "`unsure` if none reaches the model's limit, or `--emotion-confidence`; null if no guess is possible "
        "(silence, under 0.1 s)",
    ),
    Field(
        "emotion_probabilities",
        about="probability of each class (sum 1); empty if no guess is possible. In a line: {class: probability}",
        unit="[0, 1], or absent",
        only_with="emotion_model",
        optional=True,
        shape={str: _MEASURE},
        write=_shares_by_name,
        read=_shares,
    ),
    _emotion("emotion_model", "name of the classifier; `voice-linear` comes with the package"),
    _texts(
        "joined", "ids of the parts into which a pause had split one sentence, now joined; the first is its own"
    ),
    _texts("edited_by", "who corrected it"),
    _texts("edited_fields", "fields that they corrected: `text`, `tag`, `start` …"),
    _built("source_channel", "its channel in the recording", "`left`, `right`"),
    _built("source_start", "its start in the recording", "seconds of the conversation"),
    _built("source_end", "its end in the recording", "seconds of the conversation"),
    _trim("source_start_trim", "its `start_trim` in the recording", part="built"),
    _trim("source_end_trim", "its `end_trim` in the recording", part="built"),
    _built(
        "status",
        "what became of it, in this order: resynthesised, kept as recorded, kept although it was to be "
        "resynthesised, left out",
        ", ".join(STATUSES),
    ),
    _built("reason", "why it was dropped or kept", "or null"),
    Field(
        "tag_said",
        about="whether the new voice was given the tag, or what `--map-tag` sends for it; false if the voice "
        "takes no tags",
        unit="or null (not resynthesised, or without a tag)",
        part="built",
        optional=True,
    ),
    _built("event", "how it enters, judged by times alone", ", ".join(EVENTS)),
    _built("source_event", "its `event` in the recording", ", ".join(EVENTS)),
    _transition(
        "transition",
        "who speaks next if both are silent for 0.2 s after its end: the other speaker (`shift`) or the "
        "same one (`hold`)",
    ),
    _transition("source_transition", "its `transition` in the recording"),
    _turn_end(
        "turn_end",
        "how finished its end sounds to Smart Turn, if it has a `transition` (see `--turn-ends`)",
        "transition",
    ),
    _turn_end("source_turn_end", "its `turn_end` in the recording", "source_transition"),
    Field(
        "synthesis",
        about="the take of a resynthesised utterance. take_part counts, from 1, the utterances of a turn that "
        "was said in one take; they share its cache_key. cost is in USD; each of them has its share of it. "
        "tries is 0 if the recorded sound was converted (`--tts shift`), which needs no takes. rms, f0_mean "
        "and speech_rate are those of the take, measured as in the source",
        unit="or null",
        part="built",
        write=_synthesis_written,
    ),
)


def _with_type(field: Field) -> Field:
    """Give a field without a type the one that `Utterance` has for it."""
    if field.feature is not None:
        return field
    column = OF_UTTERANCE.get(field.name, field.name)
    return dataclasses.replace(field, feature=utterance_features(column)[column])


#: All fields, in the order of a line.
FIELDS = tuple(map(_with_type, _WITHOUT_TYPES))


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


# Between utterances and the lines of a transcript.


class _Writing(NamedTuple):
    """A rule for writing a field: under `key` in the object `holder` of the line, or in the line itself."""

    name: str
    only_with: str
    holder: str
    key: str
    writer: Converter | None


@lru_cache(maxsize=8)
def _writings(fields: tuple[Field, ...], rebuilt: bool) -> list[_Writing]:
    """Look up once how `_line_of` writes each field: a corpus has millions of lines."""
    parts = ("", "line", "built") if rebuilt else ("", "line")
    writings: list[_Writing] = []
    for field in fields:
        if field.part in parts:
            holder = field.path[0] if len(field.path) > 1 else ""
            key = field.path[-1]
            writings.append(_Writing(field.name, field.only_with, holder, key, field.writer))
    return writings


def _line_of(values: AnyRecord, fields: Sequence[Field], rebuilt: bool) -> dict[str, Any]:
    """Write the values of fields as a line of transcript.jsonl or, `rebuilt`, of the shifted one."""
    line: dict[str, Any] = {}
    for name, only_with, holder, key, writer in _writings(tuple(fields), rebuilt):
        if name not in values:
            continue
        if only_with and not values.get(only_with):
            continue
        value = values[name]
        if writer and value is not None:
            value = writer(value)
        if holder:
            line.setdefault(holder, {})[key] = value
        else:
            line[key] = value
    return line


def to_line(utterance: Utterance, talk: Conversation, fields: Sequence[Field] = FIELDS) -> dict[str, Any]:
    """Write a tagged utterance of a conversation as a line of transcript.jsonl.

    Its times are seconds of the recording, to a millisecond.
    """

    def moved(seconds: float) -> float:
        return round(talk.offset + seconds, 3)

    words = [word.moved_to(moved(word.start), moved(word.end)) for word in utterance.words]
    recorded = replace(utterance, start=moved(utterance.start), end=moved(utterance.end), words=words)
    values = known_columns(recorded, [*features_of_fields(fields), "words"])
    values["audio_file"] = talk.audio_file
    values["conversation_id"] = talk.id
    values["duration"] = round(recorded.end - recorded.start, 3)
    return _line_of(values, fields, rebuilt=False)


def to_shifted_line(utterance: Utterance, talk: Conversation, fields: Sequence[Field] = FIELDS) -> dict[str, Any]:
    """Write a finished utterance as a line of transcript_shifted.jsonl, in seconds of the result."""
    span = utterance.new_span
    values = finished_fields(utterance, features_of_fields(fields))
    values["audio_file"] = or_none(talk.audio_file)
    values["conversation_id"] = talk.id
    values["duration"] = None if span is None else round(span.end - span.start, 4)
    values["words"] = rows_of_words(utterance.words_among(talk.alignments))
    return _line_of(values, fields, rebuilt=True)


def from_line(line: AnyRecord, fields: Iterable[Field] = FIELDS) -> Utterance:
    """Read the utterance of a line without a problem, in seconds of the recording; missing fields are None.

    Its channel is the `source_channel`: that of the result is not yet known. A person who moves an edge leaves the
    length and the trims as they were, so that the edges of its sound are unknown.
    """
    utterance = Utterance(source_channel=line.get("channel") or "")
    values: dict[str, object] = {}
    for field in fields:
        if not field.part and field.name != "channel":
            values[field.name] = field.value_in(line)
    assign_flat(utterance, values)
    utterance.text = line.get("text") or ""
    utterance.tag = line.get("tag")  # an empty one, too
    utterance.words = []
    for word in _words_read(line.get("words")):
        uttered = Word(
            word["word"], word["start"], word["end"], word["probability"], word["fitted"], word["filler"]
        )
        utterance.words.append(uttered)
    length = line.get("duration")
    rounding = 0.0025  # seconds by which a length in milliseconds may differ from that of its edges
    if is_number(length) and abs(utterance.end - utterance.start - length) > rounding:
        utterance.start_trim = None
        utterance.end_trim = None
    return utterance


class LineProblem(NamedTuple):
    """A mistake in a line of a transcript: its key, and a sentence that says what is wrong."""

    key: str
    reason: str


def line_problem(line: AnyRecord, fields: Sequence[Field] = FIELDS, mixed: bool = False) -> LineProblem | None:
    """Return the problem of a line of a transcript, or None: its channel, its times, or the type of a field.

    With `mixed` its channel may be `mix`, that of a recording that was tagged as one speaker.
    """
    channels = ("left", "right", "mix") if mixed else ("left", "right")
    channel = line.get("channel")
    if channel not in channels:
        expected = "left, right or mix" if mixed else "left or right"
        return LineProblem("channel", f"channel is {quoted(channel)}, not {expected}")
    if line.get("status") != "dropped":  # what was left out has no times
        problem = _times_problem(line)
        if problem:
            return problem
    for key, kind in _kinds(tuple(fields)).items():
        misfit = value_problem(line.get(key), kind, key)
        if misfit:
            return LineProblem(key, misfit)
    for field in fields:
        if field.required and field.value_in(line) is None:
            return LineProblem(field.name, f"{field.name} is missing")
    if len(line.get("text") or "") > LONGEST_TEXT:
        return LineProblem("text", f"text has more than {LONGEST_TEXT:,} characters")
    return _words_problem(line.get("words") or [])


def _times_problem(line: AnyRecord) -> LineProblem | None:
    for edge in ("start", "end"):
        seconds = line.get(edge)
        if not is_number(seconds, 0, LATEST):
            return LineProblem(edge, f"{edge} is {quoted(seconds)}, not a number of seconds from 0")
    start = line["start"]
    end = line["end"]
    if end <= start:
        return LineProblem("end", f"it ends at {end} s, not after its start at {start} s")
    return None


def _words_problem(words: Sequence[Mapping[str, object]]) -> LineProblem | None:
    misfit = value_problem(words, _WORDS, "words")
    if misfit:
        return LineProblem("words", misfit)
    for word in words:
        start = word.get("start")
        end = word.get("end")
        has_times = is_number(start, 0, LATEST) and is_number(end, start, LATEST)
        if not isinstance(word.get("word"), str) or not has_times:
            return LineProblem("words", f"one of its words is {quoted(word)}, not a text with its start and end")
    return None


_WORDS = value_kind(List(WORD))


@lru_cache(maxsize=8)
def _kinds(fields: tuple[Field, ...]) -> dict[str, object]:
    """Return the type of each key of a line in the table; an object has that of all its values."""
    kinds: dict[str, object] = {}
    for field in fields:
        if field.name == "words":  # words have sentences of their own
            continue
        key, *inner_keys = field.path
        kinds[key] = value_kind({str: field.feature}) if inner_keys else field.kind
    return kinds


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
