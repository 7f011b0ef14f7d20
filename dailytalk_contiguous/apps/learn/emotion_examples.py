"""Utterances with an emotion, to train and to test classifiers: labels, speakers, sound, and omissions.

Nothing is guessed: an utterance without a label of a class, without a sound, or on which raters did not agree is
left out, and counted by reason. Equal sound, and copies of one source, have the same number in `groups`, so that
no protocol puts them on two sides.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.apps.learn.token_rows import cut_sound, utterance_items
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.apps import has_app
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.emotions import SIX, emotion_class
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import side_by_side
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted, kind_of
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.emotion_folder import why_unheard
from dailytalk_contiguous.publish.items import FiledItems, Items, ItemSound, Place

#: The source of an utterance's emotion: the acted one, the one most raters perceived, or the votes of each.
Labels = Literal["acted", "perceived", "votes"]

#: Seconds; a longer utterance is left out: it is no utterance, and would take much memory.
LONGEST_SECONDS = 120.0

#: Columns that are read beside the sound.
_READ = ("conversation_id", "duration", "source_duration", "utterances", "alignments", "sounds", "labels", "split")

_NO_EMOTION = {
    "acted": "it has no emotion",
    "perceived": "nobody said what emotion is heard",
    "votes": "its raters' votes are not known",
}


@dataclass(frozen=True, eq=False)
class EmotionExamples:
    """Utterances with an emotion; arrays of length n.

    Attributes:
        classes: their names, sorted.
        ids: of the utterances.
        corpora, speakers, genders, sentences: of each; empty if unknown. Utterances of a corpus whose speaker is
            unknown count as those of one person.
        labels: indices into `classes`.
        groups: numbers of groups that are never on two sides: of equal sound, or copies of one source.
        copies: whether each is an altered copy of another: to train on, not to test on.
        votes: shares of raters, float32 (n, classes), rows that sum to 1; None unless they are the labels.
        left_out: number of omitted utterances, by reason.
        licences: of the utterances of each input, sorted.
        source, numbers: of the sound.
        mixed: the held-out part of a network has the same speakers, as by the protocol `random`.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    corpora: NDArray[np.str_]
    speakers: NDArray[np.str_]
    genders: NDArray[np.str_]
    sentences: NDArray[np.str_]
    labels: NDArray[np.intp]
    groups: NDArray[np.intp]
    copies: NDArray[np.bool_]
    votes: NDArray[np.float32] | None
    left_out: Mapping[str, int]
    licences: Mapping[str, tuple[str, ...]]
    source: "_FiledSounds" = field(repr=False)
    numbers: NDArray[np.intp] = field(repr=False)
    mixed: bool = False
    _measured: dict[str, dict[int, NDArray[Any]]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def sounds(self) -> Iterator[Samples]:
        """The sound of each, 16 kHz mono, shape (n,): read anew from the files, in order, one at a time."""
        return self.source.sounds(self.numbers.tolist())

    def measured(self, name: str, measure: Callable[[Samples], NDArray[Any]]) -> NDArray[Any]:
        """Return `measure` of the sound of each, stacked; computed once for all subsets of the same examples.

        Args:
            name: of the measure and its settings: an earlier result under this name is not computed again.
            measure: returns arrays of one shape; called from several threads.
        """
        known = self._measured.setdefault(name, {})
        missing = [number for number in dict.fromkeys(self.numbers.tolist()) if number not in known]
        values = side_by_side(measure, self.source.sounds(missing), thread_count())
        for number, value in zip(missing, values, strict=True):
            interrupts.check_interrupt()
            known[number] = value
        return np.stack([known[number] for number in self.numbers.tolist()])

    def take(self, places: ArrayLike) -> "EmotionExamples":
        """The examples at some indices (numbers or a mask), in their order, with the same classes."""
        at = np.arange(len(self))[np.asarray(places)]
        return replace(
            self,
            ids=tuple(self.ids[place] for place in at),
            **{name: getattr(self, name)[at] for name in _ARRAYS},
            votes=None if self.votes is None else self.votes[at],
        )

    def of_classes(self, classes: Iterable[str], reason: str) -> "EmotionExamples":
        """The examples of some classes, which are the only ones left; others are left out for `reason`."""
        names = tuple(name for name in self.classes if name in {*classes})
        places = {self.classes.index(name): number for number, name in enumerate(names)}
        kept = self.take(np.isin(self.labels, [*places]))
        votes = kept.votes
        if votes is not None:
            votes = votes[:, [*places]]
            votes = votes / np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        left_out = Counter(self.left_out)
        if len(kept) < len(self):
            left_out[reason] += len(self) - len(kept)
        labels = np.array([places[label] for label in kept.labels.tolist()], np.intp)
        return replace(kept, classes=names, labels=labels, votes=votes, left_out=dict(left_out))


_ARRAYS = ("corpora", "speakers", "genders", "sentences", "labels", "groups", "copies", "numbers")


class _Clip(NamedTuple):
    items: Items
    place: Place | None
    row: Row


class _FiledSounds:
    """The sound of clips from their files, whose rows are read in one pass if they are requested in order."""

    def __init__(self, clips: Sequence[_Clip]) -> None:
        self._clips = clips

    def sounds(self, numbers: Sequence[int]) -> Iterator[Samples]:
        first = 0
        while first < len(numbers):
            last = first + 1
            for number, following in pairwise(numbers[first:]):
                clip, other = self._clips[number], self._clips[following]
                if clip.place is None or other.place is None or clip.items is not other.items:
                    break
                if clip.place.file != other.place.file or clip.place[1:] > other.place[1:]:
                    break
                last += 1
            run = [self._clips[number] for number in numbers[first:last]]
            yield from self._in_order(run) if last - first > 1 else map(_sound_alone, run)
            first = last

    def _in_order(self, run: Sequence[_Clip]) -> Iterator[Samples]:
        items, at = run[0].items, 0
        assert isinstance(items, FiledItems)
        assert run[0].place is not None
        for place, row in items.rows_of(run[0].place.file, ["conversation_id", "audio"]):
            while at < len(run) and run[at].place == place:
                yield _samples(ItemSound(row["audio"]), run[at].row)
                at += 1
            if at == len(run):
                return
        yield from map(_sound_alone, run[at:])  # the file has changed, which the first of them reports


def _sound_alone(clip: _Clip) -> Samples:
    if clip.place is None:
        return _samples(clip.items.sound(clip.row["conversation_id"]), clip.row)
    assert isinstance(clip.items, FiledItems)
    return _samples(ItemSound(clip.items.at(clip.place, ["conversation_id", "audio"])["audio"]), clip.row)


def _samples(sound: ItemSound, row: Row) -> Samples:
    samples: Samples = cut_sound(sound, row, ANALYSIS_RATE)[:, 0]
    return samples


def read_examples(
    inputs: Sequence[str],
    classes: Sequence[str] | None = SIX,
    labels: Labels = "acted",
    mapping: Mapping[str, str] = {},
    agreement: float = 0.0,
    votes: Path | None = None,
) -> EmotionExamples:
    """The utterances with an emotion of folders of `dailytalk corpus`, mixes, and datasets of clips on the Hub.

    Every sound is read once: unreadable ones are left out, and equal sound is found.

    Args:
        inputs: folders or `OWNER/NAME@TAG`, as `open_items` takes them.
        classes: those to distinguish; None for every label except `other`.
        labels: the `acted` class, the one most raters `perceived`, or `votes`: the class with most votes, and the
            share of each.
        mapping: classes of labels that are none, such as `{"calm": "neutral"}` (`core.emotions.emotion_class`).
        agreement: least share of raters who agree, in [0, 1], where it is known.
        votes: CREMA-D's tabulatedVotes.csv, in place of the votes that rows hold.

    Raises DailytalkError for a missing input or one without utterances, and if none has an emotion.
    """
    if classes is not None and len({*classes}) < 2:
        raise DailytalkError("one class distinguishes nothing", "name at least two")
    shares = None
    if votes is not None:
        if labels != "votes":
            raise DailytalkError("a table of votes says nothing of other labels", "ask for votes, too")
        if not has_app("clips"):
            raise DailytalkError("votes are read by the app clips, which is not here", "leave the table out")
        from dailytalk_contiguous.apps.clips.corpora.crema_d import vote_shares

        shares = vote_shares(votes)
    reader = _Reader(None if classes is None else tuple(classes), labels, mapping, agreement, shares)
    for name in dict.fromkeys(inputs):
        items = utterance_items(name)
        if items is None:
            if not Path(name).exists():
                raise DailytalkError(f"the input {name!r} does not exist", "check the path")
            raise DailytalkError(
                f"{name!r} holds recordings without labels", "name what `dailytalk corpus` has made"
            )
        if isinstance(items, FiledItems):
            for file in items.files:
                for place, row in items.rows_of(file, [*_READ, "audio"]):
                    reader.add(name, _Clip(items, place, {}), row, partial(ItemSound, row["audio"]))
            continue
        for row in items.rows(_READ):
            reader.add(name, _Clip(items, None, {}), row, partial(items.sound, row["conversation_id"]))
    return reader.examples()


class _Reader:
    def __init__(
        self,
        classes: tuple[str, ...] | None,
        labels: Labels,
        mapping: Mapping[str, str],
        agreement: float,
        shares: Mapping[str, Mapping[str, float]] | None,
    ) -> None:
        self._classes, self._labels, self._mapping = classes, labels, mapping
        self._agreement, self._shares = agreement, shares
        self._clips: list[_Clip] = []
        self._facts: list[Row] = []
        self._left_out: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._licences: dict[str, set[str]] = defaultdict(set)

    def add(self, name: str, clip: _Clip, row: Row, sound: Callable[[], ItemSound]) -> None:
        """Take the utterance of a row of the input `name`, or count the reason why it is left out."""
        interrupts.check_interrupt()
        labels = row["labels"] or {}
        n_utterances = max(1, len(row["utterances"] or ()))
        try:
            if row["problem"]:
                raise BadInput(row["problem"], "")
            if not labels or n_utterances != 1:
                raise BadInput(_NO_EMOTION["acted"], "")
            facts = self._known(row, labels)
            (utterance,) = row["utterances"]
            part = {
                "conversation_id": row["conversation_id"],
                **{name: utterance[name] for name in ("channel", "start", "end")},
            }
            if row["conversation_id"] in self._ids:
                raise BadInput("an utterance of its id was read before", "")
            if part["start"] is None or part["end"] is None:
                raise BadInput("it is not in the sound", "")
            if part["end"] - part["start"] > LONGEST_SECONDS:
                raise BadInput(f"it is longer than {LONGEST_SECONDS:g} s", "")
            samples = _samples(sound(), part)
            if reason := why_unheard(samples):
                raise BadInput(reason, "")
            facts["digest"] = hashlib.sha256(to_pcm(samples).tobytes()).hexdigest()
        except BadInput as problem:
            self._left_out[kind_of(problem.reason)] += n_utterances
            return
        except OSError as error:
            self._left_out[f"its sound can't be read ({error.strerror or error})"] += 1
            return
        self._ids.add(row["conversation_id"])
        self._clips.append(clip._replace(row=part))
        self._facts.append(facts)
        self._licences[name] |= {facts["licence"]} - {""}

    def _known(self, row: Row, labels: Row) -> Row:
        """The fields of an utterance. Raises BadInput, without a remedy, for one that is left out."""
        name, corpus = row["conversation_id"], _text(labels.get("corpus"))
        if _text(labels.get("style")) == "sung":
            raise BadInput("it is sung", "")
        agreed = labels.get("agreement")
        if is_number(agreed) and agreed < self._agreement:
            raise BadInput("fewer raters agree than are asked for", "")
        votes: dict[str, float] = {}
        label = _text(labels.get("perceived" if self._labels == "perceived" else "emotion"))
        if self._labels == "votes":
            if self._shares is not None:
                heard = self._shares.get(name, {})
            else:
                shares = [
                    (_text(vote["emotion"]), vote["share"]) for vote in labels.get("perceived_votes") or () if vote
                ]
                heard = {of: share for of, share in shares if of and is_number(share, 0.0) and share}
            label, votes = self._voted(heard, label)
        if not label:
            raise BadInput(_NO_EMOTION[self._labels], "")
        emotion = emotion_class(label, self._classes, self._mapping)
        if emotion is None:
            raise BadInput(f"it is {label}, which is no class", "")
        speaker = _text(row["utterances"][0]["speaker"]) or f"{corpus}/?"
        return {
            "id": name,
            "corpus": corpus,
            "speaker": speaker,
            "emotion": emotion,
            "votes": votes,
            "source": _text(labels.get("augmented_from")),
            **{name: _text(labels.get(name)) for name in ("gender", "sentence", "licence")},
        }

    def _voted(self, shares: Mapping[str, float], acted: str) -> tuple[str, dict[str, float]]:
        """The class with most votes, the acted one of several, and the share of each; nothing without votes."""
        votes: Counter[str] = Counter()
        for label, share in shares.items():
            if emotion := emotion_class(label, self._classes, self._mapping):
                votes[emotion] += share  # type: ignore[assignment]
        if not votes:
            return "", {}
        most = max(votes.values())
        best = [emotion for emotion in sorted(votes) if votes[emotion] == most]
        return (acted if acted in best else best[0]), dict(votes)

    def examples(self) -> EmotionExamples:
        if not self._facts:
            reasons = "; ".join(f"{counted(n, 'utterance')}: {why}" for why, n in self._left_out.most_common(3))
            remedy = "name a corpus with labels, or other classes"
            if self._labels == "votes" and self._shares is None:
                remedy = "make the corpus again with tabulatedVotes.csv in its folder, or name that with --votes"
            raise DailytalkError(
                f"no utterance has an emotion to learn or to test ({reasons or 'there is none'})", remedy
            )
        facts = self._facts
        names = {fact["emotion"] for fact in facts} | {name for fact in facts for name in fact["votes"]}
        classes = tuple(sorted(names | {*(self._classes or ())}))
        places = {name: place for place, name in enumerate(classes)}
        votes = None
        if self._labels == "votes":
            votes = np.zeros((len(facts), len(classes)), np.float32)
            for shares, fact in zip(votes, facts, strict=True):
                for emotion, share in fact["votes"].items():
                    shares[places[emotion]] = share
            votes /= votes.sum(axis=1, keepdims=True)
        corpora, speakers, genders, sentences = (
            np.array([fact[name] for fact in facts]) for name in ("corpus", "speaker", "gender", "sentence")
        )
        return EmotionExamples(
            classes,
            tuple(fact["id"] for fact in facts),
            corpora,
            speakers,
            genders,
            sentences,
            np.array([places[fact["emotion"]] for fact in facts], np.intp),
            joined_groups([(fact["digest"], fact["source"] or fact["id"]) for fact in facts]),
            np.array([bool(fact["source"]) for fact in facts]),
            votes,
            dict(self._left_out.most_common()),
            {name: tuple(sorted(terms)) for name, terms in self._licences.items()},
            _FiledSounds(self._clips),
            np.arange(len(facts)),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
