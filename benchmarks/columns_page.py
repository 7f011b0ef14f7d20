"""The columns that a stage of one's own may ask for, as docs/columns.md.

`python benchmarks/columns_page.py` writes the page. Names, types and origins are those of the stages; what a
column means is what the table of fields says, or else `MEANINGS`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Features, List, Value

from dailytalk_contiguous.core.records.schema import COLUMNS, CONVERSATION_COLUMNS, MODEL_FAILURES, SOURCE
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.join_sentences import JoinSentences

PAGE = Path(__file__).parents[1] / "docs" / "columns.md"

HEAD = """# Columns for a stage of your own

`python benchmarks/columns_page.py` writes this page from the stages. `dailytalk tag --stage FILE.py` runs your
stage after those of the package, so it may ask for every column here, by its name in `needs`, or in `uses` if the
stage can do without it. It may also ask for columns of your own stages before it.
[extending.md](extending.md#add-a-stage) shows a stage.

Types are those of Python. Any value may be None, and an unknown number None or NaN. Times are seconds of the
conversation, which begins at `offset` seconds of its recording.
"""

UTTERANCES = """## One value an utterance

A stage in `PerUtterance` gets a flat list: a value for each utterance of all conversations in the batch. Any other
stage gets a list of such lists, one for each conversation, in the order of `start`.
"""

CONVERSATIONS = """## One value a conversation

A stage in `PerUtterance` can ask for those marked with \\*. If it maps columns, it gets the conversation's value
for each utterance; if it takes objects, it finds the value on the conversation in `of_talks`.
"""

#: Unit or range, and meaning, of columns that are no fields of a transcript, or mean something else there.
MEANINGS: dict[str, tuple[str, str]] = {
    "recording_id": ("", "the recording, which may be cut into several conversations"),
    "audio": (
        "",
        "where the recording is: `path` is a file:// address, which `machine/audio.py` decodes",
    ),
    "audio_identity": ("", "digest of the recording's size and of 192 KiB of its bytes"),
    "offset": ("seconds of the recording", "where the conversation begins"),
    "duration": ("seconds", "length of the conversation"),
    "sample_rate": ("Hz", "sample rate of the recording"),
    "channels": ("", "number of channels of the recording"),
    "given": ("seconds", "the transcript that came with the recording, one cue after another"),
    "given_language": ("ISO 639-1", "language of that transcript; `en,es` for left and right"),
    "transcripts": ("", "the files of that transcript"),
    "input_digest": ("", "digest of the recording and its transcript"),
    "problem": ("", "always None: unusable recordings do not reach a stage"),
    "remedy": ("", "always None, as `problem`"),
    "channel": ("`left`, `right`, `mix`", "the side of the recording that speaks"),
    "start": ("seconds", "where speech begins"),
    "end": ("seconds", "where it ends"),
    "start_trim": ("seconds", "time from `start` to its first sound; below 0 if it sounds before `start`"),
    "end_trim": ("seconds", "time from its last sound to `end`"),
    "run": ("", "number of the run of speech; pieces cut from one run share it"),
    "speech_seconds": ("seconds", "how much of the utterance is speech"),
    "speech": (
        "16 kHz, mono",
        "its sound as little-endian 16-bit samples; `pcm_to_float` (`core/sound/samples.py`) converts them to "
        "float32 in [-1, 1), shape (n,)",
    ),
    "sides": ("", "measures of each channel that was listened to ([fields](../dataset_card/fields.md))"),
    "notes": ("", "remarks: a silent or clipped channel, leaked speech that was left out"),
    "rejected": ("", "utterances under `--min-duration`"),
    "given_text": ("", "the part of the transcript that belongs to the utterance; None without a transcript"),
    "given_words": ("seconds, [0, 1]", "its words with their times; None without a transcript"),
    "unmatched": ("", "parts of the transcript that are near no utterance"),
    "words": ("seconds, [0, 1]", "words in order, inside the utterance, each longer than 0 s"),
    "avg_logprob": ("", "mean log probability of the recognised words"),
    "no_speech_prob": ("[0, 1]", "the recogniser's probability that nothing is said"),
    "recogniser": ("", "the recogniser's name; `given` for a transcript by people"),
    "question": (
        "",
        "whether it is a question, by its mark, or by its first words if the recogniser writes no marks",
    ),
    "text_reason": ("", "why `text_raw` is empty; None if it is not"),
    "tagged_text": ("", "`(tag) text`; None if `text` is empty"),
    "joined": ("", "ids of the parts into which a pause had split one sentence; empty for most"),
    "f0_mean": ("Hz", "mean pitch by pYIN, 65–500 Hz; NaN with fewer than 5 voiced frames"),
    "f0_std": ("Hz", "standard deviation of the pitch; NaN if `f0_mean` is"),
    "affect_model": ("", "the model that rated valence, arousal and dominance; None if none did"),
    "valence": ("[0, 1]", "rating by `affect_model`; NaN without a model"),
    "arousal": ("[0, 1]", "rating by `affect_model`; NaN without a model"),
    "dominance": ("[0, 1]", "rating by `affect_model`; NaN without a model"),
    "emotion_class": ("", "the likeliest class by a classifier; `unsure`, or None if no guess is possible"),
    "emotion_probabilities": ("[0, 1]", "probability of each class (sum 1); empty if no guess is possible"),
    "emotion_model": ("", "name of the classifier"),
    "prosody_tokens": ("0 to 119", "its prosody, a token every 16 ms ([tokens](tokens.md))"),
    "prosody_runs": ("", "the same tokens in run-length form"),
    "prosody_words": ("seconds, semitones, ratio, dB", "tokens and prosody of each word"),
    "prosody_model": ("", "name of the codebook"),
    "rms_gain_db": ("dB", "`rms` relative to the speaker's median in the conversation"),
    "f0_ratio": ("ratio", "`f0_mean` relative to that median"),
    "rate_ratio": ("ratio", "`speech_rate` relative to that median"),
}

#: Columns that are there with an option only.
WITH_OPTION = {"ClassifyEmotion": "--emotion", "TokeniseProsody": "--prosodic-tokens"}

#: Types of Python by those of Arrow.
PYTHON_TYPES = {"string": "str", "binary": "bytes", "bool": "bool"}


class StageColumn(NamedTuple):
    """A column: its name, its type, the stage that adds it, and whether it is in no file."""

    name: str
    feature: Any
    stage: str
    is_transient: bool


def type_text(feature: Any) -> str:
    """A type of Python in words: `str`, `list of {word: str, start: float}`."""
    if isinstance(feature, List):
        return f"list of {type_text(feature.feature)}"
    if isinstance(feature, dict):
        return f"{{{', '.join(f'{name}: {type_text(part)}' for name, part in feature.items())}}}"
    assert isinstance(feature, Value)
    number = "int" if feature.dtype.startswith("int") else "float"
    return PYTHON_TYPES.get(feature.dtype, number)


def columns(stages: Stages) -> Iterator[StageColumn]:
    """Each column of the rows once, in the order in which they are added."""
    names: set[str] = set()
    added: list[tuple[str, Features, tuple[str, ...]]] = [("the source", SOURCE, ())]
    added += [(stage.name, stage.adds, stage.transient) for stage in stages]
    for stage, features, transient in added:
        for name, feature in features.items():
            if name not in names:
                names.add(name)
                yield StageColumn(name, feature, stage, name in transient)


def meanings() -> dict[str, tuple[str, str]]:
    """The unit and the meaning of each column that has them, by its name."""
    return {field.name: (field.unit, field.about) for field in (*FIELDS, *COLUMNS)} | MEANINGS


def line(column: StageColumn, feature: Any, mark: str = "") -> str:
    unit, about = meanings()[column.name]
    option = WITH_OPTION.get(column.stage)
    if option:
        about += f"; with `{option}`"
    if column.is_transient:
        about += "; during a run alone, in no file"
    name = f"`{column.name}` {mark}".strip()
    return f"| {name} | {type_text(feature)} | {unit} | {about} | {column.stage} |"


def of_utterances(stages: Stages) -> set[str]:
    """The columns with one value an utterance: what `JoinSentences` joins, and what is added after it."""
    after = itertools.dropwhile(lambda stage: not isinstance(stage, JoinSentences), stages)
    return {name for stage in after for name in stage.adds} - MODEL_FAILURES.keys()


def page() -> str:
    stages = tag_stages("embedded", emotion=VOICE_LINEAR, prosodic_tokens="bundled", device="cpu")
    head = ["| column | type | unit, range | what it is | added by |", "|---|---|---|---|---|"]
    utterances = [*head]
    conversations = [*head]
    flat = of_utterances(stages)
    for column in columns(stages):
        if column.name in flat:
            utterances.append(line(column, column.feature.feature))
        else:
            conversations.append(
                line(column, column.feature, r"\*" if column.name in CONVERSATION_COLUMNS else "")
            )
    parts = [HEAD, UTTERANCES, *utterances, "", CONVERSATIONS, *conversations]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
