"""The columns that a stage of one's own may ask for, as docs/columns.md.

`python benchmarks/columns_page.py` writes the page. Names, types and origins are those of the stages; what a
column means is what the table of fields says, or else `MEANINGS`, unless dataset_card/fields.md says it.
"""

import itertools
import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Features, List, Value

from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.schema import (
    COLUMNS,
    CONVERSATION_COLUMNS,
    MODEL_FAILURES,
    REJECTED,
    SOURCE,
)
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.words.word import UTTERED, WordRow
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.join_sentences import JoinSentences

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "columns.md"

#: A sentence that is on this page is not on ours.
FIELDS_PAGE = ROOT / "dataset_card" / "fields.md"

HEAD = """# Columns for a stage of your own

`dailytalk tag --stage FILE.py` runs [your stage](extending.md#add-a-stage) after those of the package. It may
name every column here, and those of your own stages before it, in `needs`, or in `uses` if it can do without.

Types are those of Python; any value may be None, and an unknown number None or NaN.
[Fields](../dataset_card/fields.md) explain the columns, except for the notes here.

`start` counts seconds

- of the recording in transcript.jsonl;
- of the conversation here, which begins at `offset` (`new_start`: of its result);
- of the result in finished rows, transcript_shifted.jsonl and exports (`source_start`: of the conversation).
"""

UTTERANCES = """## One value an utterance

An `UtteranceStage` that maps columns gets a flat list: a value for each utterance of all conversations in the
batch. Any other stage that does so gets a list of such lists, one for each conversation, in the order of `start`.
"""

CONVERSATIONS = """## One value a conversation

An `UtteranceStage` can ask for those marked with \\*. If it maps columns, it gets the conversation's value for
each utterance; if it takes objects, it finds the value on the conversation in `of_talks`.
"""

#: Unit or range of columns, and what `FIELDS_PAGE` does not say of them.
MEANINGS: dict[str, tuple[str, str]] = {
    "audio": ("", "`path` is a file:// address, which `machine/audio.py` decodes"),
    "offset": ("seconds of the recording", ""),
    "duration": ("seconds", ""),
    "sample_rate": ("Hz, of the recording", ""),
    "cues": ("seconds", "one cue after another"),
    "given_language": ("ISO 639-1", "`en,es` for left and right"),
    "uncovered_sound": ("seconds of the source", ""),
    "side_shift": (
        "seconds",
        "by how much the right side is later (below 0: earlier), and becomes later; `lacking`: sound that a side "
        "lacks, its start in the side's time and its length; `known_by`: a `leak` or the `transcript`; `aligned`: "
        "all times are those after `--align-sides`; None if nothing tells that the sides are out of step",
    ),
    "transcript_marks": ("seconds of the source", ""),
    "model_failures": ("", "published rows have only the kind of the error"),
    "input_digest": ("", "of the recording and its transcript"),
    "problem": ("", "always None: unusable recordings do not reach a stage"),
    "remedy": ("", "always None: unusable recordings do not reach a stage"),
    "speech_seconds": ("seconds", ""),
    "speech": (
        "16 kHz, mono",
        "little-endian 16-bit samples; `pcm_to_float` (`core/sound/samples.py`) converts them to float32 in "
        "[-1, 1), shape (n,)",
    ),
    "given_words": ("seconds, [0, 1]", ""),
    "words": ("seconds, [0, 1]", ""),
    "no_speech_prob": ("[0, 1]", ""),
    "prosody_tokens": ("0 to 119", ""),
    "prosody_words": ("seconds, semitones, ratio, dB", ""),
    "rms_gain_db": ("dB", ""),
    "f0_ratio": ("ratio", ""),
    "rate_ratio": ("ratio", ""),
}

#: Types with a name on the page.
NAMED_TYPES = {"word": record_features(WordRow, UTTERED), "reject": REJECTED}

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
    added: list[tuple[str, Features, tuple[str, ...]]] = [("The source", SOURCE, ())]
    added += [(stage.name, stage.columns, stage.transient) for stage in stages]
    for stage, features, transient in added:
        for name, feature in features.items():
            if name not in names:
                names.add(name)
                yield StageColumn(name, feature, stage, name in transient)


def meanings() -> dict[str, tuple[str, str]]:
    """The unit and the meaning of each column that has them, by its name."""
    return {field.name: (field.unit, field.about) for field in (*FIELDS, *COLUMNS)} | MEANINGS


def short_type(feature: Any) -> str:
    """A type of Python with the names of `NAMED_TYPES`."""
    text = type_text(feature)
    for name, named in NAMED_TYPES.items():
        text = text.replace(type_text(named), name)
    return text


def cells(column: StageColumn, feature: Any) -> list[str]:
    """The cells of a column's row, after that of its name."""
    unit, about = meanings().get(column.name, ("", ""))
    if about in FIELDS_PAGE.read_text(encoding="utf-8"):
        about = ""
    if column.is_transient:
        about += "; during a run alone, in no file"
    unit = re.sub(r"(, |^)or (absent|null).*", "", unit)  # any value may be None
    described = [f"{short_type(feature)}, {unit}" if unit else short_type(feature)]
    if about:
        described.append(about)
    return described


def of_utterances(stages: Stages) -> set[str]:
    """The columns with one value an utterance: what `JoinSentences` joins, and what is added after it."""
    after = itertools.dropwhile(lambda stage: not isinstance(stage, JoinSentences), stages)
    return {name for stage in after for name in stage.columns} - MODEL_FAILURES.keys()


def heading(stage: str) -> str:
    """The row of a table that says which stage adds the columns below it."""
    option = WITH_OPTION.get(stage)
    return f"| **{stage}**, with `{option}` |" if option else f"| **{stage}** |"


def table(stages: Stages, of_utterance: bool) -> list[str]:
    """The table of the columns with one value an utterance, or of the others; columns alike share a row."""
    lines = ["| column | type, unit, range | note |", "|---|---|---|"]
    flat = of_utterances(stages)
    rows = list[tuple[str, str, list[str]]]()
    for column in columns(stages):
        if (column.name in flat) == of_utterance:
            feature = column.feature.feature if of_utterance else column.feature
            mark = r" \*" if not of_utterance and column.name in CONVERSATION_COLUMNS else ""
            rows.append((column.stage, f"`{column.name}`{mark}", cells(column, feature)))
    for stage, of_stage in itertools.groupby(rows, itemgetter(0)):
        lines.append(heading(stage))
        names: dict[str, list[str]] = {}
        for _, name, described in of_stage:
            names.setdefault(" | ".join(described), []).append(name)
        lines += [f"| {', '.join(alike)} | {described} |" for described, alike in names.items()]
    return lines


def page() -> str:
    stages = tag_stages("embedded", emotion=VOICE_LINEAR, prosodic_tokens="bundled", device="cpu")
    utterances = table(stages, of_utterance=True)
    conversations = table(stages, of_utterance=False)
    named = [f"A `{name}` is {type_text(feature)}." for name, feature in NAMED_TYPES.items()]
    parts = [HEAD, *named, "", UTTERANCES, *utterances, "", CONVERSATIONS, *conversations]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
