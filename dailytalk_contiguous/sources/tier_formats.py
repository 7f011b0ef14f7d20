"""Files of tiers: Praat's TextGrid by praatio and ELAN's EAF by pympi, and which of their tiers are speech.

Both libraries read what they can of a damaged file, so what was read is counted against what the file declares.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pympi
from praatio.utilities.textgrid_io import parseTextgridStr

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.sources.transcript_marks import LABELS
from dailytalk_contiguous.sources.transcript_text import broken, read_text

#: A tier holds words if at least this share of its labels are single tokens.
WORD_TIER_SHARE = 0.9

#: A tier of a speaker is no speech if it has less than this share of the different words of the fullest one: ids
#: have none, gestures a handful.
SPEECH_SHARE = 0.5

#: What an export calls its tiers: `Anna/utterances`, and `Anna/utterances 2` for those that overlap.
OWN_TIER = re.compile(r"(.*)/(utterances|tags|words|sounds)( \d+)?")

#: Tokens of the names and linguistic types of tiers that are about speech, and no speech.
_ABOUT_SPEECH = re.compile(
    r"phon\w*|phones?|silences?|gestures?|gaze|gloss\w*|ge|ps|pos|transl\w*|ft|comments?|notes?|ref|segments?|syll\w*|tones?"
)
_KIND_OF_TIER = re.compile(r"words?|utterances?|utts?|transcripts?|transcription|tx")

# The class, the name and the times of a tier, and how many labels it has, in Praat's long and short form.
_DECLARED = re.compile(
    r'"(?:IntervalTier|TextTier)"\s+(?:name ?= ?)?"(?:[^"]|"")*"\s+'
    r"(?:xmin ?= ?)?[-\d.eE]+\s+(?:xmax ?= ?)?[-\d.eE]+\s+(?:(?:intervals|points) ?: size ?= ?)?(\d+)"
)
_NEGATIVE = re.compile(r"(?m)xm(?:in|ax) ?= ?-(?!0(?:\.0*)?\s*$)")  # praatio drops the sign
_DECLARED_TIERS = re.compile(r"<exists>\s+(?:size ?= ?)?(\d+)")

#: Annotations that refer to each other, one above another, at most.
MOST_OWNERS = 64

SAVE_AGAIN, SAVE_EAF = "save it from Praat again, as a text file", "save it from ELAN again"

#: Start, end and text.
Interval = tuple[float, float, str]

_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"


class Tier(NamedTuple):
    """A tier, with its speaker and its linguistic type where a file names them."""

    name: str
    labels: list[Interval]
    speaker: str = ""
    type: str = ""

    @property
    def n_words(self) -> int:
        """How many different words it has."""
        return len({word.casefold() for *_, text in self.labels for word in text.split() if word.isalpha()})

    @property
    def is_own(self) -> bool:
        return OWN_TIER.fullmatch(self.name) is not None


def read_eaf(path: Path) -> list[Tier]:
    """The tiers of an ELAN file. Times that it leaves open are spread evenly between those that it has.

    Raises BadInput.
    """
    text = read_text(path)
    eaf = pympi.Elan.Eaf(author="")
    eaf.remove_tier("default")
    eaf.adocument[_SCHEMA] = ""  # which pympi takes out again, without looking whether the file has it
    try:
        pympi.Elan.parse_eaf(str(path), eaf, True)
        tiers = _tiers_of(eaf)
    except Exception as error:  # a plain Exception for what is no XML, and whatever its content leads to
        cause = error.__context__ or error
        raise broken(path, f"can't be read by pympi ({type(cause).__name__}: {cause})", SAVE_EAF) from None
    declared = text.count("<ALIGNABLE_ANNOTATION ") + text.count("<REF_ANNOTATION ")
    if missing := declared - sum(len(aligned) + len(refs) for aligned, refs, *_ in eaf.tiers.values()):
        raise broken(path, f"has {declared} annotations, of which {missing} have the id of another", SAVE_EAF)
    return tiers


def _tiers_of(eaf: pympi.Elan.Eaf) -> list[Tier]:
    timed: dict[str, tuple[float, float]] = {}
    if (unit := eaf.header.get("TIME_UNITS", "milliseconds")) != "milliseconds":
        raise ValueError(f"it counts time in {quoted(unit)}, not in milliseconds")
    for name, (aligned, _, _, _) in eaf.tiers.items():
        slots = {slot for span in aligned.values() for slot in span[:2]}
        known = {slot: time for slot, time in eaf.timeslots.items() if slot in slots}
        times = (pd.Series(known, dtype=float) / 1000).interpolate(limit_area="inside")
        if times.hasnans:
            raise ValueError(f"no times at the ends of the tier {quoted(name)}")
        timed |= {key: (float(times[span[0]]), float(times[span[1]])) for key, span in aligned.items()}
    # pympi itself finds no owner that is a part of another annotation, such as a word.
    owner_of = {key: entry[0] for _, refs, _, _ in eaf.tiers.values() for key, entry in refs.items()}
    tiers = []
    for name, (aligned, refs, about, _) in eaf.tiers.items():
        labels = [(*timed[key], entry[2].strip()) for key, entry in aligned.items()]
        of_owner: dict[str, list[str]] = {}  # in parts, such as its words, of which only the whole has times
        for key, entry in refs.items():
            owner = key
            for _ in range(MOST_OWNERS):
                owner = owner_of.get(owner, owner)
            of_owner.setdefault(owner, []).append(entry[1].strip())
        labels += [(*timed[owner], " ".join(texts)) for owner, texts in of_owner.items()]
        kind = about.get("LINGUISTIC_TYPE_REF", "")
        tiers.append(Tier(name, labels, about.get("PARTICIPANT", ""), kind))
    return tiers


def read_tiers(path: Path) -> list[Tier]:
    """The interval tiers of a TextGrid. Raises BadInput."""
    text = read_text(path)
    try:
        tiers = parseTextgridStr(text, includeEmptyIntervals=True)["tiers"]
        intervals = [
            Tier(tier["name"], [(float(x.start), float(x.end), x.label.strip()) for x in tier["entries"]])
            for tier in tiers
            if tier["class"] == "IntervalTier"
        ]
    except Exception as error:
        raise broken(path, f"can't be read by praatio ({error or type(error).__name__})", SAVE_AGAIN) from None
    declared = [int(size) for size in _DECLARED.findall(text)]
    count = _DECLARED_TIERS.search(text)
    is_whole = [len(tier["entries"]) for tier in tiers] == declared and count and int(count[1]) == len(tiers)
    if not is_whole or _NEGATIVE.search(text):
        reason = "breaks off, has other numbers of tiers and labels than it says, or times before 0"
        raise broken(path, reason, SAVE_AGAIN)
    return intervals


def speech_tiers(path: Path, tiers: Iterable[Tier], wanted: Collection[str] = ()) -> tuple[list[Tier], list[str]]:
    """The tiers of speech, by type words or utterances, and the names of the other ones that have labels.

    Tiers called `wanted`, or of these linguistic types, are speech where there are some. Otherwise a tier is none
    that is named for something else (phones, glosses, gestures; of our own exports tags, sounds), or that has less
    than `SPEECH_SHARE` of the different words of another tier of the speaker. Where a speaker has words and
    utterances, the words count. Raises BadInput where it is unclear.
    """
    tiers = [tier for tier in tiers if any(label for _, _, label in tier.labels)]
    names = {name.casefold() for name in wanted}
    chosen = [tier for tier in tiers if {tier.name.casefold(), tier.type.casefold()} & names]
    of_speaker: dict[str, list[Tier]] = {}
    for tier in chosen or [tier for tier in tiers if not _is_about_speech(tier)]:
        own = OWN_TIER.fullmatch(tier.name.strip())
        tokens = re.findall(r"[^\W_]+", tier.name)
        speaker = tier.speaker or (own and own[1]) or tier.name.rpartition("@")[2] * ("@" in tier.name)
        speaker = speaker or " ".join(token for token in tokens if not _KIND_OF_TIER.fullmatch(token.casefold()))
        speaker = " ".join(speaker.split())
        kind = "words" if _holds_words([token.casefold() for token in tokens], tier.labels) else "utterances"
        of_speaker.setdefault(speaker.casefold(), []).append(tier._replace(speaker=speaker, type=kind))
    speech: list[Tier] = []
    for entries in of_speaker.values():
        most = max(entry.n_words for entry in entries)
        full = [entry for entry in entries if entry.is_own or entry.n_words >= SPEECH_SHARE * most]
        full = [entry for entry in full if entry.type == "words"] or full
        if len(full) > 1 and not all(entry.is_own for entry in full):
            several = " and ".join(quoted(entry.name) for entry in full[:3])
            reason = f"has several tiers of {full[0].type} for {quoted(full[0].speaker)}: {several}"
            raise broken(path, reason, "name the right one with --tier")
        speech += full
    used = {entry.name for entry in speech}
    return speech, [tier.name for tier in tiers if tier.name not in used]


def _is_about_speech(tier: Tier) -> bool:
    if own := OWN_TIER.fullmatch(tier.name.strip()):
        return own[2] not in ("utterances", "words")
    tokens = re.findall(r"[^\W_]+", f"{tier.name.partition('@')[0]} {tier.type}".casefold())
    return any(map(_ABOUT_SPEECH.fullmatch, tokens))


def _holds_words(name_tokens: Sequence[str], intervals: Sequence[Interval]) -> bool:
    texts = [text for *_, text in intervals if text.casefold() not in LABELS]
    if any(token.startswith("word") for token in name_tokens):
        return True
    if any(token.startswith("utt") for token in name_tokens) or not texts:
        return False
    return sum(len(text.split()) == 1 for text in texts) >= WORD_TIER_SHARE * len(texts)
