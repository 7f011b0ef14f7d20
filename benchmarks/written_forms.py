"""How far the words of a sentence with a written form are from those of the same sentence in words.

    python benchmarks/written_forms.py

The voices joe (Piper) and espeak say each sentence in words. The aligner of English is given these words, and then
the sentence with its written form ("$1,299.50"), for the same sound: the form must be where its words are, or have
no time, and the words beside it must stay where they were. Where something else is said than what is written, the
form must have no time, and the words beside it must stay.

The rules of `core.written_forms`, and limits of `models.sphinx` and `models.aligners.pocketsphinx`, were chosen on
sentences of which the figures are printed, but only those of other sentences are judged.
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
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSettings
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
    Sentence("My order number is", "E M three nine eight five seven seven one,", "EM3985771,", "and I wait."),
    Sentence("It cost", "one thousand two hundred ninety nine dollars and fifty cents", "$1,299.50", "in total."),
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

#: The same forms in other words.
OTHER_READINGS_CHOSEN_ON = (
    Sentence("It cost", "twelve ninety nine fifty", "$1,299.50", "in total."),
    Sentence("He was born in", "one nine eight four", "1984", "in a village."),
    Sentence("You can call", "triple five oh one forty two", "555-0142", "until noon."),
    Sentence("You can call", "five five five, zero one four two", "555-0142", "until noon."),
    Sentence("We meet at", "half past ten", "10:30", "near the station."),
    Sentence("It was on the", "twenty third of the fifth twenty six", "23/05/2026", "as I remember."),
    Sentence("It grew by", "forty two and a half percent", "42.5%", "in one year."),
    Sentence("My order number is", "E M thirty nine eighty five seven seventy one", "EM3985771", "and I wait."),
    Sentence("My order number is", "E M three nine eight, five seven seven, one", "EM3985771", "and I wait."),
    Sentence("Look at", "example dot org slash help", "www.example.org/help", "for more."),
    Sentence("Write to", "A N N A dot smith at example dot com", "anna.smith@example.com", "before Friday."),
    Sentence("I paid", "ninety nine cents", "$0.99", "for it."),
    Sentence("I paid", "a dollar fifty", "$1.50", "for it."),
    Sentence("We need", "five kilograms", "5kg", "of sand."),
)

OTHER_READINGS_HELD_OUT = (
    Sentence("The train leaves at", "a quarter to eight", "7:45", "every day."),
    Sentence("They paid", "twenty bucks", "$20", "for the ticket."),
    Sentence("The code is", "double seven four A", "774A", "for this door."),
    Sentence("We moved here in", "two thousand and eight", "2008", "with the dog."),
    Sentence("Come on May", "the fifth", "5", "after lunch."),
    Sentence("The menu was", "seventeen fifty", "$17.50", "without wine."),
    Sentence("It weighs", "one and a half kilos", "1.5kg", "without the box."),
    Sentence("Almost", "a hundred and fifty thousand", "150,000", "people came."),
    Sentence("Send it to", "J smith at mail dot org", "jsmith@mail.org", "by tonight."),
    Sentence("My number is", "oh seven seven, oh oh nine, one two three", "077009123", "if you need me."),
)

#: Sentences in which something else is said than what is written.
OTHER_WORDS_CHOSEN_ON = (
    Sentence("My order number is", "somewhere in my mailbox,", "EM3985771,", "and I wait."),
    Sentence("It cost", "far more than we could pay", "$1,299.50", "in total."),
    Sentence("Please write to", "my sister and her husband", "anna.smith@example.com", "before Friday."),
    Sentence("He was born in", "the middle of winter", "1984", "in a village."),
    Sentence("It cost", "so much", "$1,299.50", "in total."),
    Sentence("It cost", "nothing", "$20", "in total."),
    Sentence("We meet at", "the place where we always meet on Sundays", "10:30", "near the station."),
    Sentence("He was born in", "Berlin", "1984", "in a village."),
    Sentence("Last night it was", "really cold", "-3°", "outside here."),
    Sentence("They sold", "nearly all", "200,000", "of them in May."),
    Sentence("We need", "quite a lot", "5kg", "of sand."),
)

OTHER_WORDS_HELD_OUT = (
    Sentence("You can call", "whenever you feel like it", "555-0142", "until noon."),
    Sentence("It grew by", "a really large amount", "42.5%", "in one year."),
    Sentence("Look at", "our new page", "www.example.org/help", "for more."),
    Sentence("The bus left at", "the usual moment", "7:05pm", "as always."),
    Sentence("The code is", "on the yellow sticker", "774A", "for this door."),
    Sentence("Send it to", "the lady from the office", "jsmith@mail.org", "by tonight."),
)


class Group(NamedTuple):
    """Sentences, whether something else is said in them than what is written, and whether they are judged."""

    title: str
    sentences: Sequence[Sentence]
    are_other_words: bool
    is_judged: bool


GROUPS = (
    Group("chosen on", CHOSEN_ON, are_other_words=False, is_judged=False),
    Group("held out", HELD_OUT, are_other_words=False, is_judged=True),
    Group("other readings, chosen on", OTHER_READINGS_CHOSEN_ON, are_other_words=False, is_judged=False),
    Group("other readings, held out", OTHER_READINGS_HELD_OUT, are_other_words=False, is_judged=True),
    Group("other words, chosen on", OTHER_WORDS_CHOSEN_ON, are_other_words=True, is_judged=False),
    Group("other words, held out", OTHER_WORDS_HELD_OUT, are_other_words=True, is_judged=True),
)


class Outcome(NamedTuple):
    """By how many seconds edges are off at most: those of the form, None if it has no time; those of other words.

    `n_lost`: how many of the other words have no time, though they have one in the sentence in words.
    """

    form: float | None
    others: float
    n_lost: int


def main() -> int:
    is_met = True
    for engine, name in (("piper", "joe"), ("espeak", "espeak")):
        voice = load_synthesiser(engine, VoiceSettings("", ""))
        for group in GROUPS:
            print(f"\n{name}, {group.title}")
            n_right = 0
            n_marked = 0
            for sentence in group.sentences:
                outcome = outcome_of(voice, sentence)
                is_right = outcome.others <= MOST_OFF and (
                    outcome.form is None or (outcome.form <= MOST_OFF and not group.are_other_words)
                )
                n_right += is_right
                n_marked += outcome.form is None
                print_outcome(sentence, outcome, is_right)
            figure = f"{name}, {group.title}: {n_right} of {len(group.sentences)} right, {n_marked} without a time"
            if not group.is_judged:
                print(figure)
            elif not measuring.judged(figure, n_right == len(group.sentences)):
                is_met = False
    return 0 if is_met else 1


def print_outcome(sentence: Sentence, outcome: Outcome, is_right: bool) -> None:
    form = "no time" if outcome.form is None else f"{1000 * outcome.form:.0f} ms"
    lost = f", {outcome.n_lost} lost" if outcome.n_lost else ""
    sign = "✓" if is_right else "missed"
    print(f"  {sentence.written:24} {form:>8}; other words {1000 * outcome.others:.0f} ms{lost} {sign}")


def outcome_of(voice: Synthesiser, sentence: Sentence) -> Outcome:
    before, said, written, behind = map(str.split, sentence)
    in_words = [*before, *said, *behind]
    spoken = synthesise(voice, Line(" ".join(in_words), "", "en", 0))
    sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
    true = placed(sound, in_words)
    output = placed(sound, [*before, *written, *behind])
    form = output.pop(len(before))
    form_words = [word for word in true[len(before) : len(true) - len(behind)] if word is not None]
    form_off = None
    if form is not None:
        form_off = max(abs(form.start - form_words[0].start), abs(form.end - form_words[-1].end))
    others_off = 0.0
    n_lost = 0
    for true_word, word in zip(true[: len(before)] + true[len(true) - len(behind) :], output, strict=True):
        if true_word is None:
            continue
        if word is None:
            n_lost += 1
        else:
            off = max(abs(word.start - true_word.start), abs(word.end - true_word.end))
            others_off = max(others_off, off)
    return Outcome(form_off, others_off, n_lost)


def placed(sound: Samples, words: Sequence[str]) -> list[Word | None]:
    return align(aligner_named("pocketsphinx"), sound, words, "en") or [None] * len(words)


if __name__ == "__main__":
    sys.exit(main())
