"""Guards against hallucinations: reasons not to believe a recogniser's text.

Whisper writes something for every window, also for breath and line noise, and then it is often a phrase that was
frequent in training, or one phrase over and over. Each guard is a fact about one utterance that can be checked
from its text, its length and its loudness. A guarded utterance keeps its row, without its text and with the
reason.
"""

import math
import zlib
from collections.abc import Sequence

from dailytalk_contiguous.core.sound.cutting import pieces_of
from dailytalk_contiguous.core.words.word import Word

#: Whisper's own threshold of its probability of no speech for silence (openai/whisper, `transcribe`); the one of
#: the log probability must hold, too.
NO_SPEECH = 0.6

#: Whisper's own threshold of the mean log probability of words for silence.
LOW_LOGPROB = -1.0

#: Whisper's own limit: text that gzip shrinks more than this is repetitive.
COMPRESSION = 2.4

#: Letters below which compression says nothing (zlib's header alone is 8 bytes).
COMPRESSIBLE_LETTERS = 40

#: Words a second that no speaker reaches: auctioneers reach 6 to 7, "no no no no" 6.
MAX_WORDS_PER_SECOND = 7.0

#: Words that are allowed on top, for the shortest utterances.
EXTRA_WORDS = 2

#: Seconds of a turn that are judged at once at most: the longest utterance of `Segment`. A person who says a
#: sentence again within a minute shrinks the text of that minute as much as a loop does.
LONGEST_JUDGED = 12.0

#: RMS (−62 dBFS) under which there is room tone and no voice.
NEAR_SILENCE = 10 ** (-62 / 20)


def distrust(
    text: str, seconds: float, rms: float, avg_logprob: float = math.nan, no_speech_prob: float = math.nan
) -> str | None:
    """Return the reason why an utterance's text is a hallucination, or None.

    Args:
        text: text of the recogniser.
        seconds: length of the utterance.
        rms: RMS of the utterance, linear full scale.
        avg_logprob: mean log probability of its words; NaN if unknown.
        no_speech_prob: probability in [0, 1] that its window holds no speech; NaN if unknown.
    """
    words = text.split()
    if not words:
        return None
    if no_speech_prob > NO_SPEECH and avg_logprob < LOW_LOGPROB:
        return f"no speech (no_speech_prob {no_speech_prob:.2f}, avg_logprob {avg_logprob:.2f})"
    if rms < NEAR_SILENCE:
        level = 20 * math.log10(max(rms, 1e-9))
        return f"text on near-silence ({level:.0f} dBFS)"
    if len(words) > MAX_WORDS_PER_SECOND * seconds + EXTRA_WORDS:
        return f"{len(words)} words in {seconds:.1f} s"
    looped = repeated_phrase(words)
    if looped:
        return f"one phrase over and over: {looped!r}"
    if len(text) >= COMPRESSIBLE_LETTERS and compression_ratio(text) > COMPRESSION:
        return f"repetitive text (compression ratio {compression_ratio(text):.1f})"
    return None


def believed_words(words: Sequence[Word], seconds: float) -> list[Word]:
    """Return the words of one turn without the stretches whose text is a hallucination.

    Args:
        words: words of the whole turn, in its seconds.
        seconds: length of the turn.
    """
    stretches = pieces_of(seconds, LONGEST_JUDGED)
    length = seconds / stretches
    by_stretch: list[list[Word]] = [[] for _ in range(stretches)]
    for word in words:
        stretch = min(int(word.start / length), stretches - 1)
        by_stretch[stretch].append(word)
    believed: list[Word] = []
    for words_of_stretch in by_stretch:
        text = "".join(word.word for word in words_of_stretch)
        if not distrust(text, length, rms=1.0):
            believed += words_of_stretch
    return believed


def compression_ratio(text: str) -> float:
    """Return the bytes of the text over the bytes of its zlib compression, as Whisper measures it."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))


#: How often in a row a phrase is a loop ("no, no, no, no, no" is speech).
LOOP_REPEATS = 6

#: Words of the longest phrase that is looked for.
LOOP_PHRASE = 6


def repeated_phrase(words: Sequence[str]) -> str | None:
    """Return the shortest phrase that is repeated `LOOP_REPEATS` times in a row, or None."""
    plain = [word.strip(".,!?…-").casefold() for word in words]
    for size in range(1, LOOP_PHRASE + 1):
        run = 0
        for index in range(size, len(plain)):
            is_repeated = plain[index] == plain[index - size]
            run = run + 1 if is_repeated else 0
            if run >= size * (LOOP_REPEATS - 1):
                phrase = words[index - size + 1 : index + 1]
                return " ".join(phrase)
    return None
