"""How far the words of a sentence with a written form are from those of the same sentence in words.

    python benchmarks/written_forms.py

The voices joe (Piper) and espeak say each sentence as it is in words. An aligner is given these words, and then the
sentence with its written form ("$1,299.50"), for the same sound: the form must be where its words are, and the words
beside it must stay where they were. The same for sentences in which another thing is said than what is written: the
form must not have a time, and the words beside it must stay.

The rules of `core.written_forms` and the limits of `models.sphinx` were chosen on the sentences `CHOSEN_ON`; only
the figures of the others are judged.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import measuring
import numpy as np
import soxr

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.alignment import align, aligner_named
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise

#: Seconds that an edge may be from where it is in the sentence in words.
MOST_OFF = 0.1


class Sentence(NamedTuple):
    """A sentence: words, what is said, how it is written, words."""

    before: str
    said: str
    written: str
    behind: str


CHOSEN_ON = (
    Sentence(
        "My order number is", "E M three nine eight five seven seven one,", "EM3985771,", "and it never arrived."
    ),
    Sentence(
        "It cost", "one thousand two hundred ninety nine dollars and fifty cents", "$1,299.50", "in total."
    ),
    Sentence("Please write to", "anna dot smith at example dot com", "anna.smith@example.com", "before Friday."),
    Sentence("We meet at", "ten thirty", "10:30", "near the station."),
    Sentence("It was on the", "twenty third of May twenty twenty six,", "23/05/2026,", "as I remember."),
    Sentence("You can call", "five five five zero one four two", "555-0142", "until noon."),
    Sentence("It grew by", "forty two point five percent", "42.5%", "in one year."),
    Sentence("Last night it was", "minus three degrees", "-3°", "outside here."),
    Sentence("Look at", "W W W dot example dot org slash help", "www.example.org/help", "for more."),
    Sentence("He was born in", "nineteen eighty four", "1984", "in a village."),
)

HELD_OUT = (
    Sentence("Your flight is", "B A two four nine zero", "BA2490", "from gate nine."),
    Sentence("You owe", "five point two million pounds", "£5.2m", "to the bank."),
    Sentence("Ring", "plus one two oh two five five five oh one double nine", "+1-202-555-0199", "at home."),
    Sentence("Mail it to", "info at my dash shop dot co dot U K", "info@my-shop.co.uk", "this week."),
    Sentence("The bus left at", "seven oh five P M", "7:05pm", "as always."),
    Sentence("Add", "three quarters", "3/4", "of a cup."),
    Sentence("Back in the", "nineteen nineties", "1990s", "we lived there."),
    Sentence("It takes", "fifteen to twenty", "15-20", "minutes by car."),
    Sentence("It was", "seventy two degrees Fahrenheit", "72°F", "at noon."),
    Sentence(
        "The server is", "one ninety two dot one sixty eight dot zero dot twelve", "192.168.0.12", "I think."
    ),
)

#: Sentences in which something else is said.
OTHERS_CHOSEN_ON = (
    Sentence("My order number is", "somewhere in my mailbox,", "EM3985771,", "and it never arrived."),
    Sentence("It cost", "far more than we could pay", "$1,299.50", "in total."),
    Sentence("Please write to", "my sister and her husband", "anna.smith@example.com", "before Friday."),
    Sentence("He was born in", "the middle of winter", "1984", "in a village."),
)

OTHERS_HELD_OUT = (
    Sentence("You can call", "whenever you feel like it", "555-0142", "until noon."),
    Sentence("It grew by", "a really large amount", "42.5%", "in one year."),
    Sentence("Look at", "our new page", "www.example.org/help", "for more."),
    Sentence("The bus left at", "the usual moment", "7:05pm", "as always."),
)


class Outcome(NamedTuple):
    """Seconds that edges are off: those of the form, None if it has no time; those of the other words; both at most.

    `lost`: how many of the other words have no time, though they have one in words.
    """

    form: float | None
    others: float
    lost: int


def main() -> int:
    is_met = True
    voices = {
        "joe": load_synthesiser("piper", VoiceSettings("", "")),
        "espeak": load_synthesiser("espeak", VoiceSettings("", "")),
    }
    for name, voice in voices.items():
        for title, sentences in (("chosen on", CHOSEN_ON), ("held out", HELD_OUT)):
            n_right = 0
            print(f"\n{name}, {title}")
            for sentence in sentences:
                outcome = measured(voice, sentence)
                is_right = outcome.others <= MOST_OFF and (outcome.form is None or outcome.form <= MOST_OFF)
                n_right += is_right
                print_outcome(sentence, outcome, is_right)
            figure = f"{name}, {title}: right or marked, {n_right} of {len(sentences)}"
            met = measuring.judged(figure, n_right == len(sentences))
            is_met = is_met and (met or sentences is CHOSEN_ON)
        for title, sentences in (("chosen on", OTHERS_CHOSEN_ON), ("held out", OTHERS_HELD_OUT)):
            n_right = 0
            print(f"\n{name}, something else is said, {title}")
            for sentence in sentences:
                outcome = measured(voice, sentence)
                is_right = outcome.others <= MOST_OFF and outcome.form is None
                n_right += is_right
                print_outcome(sentence, outcome, is_right)
            figure = f"{name}, something else is said, {title}: marked, {n_right} of {len(sentences)}"
            met = measuring.judged(figure, n_right == len(sentences))
            is_met = is_met and (met or sentences is OTHERS_CHOSEN_ON)
    return 0 if is_met else 1


def print_outcome(sentence: Sentence, outcome: Outcome, is_right: bool) -> None:
    form = "marked" if outcome.form is None else f"{1000 * outcome.form:.0f} ms"
    lost = f", {outcome.lost} lost" if outcome.lost else ""
    sign = "✓" if is_right else "MISSED"
    print(f"  {sentence.written:24} {form:>8}; other words {1000 * outcome.others:.0f} ms{lost} {sign}")


def measured(voice, sentence: Sentence) -> Outcome:
    before, said, _, behind = (part.split() for part in sentence)
    text = " ".join([*before, *said, *behind])
    spoken = synthesise(voice, Line(text, "", "en", 0))
    sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
    in_words = placed(sound, text.split())
    written = placed(sound, [*before, sentence.written, *behind])
    first = len(before)
    last = first + len(said) - 1
    form = written.pop(first)
    form_off = None
    if form is not None:
        start = in_words[first] or in_words[first + 1]
        end = in_words[last] or in_words[last - 1]
        form_off = max(abs(form.start - start.start), abs(form.end - end.end))
    pairs = zip([*in_words[:first], *in_words[last + 1 :]], written, strict=True)
    off = [0.0]
    lost = 0
    for true, word in pairs:
        if true is not None and word is None:
            lost += 1
        elif true is not None:
            off.append(max(abs(word.start - true.start), abs(word.end - true.end)))
    return Outcome(form_off, max(off), lost)


def placed(sound: Samples, words: Sequence[str]) -> list[Word | None]:
    return align(aligner_named("pocketsphinx"), sound, words, "en") or [None] * len(words)


if __name__ == "__main__":
    sys.exit(main())
