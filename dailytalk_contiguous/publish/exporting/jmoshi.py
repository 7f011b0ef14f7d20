"""The folder that nu-dialogue's moshi-finetune (the trainer of J-Moshi) tokenises.

Layout (as in that repository's README): `audio/NAME.wav`, stereo with speaker A on the left and B on the right,
and `text/NAME.json`, a list of `{"speaker", "word", "start", "end"}` with the words of both in order of start. It
trains both streams, so a conversation in which one side has no words is left out, with the reason.
"""

from collections.abc import Iterable
from pathlib import Path

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.files.owned_folder import OwnedFolder, file_name
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.publish.reporting.tag_words import tags_among
from dailytalk_contiguous.publish.rows import Conversation, Row, conversation

#: Folders of sound and words, and the speakers: on the left, on the right.
AUDIO, TEXT = "audio", "text"
SPEAKERS = ("A", "B")

#: Hz. The tokeniser resamples anything else to Mimi's rate.
MIMI_RATE = 24000


def export_jmoshi(
    rows: Iterable[Row], out: Path, *, swap: bool = False, sample_rate: int = MIMI_RATE
) -> tuple[int, list[Reject]]:
    """Write conversations as stereo WAV and words.

    Args:
        rows: of `core.built.BUILT`; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export is written to.
        swap: the right speaker is A, on the left.
        sample_rate: Hz.

    Returns:
        How many conversations were written, and those that were left out.

    Raises:
        DailytalkError: `out` is not ours, an id occurs twice, or no conversation could be written.
    """
    target = OwnedFolder(out, "j-moshi", ())
    seen: set[str] = set()
    rejects: list[Reject] = []
    for row in rows:
        name = row["conversation_id"]
        if name in seen:
            raise DailytalkError(f"the conversation {name!r} occurs twice", "run `dailytalk check` on the dataset")
        seen.add(name)
        try:
            one = conversation(row, sample_rate, swap)
            _refuse_unfit(one)
        except BadInput as problem:
            rejects.append(Reject(name, "export", problem.reason, problem.remedy))
            continue
        _write(target, one)
    if len(rejects) == len(seen):
        raise DailytalkError("no conversation could be exported", "build the dataset again")
    target.finish({})
    return len(seen) - len(rejects), rejects


def _refuse_unfit(one: Conversation) -> None:
    for main, side in zip((True, False), SPEAKERS, strict=True):
        words = [word.text for word in one.words if word.main is main]
        if not words:
            raise BadInput(f"speaker {side} has no words", "transcribe both channels, or leave it out")
        tags = tags_among(words, {utterance.tag for utterance in one.utterances})
        if tags:
            raise BadInput(f"the style tag {tags[0]} is among its words", "align the text without tags")


def _write(target: OwnedFolder, one: Conversation) -> None:
    name = file_name(one.id)
    words = [
        {
            "speaker": SPEAKERS[not word.main],
            "word": word.text,
            "start": round(word.start, 6),
            "end": round(word.end, 6),
        }
        for word in one.words
    ]
    target.write_wav(f"{AUDIO}/{name}.wav", one.pcm, one.sample_rate)
    target.write_text(f"{TEXT}/{name}.json", json_text(words))
