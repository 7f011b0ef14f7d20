"""Files of tiers: Praat's TextGrid by praatio and ELAN's EAF by pympi, and which of their tiers are speech.

Both libraries read what they can of a damaged file, so what was read is counted against what the file declares.
"""

import itertools
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.documents import printable_path, quoted
from dailytalk_contiguous.core.errors import TooLarge
from dailytalk_contiguous.core.quotas import MOST_WORDS, Quota
from dailytalk_contiguous.core.words.transcript_marks import LABELS
from dailytalk_contiguous.sources.formats.private_names import STAND_IN, is_private, private_part, shown_name
from dailytalk_contiguous.sources.formats.records import ReadingChoice, TranscriptRecord
from dailytalk_contiguous.sources.formats.text_files import broken, read_text

#: A tier holds words if at least this share of its labels are single tokens.
WORD_TIER_SHARE = 0.9

#: A tier of a speaker is no speech if it has less than this share of the different words of the fullest one: ids
#: have none, gestures a handful.
SPEECH_SHARE = 0.5

#: What an export calls its tiers: `Anna/utterances`, and `Anna/utterances 2` for those that overlap.
_OWN_TIER = re.compile(r"(.*)/(utterances|tags|words|sounds)( \d+)?")

#: Tokens in the names and linguistic types of tiers that describe speech and hold none.
_ABOUT_SPEECH = re.compile(
    r"phon\w*|phones?|silences?|gestures?|gaze|gloss\w*|ge|ps|pos|transl\w*|ft|comments?|notes?|ref|segments?|syll\w*|tones?"
)
_KIND_OF_TIER = re.compile(r"words?|utterances?|utts?|transcripts?|transcription|tx")

#: What a DOCTYPE may declare that repeats a text wherever it is named. Converters write a DOCTYPE without any.
_DECLARATION = re.compile("<!(?:ENTITY|ATTLIST)")

#: Characters of what a library says about a file.
_LONGEST_MESSAGE = 200

_SAVE_AS_TEXT = "save it again, from Praat as a text file"


class Tier(NamedTuple):
    """A tier of labels (start, end, text), with its speaker and its linguistic type where a file names them."""

    name: str
    labels: list[tuple[float, float, str]]
    speaker: str = ""
    type: str = ""

    @property
    def has_text(self) -> bool:
        return any(text for _, _, text in self.labels)

    @property
    def n_words(self) -> int:
        """The number of its different words."""
        words: set[str] = set()
        for _, _, text in self.labels:
            words |= {word.casefold() for word in text.split() if word.isalpha()}
        return len(words)

    @property
    def is_own(self) -> bool:
        return _OWN_TIER.fullmatch(self.name) is not None

    @property
    def holds_words(self) -> bool:
        """Whether its labels are words, by its name, else by what they hold; utterances otherwise."""
        kinds = re.findall(r"\b(?:word|utt)", self.name.casefold().replace("_", " "))
        texts = [text for *_, text in self.labels if text.casefold() not in LABELS]
        if kinds or not texts:
            return "word" in kinds
        single_tokens = [text for text in texts if len(text.split()) == 1]
        return len(single_tokens) >= WORD_TIER_SHARE * len(texts)


def read_tiers(path: Path) -> list[Tier]:
    """Return the tiers of intervals of a TextGrid or an ELAN file. Raises BadInput."""
    import praatio  # noqa: F401 (an extra brings both: here, so that a missing one is not taken for a broken file)
    import pympi  # noqa: F401

    text = read_text(path)
    is_elan = path.suffix.lower() == ".eaf"
    if is_elan:
        if _DECLARATION.search(text):
            reason = "declares entities or attributes, which the files of ELAN do not"
            raise broken(path, reason, "delete its DOCTYPE, or save the file again from ELAN")
    else:
        quota = Quota(
            f"transcript {printable_path(path)}", MOST_WORDS, "labels", "save its parts in files of their own"
        )
        quota.take(text.count('"') // 2)
    try:
        if is_elan:
            return list(_tiers_of_elan(path, text))
        return list(_tiers_of_praat(text))
    except MemoryError:
        raise TooLarge.for_input(f"transcript {printable_path(path)}") from None
    except Exception as error:  # pympi raises a plain one for what is no XML; content leads to any other
        cause = (error.__context__ if is_elan else None) or error
        library = "pympi" if is_elan else "praatio"
        message = str(cause)[:_LONGEST_MESSAGE]  # of a KeyError it is a text of the file
        reason = f"can't be read by {library} ({type(cause).__name__}: {message})"
        raise broken(path, reason, _SAVE_AS_TEXT) from None


#: Annotations that refer to each other, one above another, at most.
MOST_OWNERS = 64

_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"


def _tiers_of_elan(path: Path, text: str) -> Iterator[Tier]:
    """Times that an ELAN file leaves open are spread evenly between those that it has."""
    import pympi

    eaf = pympi.Elan.Eaf(author="")
    eaf.remove_tier("default")
    eaf.adocument[_SCHEMA] = ""  # which pympi takes out again, without looking whether the file has it
    pympi.Elan.parse_eaf(str(path), eaf, True)
    unit = eaf.header.get("TIME_UNITS", "milliseconds")
    if unit != "milliseconds":
        raise ValueError(f"it counts time in {quoted(unit)}, not in milliseconds")
    declared = text.count("<ALIGNABLE_ANNOTATION ") + text.count("<REF_ANNOTATION ")
    n_read = 0
    for aligned, refs, *_ in eaf.tiers.values():
        n_read += len(aligned) + len(refs)
    missing = declared - n_read
    if missing:
        raise ValueError(f"it has {declared} annotations, of which {missing} have the id of another")
    timed: dict[str, tuple[float, float]] = {}
    positions = {slot: position for position, slot in enumerate(eaf.timeslots)}
    for name, (aligned, _, _, _) in eaf.tiers.items():
        slots = {slot for span in aligned.values() for slot in span[:2]}
        in_order = sorted(slots & positions.keys(), key=positions.__getitem__)
        times = _slot_times([eaf.timeslots[slot] for slot in in_order])
        if times is None:
            raise ValueError(f"no times at the ends of the tier {shown_name(name)}")
        time_of = dict(zip(in_order, times, strict=True))
        for key, (start_slot, end_slot, *_) in aligned.items():
            timed[key] = (time_of[start_slot], time_of[end_slot])
    # pympi itself finds no owner that is a part of another annotation, such as a word.
    owners: dict[str, str] = {}
    for _, refs, _, _ in eaf.tiers.values():
        owners |= {key: entry[0] for key, entry in refs.items()}
    for name, (aligned, refs, attributes, _) in eaf.tiers.items():
        texts_by_owner = {key: [entry[2].strip()] for key, entry in aligned.items()}
        for key, entry in refs.items():  # parts, such as words, of an annotation that alone has times
            owner = key
            for _ in range(MOST_OWNERS):
                if owner not in owners:
                    break
                owner = owners[owner]
            if owner not in timed:
                raise ValueError(f"the annotation {quoted(key)} is no part of one with times")
            texts_by_owner.setdefault(owner, []).append(entry[1].strip())
        labels = []
        for owner, texts in texts_by_owner.items():
            start, end = timed[owner]
            labels.append((start, end, " ".join(texts)))
        participant = attributes.get("PARTICIPANT", "")
        yield Tier(name.strip(), labels, participant, attributes.get("LINGUISTIC_TYPE_REF", ""))


def _slot_times(milliseconds: Sequence[int | None]) -> list[float] | None:
    """Return the seconds of the slots of a tier, in order; slots without a time are spread evenly between others.

    None where the first or the last has no time.
    """
    if not milliseconds:
        return []
    if milliseconds[0] is None or milliseconds[-1] is None:
        return None
    seconds = np.array(milliseconds, dtype=float) / 1000
    has_time = ~np.isnan(seconds)
    positions = np.arange(len(seconds))
    times: list[float] = np.interp(positions, positions[has_time], seconds[has_time]).tolist()
    return times


# The class, the name and the times of a tier, and how many labels it has, in Praat's long and short form.
_DECLARED = re.compile(
    r'"(?:IntervalTier|TextTier)"\s+(?:name ?= ?)?"[^"]*+(?:""[^"]*+)*+"\s+'
    r"(?:xmin ?= ?)?[-\d.eE]+\s+(?:xmax ?= ?)?[-\d.eE]+\s+(?:(?:intervals|points) ?: size ?= ?)?(\d+)"
)
_NEGATIVE = re.compile(r"(?m)xm(?:in|ax) ?= ?-(?!0(?:\.0*)?\s*$)")  # praatio drops the sign
_DECLARED_TIERS = re.compile(r"<exists>\s+(?:size ?= ?)?(\d+)")


def _tiers_of_praat(text: str) -> Iterator[Tier]:
    from praatio.utilities.textgrid_io import parseTextgridStr

    tiers = parseTextgridStr(text, includeEmptyIntervals=True)["tiers"]
    declared = [int(size) for size in _DECLARED.findall(text)]
    sizes = [len(tier["entries"]) for tier in tiers]
    n_tiers = _DECLARED_TIERS.search(text)
    is_whole = sizes == declared and n_tiers and int(n_tiers[1]) == len(tiers)
    if not is_whole or _NEGATIVE.search(text):
        raise ValueError("it breaks off, has other numbers of tiers and labels than it says, or times before 0")
    for tier in tiers:
        if tier["class"] == "IntervalTier":
            labels = []
            for interval in tier["entries"]:
                text = interval.label.strip()
                labels.append((float(interval.start), float(interval.end), text))
            yield Tier(tier["name"].strip(), labels)


def tier_records(path: Path, choice: ReadingChoice) -> Iterator[TranscriptRecord]:
    """Yield the labels of the tiers of speech as records; the names of other tiers with labels go to its `left`.

    The `tiers` of the choice are speech where there are some. Otherwise a tier is none that is named for something
    else (phones, glosses, gestures; of our own exports tags, sounds), or that has less than `SPEECH_SHARE` of the
    different words of another tier of the speaker. Where a speaker has words and utterances, the words count; in
    our own exports they are parts of the utterances. Raises BadInput where it is unclear.
    """
    tiers = [tier for tier in read_tiers(path) if tier.has_text]
    names = {name.casefold() for name in choice.tiers}
    chosen = [tier for tier in tiers if {tier.name.casefold(), tier.type.casefold()} & names]
    if not chosen:
        chosen = [tier for tier in tiers if not _is_about_speech(tier)]
    by_speaker: dict[str, list[Tier]] = {}
    for tier in chosen:
        speaker = _speaker_of(tier)
        by_speaker.setdefault(speaker.casefold(), []).append(tier._replace(speaker=speaker))
    used = set[str]()
    for speaker_tiers in by_speaker.values():
        most = max(tier.n_words for tier in speaker_tiers)
        full = [tier for tier in speaker_tiers if tier.is_own or tier.n_words >= SPEECH_SHARE * most]
        speaker = speaker_tiers[0].speaker
        word_tiers = [tier for tier in full if tier.holds_words]
        own_tiers = [tier for tier in full if tier.is_own]
        if not all(tier.holds_words for tier in own_tiers):
            used |= {tier.name for tier in own_tiers}
            yield from _own_utterances(own_tiers, speaker)
            continue
        full = word_tiers or full
        if len(full) > 1 and not all(tier.is_own for tier in full):
            several = " and ".join(shown_name(tier.name) for tier in full[:3])
            kind = "words" if word_tiers else "utterances"
            reason = f"has several tiers of {kind} for {shown_name(full[0].speaker)}: {several}"
            raise broken(path, reason, "name the right one with --tier")
        used |= {tier.name for tier in full}
        field = "word" if word_tiers else "text"
        for start, end, text in itertools.chain.from_iterable(tier.labels for tier in full):
            if text:
                yield quoted(text), {"start": start, "end": end, "speaker": speaker, field: text}
    others = []
    for tier in tiers:
        if tier.name not in used:
            others.append(STAND_IN if _is_private_tier(tier.name) else tier.name)
    if others and choice.left is not None:
        choice.left[printable_path(path.name)] = others


def _own_utterances(tiers: Sequence[Tier], speaker: str) -> Iterator[TranscriptRecord]:
    """Yield the utterances in tiers of our own exports as records, each with the words from its start on."""
    utterances: list[tuple[float, float, str]] = []
    words: list[tuple[float, float, str]] = []
    for tier in tiers:
        labels = words if tier.holds_words else utterances
        labels += [label for label in tier.labels if label[2]]
    utterances.sort()
    starts = [start for start, _, _ in utterances]
    words_of: dict[int, list[dict[str, object]]] = defaultdict(list)
    for start, end, text in sorted(words):
        index = max(0, bisect_right(starts, (start + end) / 2) - 1)
        words_of[index].append({"word": text, "start": start, "end": end})
    for index, (start, end, text) in enumerate(utterances):
        record = {"start": start, "end": end, "speaker": speaker, "text": text, "words": words_of[index]}
        yield quoted(text), record


def _is_about_speech(tier: Tier) -> bool:
    """Whether a tier is about speech and holds none, by its name or its type: phones, glosses, tags."""
    exported = _OWN_TIER.fullmatch(tier.name)
    if exported:
        return exported[2] in ("tags", "sounds")
    kind, _, _ = tier.name.partition("@")
    tokens = re.findall(r"[^\W_]+", f"{kind} {tier.type}".casefold())
    return any(map(_ABOUT_SPEECH.fullmatch, tokens))


#: An e-mail address. ELAN's own `words@Anna` has no host with a dot.
_MAIL = re.compile(r"[^\s@]@[^\s@.]+\.[^\s@]")


def _is_private_tier(name: str) -> bool:
    """Whether the name of a tier has a number or an address in it; `words@Anna` is how ELAN names them."""
    return is_private(name) and ("@" not in name or _MAIL.search(name) is not None)


def _speaker_of(tier: Tier) -> str:
    """Return the speaker of a tier: as the file names it, else from the tier's name; empty where there is none."""
    exported = _OWN_TIER.fullmatch(tier.name)
    _, _, after_at = tier.name.partition("@")
    tokens = re.findall(r"[^\W_]+", tier.name)
    name = " ".join(token for token in tokens if not _KIND_OF_TIER.fullmatch(token.casefold()))
    if _is_private_tier(tier.name):
        name = private_part(tier.name) or name
        after_at = ""
    speaker = tier.speaker or (exported and exported[1]) or after_at or name
    return " ".join(speaker.split())
