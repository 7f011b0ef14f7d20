"""The fidelity of a transcript to its sound: sides that talk without a filler, and words absent from the sound."""

from collections.abc import Iterable
from typing import TypedDict

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import GIVEN, GIVEN_FITTED, RECOGNISED_TEXT, or_none
from dailytalk_contiguous.core.words.fillers import PATTERNS, are_fillers, language_code
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import has_words, split_words
from dailytalk_contiguous.core.words.written_forms import is_written_form

#: Sources of words of a given text that an aligner did not find in the sound.
_ABSENT = (GIVEN_FITTED, RECOGNISED_TEXT)

#: Words that `absent_words` names.
NAMED = 4


#: Share of the lines of a side from which on absent ones are no slips of an aligner: a choice. With true texts
#: none is absent in the four bundled recordings, and at most 5 % in two telephone calls; with loops or texts of
#: others on a whole side of the bundled ones 46 to 92 % are, with loops in its second half 27 to 45 %.
#: On eight speakers of TIMIT, on whom nothing was set, these shares are 0 %, 70 to 100 %, and 20 to 50 %.
ABSENT_SHARE = 0.15

#: Seconds of absent lines one after another that are as much.
ABSENT_SECONDS = 20.0


class TalkWithoutFillers(TypedDict):
    """A side that says no filler, and the seconds of its utterances that have words."""

    channel: str
    seconds: float


class AbsentWords(TypedDict):
    """The numbers of absent and of all given words of a side, the first absent ones, and `absent_share`."""

    channel: str
    absent: int
    words: int
    first: str
    share: float


def talk_without_fillers(talk: Conversation) -> list[TalkWithoutFillers]:
    """Return the sides of a finished conversation without a filler, with seconds of their utterances with words.

    Only languages whose fillers are known (`core.words.fillers`) count: `[{"channel": "left", "seconds": 200.5}]`.
    """
    marked = {word.speaker for word in talk.alignments if word.filler}
    sides: list[TalkWithoutFillers] = []
    for channel in CHANNELS:
        seconds = 0.0
        has_filler = channel in marked
        for utterance in talk.audible_utterances:
            span = utterance.new_span
            text = utterance.text or ""
            language = or_none(utterance.language) or talk.main_language
            is_known = has_words(text) and language_code(language) in PATTERNS
            if span is not None and utterance.channel == channel and is_known:
                seconds += span.seconds
                has_filler = has_filler or any(are_fillers(split_words(text), language))
        if seconds and not has_filler:
            sides.append({"channel": channel, "seconds": seconds})
    return sides


def absent_share(lines: Iterable[tuple[bool, float]]) -> float:
    """Return the share of lines that are absent; at least `ABSENT_SHARE` for `ABSENT_SECONDS` of them in a row.

    `lines` says of each whether it is absent, and its seconds. A single one may be a slip: its share is 0.
    """
    n_lines = 0
    n_absent = 0
    run = 0.0
    longest_run = 0.0
    for is_absent, seconds in lines:
        n_lines += 1
        n_absent += is_absent
        run = run + seconds if is_absent else 0.0
        longest_run = max(longest_run, run)
    if longest_run >= ABSENT_SECONDS:
        return max(n_absent / n_lines, ABSENT_SHARE)
    return n_absent / n_lines if n_absent > 1 else 0.0


def absent_words(talk: Conversation) -> list[AbsentWords]:
    """Return the sides of a finished conversation with given words that an aligner did not find in the sound.

    The aligner places the other words of such a side; these have fitted times, or Whisper's. A written form does
    not count: it may be spoken in a way that the aligner does not know.
    """
    words_of_side: dict[str, list[Word]] = {channel: [] for channel in CHANNELS}
    lines_of_side: dict[str, list[tuple[bool, float]]] = {channel: [] for channel in CHANNELS}
    for utterance, words in talk.words_by_utterance():
        models = or_none(utterance.models) if utterance else None
        if utterance and models and models.get("recogniser") == GIVEN:
            words_of_side[utterance.channel] += words
            is_absent = 2 * len(_absent(words)) >= len(words)
            lines_of_side[utterance.channel].append((is_absent, words[-1].end - words[0].start))
    sides: list[AbsentWords] = []
    for channel, words in words_of_side.items():
        absent = _absent(words)
        is_aligned = any(word.source.startswith("aligned-") for word in words)
        if absent and is_aligned:
            sides.append(
                {
                    "channel": channel,
                    "absent": len(absent),
                    "words": len(words),
                    "first": " ".join(absent[:NAMED]),
                    "share": absent_share(lines_of_side[channel]),
                }
            )
    return sides


def _absent(words: Iterable[Word]) -> list[str]:
    """Return the texts of the words that an aligner did not find, without written forms."""
    texts = [word.word for word in words if word.source in _ABSENT]
    return [text for text in texts if not is_written_form(text)]
