"""Style tags: the lists that synthesisers know, the grid that chooses one, and how to find one among words."""

import difflib
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.style.buckets import HIGH, LEVELS, LOW, MID

# The style tags that each synthesiser knows, and how it wants them written.
#
# The lists are data, taken from Fish Audio's documentation of s1; s2 takes any words. A tag that a synthesiser
# doesn't know would be read aloud, or ignored, in paid audio: `mapped_tags` rejects it before the first call and
# says what to add. Nothing is renamed unless the user's mapping says so.


FISH_S1: dict[str, tuple[str, ...]] = {
    "basic": (
        "happy", "sad", "angry", "excited", "calm", "nervous", "confident", "surprised", "satisfied", "delighted",
        "scared", "worried", "upset", "frustrated", "depressed", "empathetic", "embarrassed", "disgusted", "moved",
        "proud", "relaxed", "grateful", "curious", "sarcastic",
    ),
    "advanced": (
        "disdainful", "unhappy", "anxious", "hysterical", "indifferent", "uncertain", "doubtful", "confused",
        "disappointed", "regretful", "guilty", "ashamed", "jealous", "envious", "hopeful", "optimistic",
        "pessimistic", "nostalgic", "lonely", "bored", "contemptuous", "sympathetic", "compassionate",
        "determined", "resigned",
    ),
    "tones": ("in a hurry tone", "shouting", "screaming", "whispering", "soft tone"),
    "effects": (
        "laughing", "chuckling", "sobbing", "crying loudly", "sighing", "groaning", "panting", "gasping",
        "yawning", "snoring",
    ),
    "special": ("audience laughing", "background laughter", "crowd laughing", "break", "long-break"),
}  # fmt: skip


class Style(NamedTuple):
    """The style tags of a synthesiser.

    `opening` and `closing` enclose a tag; `groups` are the tags that it knows (none: it accepts any words).
    """

    opening: str
    closing: str
    groups: Mapping[str, tuple[str, ...]]

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(itertools.chain.from_iterable(self.groups.values()))

    def accepts(self, words: str) -> bool:
        """Whether words are a tag that can be sent."""
        if self.groups:
            return words in self.tags
        has_brackets = self.opening in words or self.closing in words
        return bool(words.strip()) and not has_brackets


STYLES: dict[str, Style] = {
    "fish-s1": Style("(", ")", FISH_S1),
    "fish-s2": Style("[", "]", {}),
}


def mapped_tags(tags: Iterable[str], synthesiser: str, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the words that are sent to a synthesiser for each tag: the tag, or the entry of `mapping`.

    Raises `DailytalkError` if any of them is unknown to the synthesiser (or, for one that accepts any words, is
    empty or holds its brackets), with all of those tags and the entries that `mapping` lacks. Call it before the
    first paid request.
    """
    style = STYLES[synthesiser]
    sent = {tag: mapping.get(tag, tag) for tag in dict.fromkeys(tags)}
    unknown = [tag for tag, words in sent.items() if not style.accepts(words)]
    if not unknown:
        return sent
    names: list[str] = []
    entries: list[str] = []
    accepted = sorted(style.tags)
    for tag in unknown:
        mapped_to = f" (as {sent[tag]!r})" if tag in mapping else ""
        names.append(f"{tag!r}{mapped_to}")
        # Where none is spelled alike, three dots are left to fill in.
        nearest = difflib.get_close_matches(tag, accepted, n=1) or ["..."]
        entries.append(f'"{tag}": "{nearest[0]}"')
    problem = f"{synthesiser} does not know {', '.join(names)}"
    remedy = f"add to the tag mapping {{{', '.join(entries)}}}"
    if style.groups:
        remedy += f", with tags out of: {', '.join(accepted)}"
    raise DailytalkError(problem, remedy)


def render(tag: str, text: str, synthesiser: str) -> str:
    """Put a tag before its text, as a synthesiser reads it; the text alone if the tag is empty."""
    if not tag:
        return text
    style = STYLES[synthesiser]
    return f"{style.opening}{tag}{style.closing} {text}"


# Choosing the style tag of an utterance, and the name of the rule that chose it.
#
# A preset is one tuple of rules, and the first that holds decides: tone gates, then questions, then a grid of
# arousal, valence and dominance in which every cell has a tag. A tone gate needs a bucket *and* a margin against
# the speaker's own median, because in a flat conversation the loudest third is not shouting.
#
# `careful` has the rules of `standard`, but of affect that is within the error of its model a rule says nothing.
#
# Rule names are stable and go into the dataset: `T1 whispering` to `T5 in a hurry tone`; `question: curious`;
# `grid: arousal HIGH, valence MID, dominance HIGH`, with `, pitch_var LOW` after it where that decided. Those of
# the preset `seed` are `seed 1 whispering` to `seed 4 in a hurry tone`, and `seed grid: …`. Where a class of
# emotion broke a tie, the rule is `emotion: sad`.


class Evidence(NamedTuple):
    """The facts by which rules choose: buckets, margins against the speaker's median, and the question flag.

    `rms_gain_db` is in dB, `f0_ratio` and `rate_ratio` are multiples of the median, `speech_rate` is in words/s
    and `voiced_fraction` in [0, 1]. NaN means unknown, and no rule that asks for that measure holds.
    """

    valence: str = MID
    arousal: str = MID
    dominance: str = MID
    energy: str = MID
    rate: str = MID
    zcr: str = MID
    pitch: str = MID
    pitch_var: str = MID
    rms_gain_db: float = math.nan
    f0_ratio: float = math.nan
    rate_ratio: float = math.nan
    speech_rate: float = math.nan
    voiced_fraction: float = math.nan
    question: bool = False


class RuleCondition(NamedTuple):
    """`field` of the evidence compared with a bucket or a number; `comparison` is a key of `COMPARISONS`."""

    field: str
    comparison: str
    value: str | float | bool

    def holds(self, evidence: Evidence) -> bool:
        compare = COMPARISONS[self.comparison]
        return compare(getattr(evidence, self.field), self.value)


class Rule(NamedTuple):
    """A name, the tag that it chooses, and the conditions that all have to hold."""

    name: str
    tag: str
    conditions: tuple[RuleCondition, ...]

    def holds(self, evidence: Evidence) -> bool:
        return all(condition.holds(evidence) for condition in self.conditions)


class Choice(NamedTuple):
    """The tag of an utterance, and the name of the rule that chose it."""

    tag: str
    rule: str


#: All are false for NaN except "is not", which is used for buckets only.
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "is": operator.eq,
    "is not": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
}


def _rule(name: str, tag: str, *conditions: tuple[str, str, str | float | bool]) -> Rule:
    return Rule(name, tag, tuple(RuleCondition(*condition) for condition in conditions))


GATES = (
    _rule("T1 whispering", "whispering",
          ("energy", "is", LOW), ("zcr", "is", HIGH), ("voiced_fraction", "<", 0.2)),
    _rule("T2 screaming", "screaming",
          ("energy", "is", HIGH), ("arousal", "is", HIGH), ("f0_ratio", ">=", 1.6), ("valence", "is", LOW)),
    _rule("T3 shouting", "shouting",
          ("energy", "is", HIGH), ("arousal", "is", HIGH), ("rms_gain_db", ">=", 6.0)),
    _rule("T4 soft tone", "soft tone",
          ("energy", "is", LOW), ("arousal", "is not", HIGH), ("rms_gain_db", "<=", -6.0)),
    _rule("T5 in a hurry tone", "in a hurry tone",
          ("rate", "is", HIGH), ("arousal", "is not", LOW),
          ("rate_ratio", ">=", 1.25), ("speech_rate", ">=", 3.5)),
)  # fmt: skip

#: An angry "What did you do?" stays angry: none of these when arousal is HIGH.
_ASKS: tuple[tuple[str, str, str | float | bool], ...] = (("question", "is", True), ("arousal", "is not", HIGH))

QUESTIONS = (
    _rule("question: confused", "confused", *_ASKS, ("valence", "is", LOW), ("dominance", "is", LOW)),
    _rule("question: doubtful", "doubtful", *_ASKS, ("valence", "is", LOW)),
    _rule("question: uncertain", "uncertain", *_ASKS, ("valence", "is", MID), ("arousal", "is", LOW)),
    _rule("question: uncertain", "uncertain", *_ASKS, ("valence", "is", MID), ("dominance", "is", LOW)),
    _rule("question: curious", "curious", *_ASKS),
)

#: (arousal, valence) to the tags for dominance LOW, MID and HIGH.
Grid = Mapping[tuple[str, str], tuple[str, str, str]]
#: (arousal, valence, dominance, pitch_var) to the tag that the pitch's variation makes of that cell.
Exceptions = Mapping[tuple[str, str, str, str], str]

GRID: Grid = {
    (HIGH, LOW): ("anxious", "frustrated", "angry"),
    (HIGH, MID): ("nervous", "excited", "excited"),
    (HIGH, HIGH): ("surprised", "excited", "delighted"),
    (MID, LOW): ("worried", "disappointed", "frustrated"),
    (MID, MID): ("uncertain", "calm", "confident"),
    (MID, HIGH): ("satisfied", "satisfied", "satisfied"),
    (LOW, LOW): ("depressed", "sad", "sad"),
    (LOW, MID): ("calm", "calm", "calm"),
    (LOW, HIGH): ("relaxed", "relaxed", "satisfied"),
}
GRID_EXCEPTIONS: Exceptions = {
    (HIGH, MID, HIGH, LOW): "determined",
    (MID, HIGH, LOW, HIGH): "happy",
    (MID, HIGH, MID, HIGH): "happy",
    (MID, HIGH, HIGH, HIGH): "proud",
}

SEED_GATES = (
    _rule("seed 1 whispering", "whispering", ("energy", "is", LOW), ("zcr", "is", HIGH)),
    _rule("seed 2 shouting", "shouting", ("energy", "is", HIGH), ("arousal", "is", HIGH)),
    _rule("seed 3 soft tone", "soft tone", ("energy", "is", LOW)),
    _rule("seed 4 in a hurry tone", "in a hurry tone", ("rate", "is", HIGH), ("arousal", "is not", LOW)),
)
SEED_GRID: Grid = {
    **GRID,
    (HIGH, MID): ("nervous", "excited", "determined"),
    (HIGH, HIGH): ("excited", "excited", "delighted"),
}
SEED_GRID_EXCEPTIONS: Exceptions = {(MID, HIGH, dominance, HIGH): "happy" for dominance in LEVELS}


def _grid_rules(prefix: str, grid: Grid, exceptions: Exceptions) -> tuple[Rule, ...]:
    """Return a rule for every cell, the exceptions first."""
    tag_by_cell: dict[tuple[str, ...], str] = dict(exceptions.items())
    for cell, tags in grid.items():
        for dominance, tag in zip(LEVELS, tags, strict=True):
            tag_by_cell[*cell, dominance] = tag
    fields = ("arousal", "valence", "dominance", "pitch_var")
    rules: list[Rule] = []
    for levels, tag in tag_by_cell.items():
        pairs = zip(fields, levels, strict=False)
        conditions = [RuleCondition(field, "is", level) for field, level in pairs]
        in_words = ", ".join(f"{condition.field} {condition.value}" for condition in conditions)
        rules.append(Rule(f"{prefix}: {in_words}", tag, tuple(conditions)))
    return tuple(rules)


_STANDARD = (*GATES, *QUESTIONS, *_grid_rules("grid", GRID, GRID_EXCEPTIONS))

#: The preset whose rules say nothing of affect that is within the error of its model.
CAREFUL = "careful"

PRESETS: dict[str, tuple[Rule, ...]] = {
    "standard": _STANDARD,
    CAREFUL: _STANDARD,
    "seed": (*SEED_GATES, *_grid_rules("seed grid", SEED_GRID, SEED_GRID_EXCEPTIONS)),
}


#: The rule of an utterance without a tag: its affect is as usual, as far as its model can tell, and no gate or
#: question holds.
AS_USUAL = "affect as usual"

#: Styles that these tags say; any other tag of speech whose loudness and voicing are known is `normal`.
STYLE_OF_TAG = {"whispering": "whispered", "shouting": "shouted", "screaming": "shouted"}


def choose_tag(evidence: Evidence, preset: str = "standard") -> Choice:
    """Choose the tag of the first rule of a preset (one of `PRESETS`) that holds.

    Raises ValueError if a bucket is none of LOW, MID and HIGH, since then no cell of the grid holds.

    >>> choose_tag(Evidence(arousal="HIGH", dominance="HIGH"))
    Choice(tag='excited', rule='grid: arousal HIGH, valence MID, dominance HIGH')
    """
    for rule in PRESETS[preset]:
        if rule.holds(evidence):
            return Choice(rule.tag, rule.name)
    raise ValueError(f"no rule of {preset!r} holds for {evidence}: buckets must be LOW, MID or HIGH")


# Style tags among words.
#
# A model that reads `(excited)` in its text stream learns to say it. Recognisers never write a tag, but an
# alignment made from the tagged text would, in one word or spread over several.


_KNOWN = STYLES["fish-s1"].tags

_TAG = re.compile(r"\(([^()\[\]]+)\)|\[([^()\[\]]+)\]")


def tags_among(words: Sequence[str], also: Iterable[str] = ()) -> list[str]:
    """Return the style tags with their brackets among words, in order; `also` has tags beside the known ones."""
    names = _KNOWN | set(also)
    matches: list[str] = []
    for first, word in enumerate(words):
        if not word.lstrip().startswith(("(", "[")):
            continue
        text = ""
        for following in words[first : first + 5]:  # the longest tag that is looked for
            text = f"{text} {following.strip()}".strip()
            match = _TAG.match(text)
            if match:
                name = match[1] or match[2]
                if name.strip().lower() in names:
                    matches.append(match[0])
                break
    return matches
