"""A dataset as reports and cards show it: the figures that come first, and the sentences about it.

Its tables and plots are those of `publish.tables.sections`. A template places all of them, as cards of a page or
in Markdown, and computes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.records.utterance import GIVEN
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent, public
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish.checks.clip_figures import CorpusFigures, Quality
from dailytalk_contiguous.publish.tables.tabular import Fact, Strong

#: What stands for a value that is not known.
NOT_KNOWN = "–"


@dataclass(frozen=True)
class OtherDataset:
    """A dataset beside which another is shown. `unusable` rows of it are not in the tables."""

    name: str
    tables: Tables
    unusable: int


@dataclass(frozen=True)
class Displays:
    """A dataset as pages and cards show it.

    Attributes:
        tables: the tables of its rows.
        run: its run.json.
        defaults: of `cli.defaults.default_settings`.
        clips: the figures of a dataset of clips.
        name: its name beside `other_dataset`.
        other_dataset: the dataset beside which it is shown.
        origins: the sources and models whose licences a card lists.
    """

    tables: Tables
    run: RunRecord
    defaults: Mapping[str, object]
    clips: CorpusFigures | None = None
    name: str = ""
    other_dataset: OtherDataset | None = None
    origins: Sequence[licensing.Origin] = ()

    @property
    def beside(self) -> OtherDataset:
        """The other dataset, where there is one."""
        assert self.other_dataset
        return self.other_dataset

    @property
    def corpus(self) -> CorpusFigures:
        """The figures of clips, where it is of clips."""
        assert self.clips
        return self.clips

    @property
    def quality(self) -> Quality | None:
        """The quality of clips as they came; None where it was not measured."""
        quality = self.clips.quality if self.clips else None
        return quality if quality and len(quality.clips) else None

    @property
    def unit(self) -> str:
        """The unit that has labels: a clip, a file of a mix, or an utterance of conversations."""
        return self.clips.unit if self.clips else "utterance"

    @cached_property
    def whole(self) -> dict[str, float]:
        """All conversations or recorded clips (`figures.totals`)."""
        return figures.totals(self.tables)

    @property
    def n_clips(self) -> int:
        return int(self.whole["conversations"])

    @cached_property
    def statuses(self) -> Counter[str]:
        """Numbers of utterances by what became of them."""
        return figures.counts(self.tables.utterances["status"])

    # The figures that stand first.

    @property
    def totals(self) -> list[Fact]:
        """Length, words and voices, on the first screen; empty where nothing is finished."""
        if not self.n_clips:
            return []
        voices = figures.numbers_of_voices(self.tables)
        kinds = [f"{number:,} {kind}" for kind, number in voices.items()]
        if voices and self.n_with_known_speakers < self.tables.n:
            kinds.append("not every speaker is named")
        n_voices = f"{sum(voices.values()):,}" if voices else "not named"
        return [
            Fact("audio", length_text(self.whole["seconds"])),
            Fact("words", f"{int(self.whole['words']):,}"),
            Fact("voices", n_voices, ", ".join(kinds)),
        ]

    @property
    def facts(self) -> Iterator[Fact]:
        """The figures of conversations that stand first."""
        tables = self.tables
        n_utterances = len(tables.utterances)
        languages = [str(name) for name in figures.ranked(tables, "language").index]
        named_languages = ", ".join(languages[:4])
        if len(languages) > 4:
            named_languages += f" and {len(languages) - 4} more"
        source_seconds = tables.conversations["source_duration"].sum()
        recorded = f"recorded: {length_text(source_seconds)}" if tables.is_rebuilt else ""
        yield Fact("conversations", f"{tables.n:,}", named_languages)
        yield Fact("audio", length_text(self.whole["seconds"]), recorded)
        yield Fact("speech", length_text(figures.heard_seconds(tables)), "both speakers added up")
        yield Fact("utterances", f"{n_utterances:,}")
        yield Fact("words with times", f"{int(self.whole['words']):,}")
        if self.n_corrected:
            yield Fact("corrected utterances", f"{self.n_corrected:,}")
        if tables.is_rebuilt:
            n_spoken = self.statuses["spoken"]
            share = f"{percent(n_spoken, n_utterances)} of the utterances"
            yield Fact("resynthesised", f"{n_spoken:,}", share)
            ratios = figures.length_ratios(tables)
            if len(ratios):
                ratio = ratios.median()
                yield Fact("new voice", f"×{1 / ratio:.2f} as fast", f"median length {ratio:.2f} of the recorded")
            cost = figures.cost(tables)
            saved = self.run.speak.money.saved_by_cache or 0.0
            if cost or saved:
                yield Fact("spent on speech", money(cost), f"{money(saved)} saved by the cache" if saved else "")
        yield self._rejects("recordings, conversations, or parts of those that are used")

    @property
    def clip_facts(self) -> Iterator[Fact]:
        """The figures of clips that stand first; of those that are only measured, how many would be kept."""
        whole = self.whole
        if self.n_clips or not self.quality:
            held_out = figures.sums(self.tables, "split")["seconds"].get("validation", 0.0)
            share = f"{percent(held_out, whole['seconds'])} of recordings"
            n_speakers = self.tables.conversations["speaker"].nunique()
            yield Fact(f"{self.unit}s", f"{self.n_clips:,}", f"{length_text(whole['seconds'])} recorded")
            yield Fact("copies", f"{int(whole['copies']):,}", "augmented, in training only")
            yield Fact("seen in training", length_text(whole["seen"]), "with repetitions and copies")
            yield Fact("validation", length_text(held_out), share)
            yield Fact("speakers", f"{n_speakers:,}")
        if self.quality:
            n_clips = len(self.quality.clips)
            n_refused = len(self.quality.refused)
            remark = f"{n_refused:,} beyond a limit of quality ({percent(n_refused, n_clips)})"
            yield Fact("measured", f"{n_clips:,}", remark)
            if not self.n_clips:
                yield Fact("would be kept", f"{n_clips - n_refused:,}", "no clip is finished yet")
                return
        yield self._rejects("files and clips")

    def _rejects(self, remark: str) -> Fact:
        is_known = bool(self.tables.rejects) or self.tables.knows_rejects
        return Fact("rejected", f"{self.tables.rejects.total():,}" if is_known else NOT_KNOWN, remark)

    @property
    def how_made(self) -> list[tuple[str, str]]:
        """The models, voices and commands that made it, by name; unknown ones are left out."""
        halves = (self.run, self.run.speak)
        made = {}
        # Models of the rows replace those of run.json, which a version has not.
        of_runs = self.run.origins + self.run.speak.origins
        for model in of_runs + sorted(figures.models(self.tables)):
            terms = "; ".join(filter(None, (model.licence, note_of(model))))
            name = model_name(model.name)
            made[model.role] = f"{name} ({terms})" if terms else name
        voices = figures.named_in_provenance(self.tables, "voice")
        if len(voices) > 3:
            voices = [*voices[:3], f"{len(voices) - 3} more"]
        licences = figures.source_licences(self.tables.conversations, self.run)
        tools = figures.named_in_provenance(self.tables, "tool")
        if not tools and self.run.version:
            tools = [f"dailytalk-contiguous {self.run.version}"]
        dates = [half.date for half in halves if half.date]
        commands = [public(half.command) for half in halves if half.command]
        facts = {
            "words": self._source_of_words(made.get("recogniser", "")),
            "affect": made.get("affect", ""),
            "new voice": made.get("synthesiser", ""),
            "voice": ", ".join(voices),
            "profile": self.run.settings.get("profile") or "",
            "made with": ", ".join(tools),
            "licence of the recordings": ", ".join(sorted(licences)) or UNKNOWN,
            "date": ", ".join(dict.fromkeys(dates)),
            "command": ", ".join(dict.fromkeys(commands)),
        }
        return [(name, value) for name, value in facts.items() if value]

    def _source_of_words(self, recogniser: str) -> str:
        """Who wrote the words: people, the recogniser, or both."""
        used = figures.counts(self.tables.utterances["recogniser"])
        n_given = used[GIVEN]
        if not n_given:
            return recogniser
        if not recogniser or n_given == used.total():
            return "given transcripts"
        total = counted(used.total(), "utterance")
        return f"given transcripts ({n_given:,} of {total}), else {recogniser}"

    # The sentences.

    @property
    def has_turns(self) -> bool:
        """Whether any side is known to speak."""
        return not figures.turn_taking(self.tables).empty

    @property
    def is_converted(self) -> bool:
        """Whether all new speech is the recorded sound in another voice."""
        return self.tables.n_converted == self.statuses["spoken"] > 0

    @property
    def n_recorded(self) -> int:
        """Conversations in which both voices and all times are those of the recording."""
        return int(self.tables.conversations["recorded"].sum())

    @property
    def n_rebuilt(self) -> int:
        return self.tables.n - self.n_recorded

    @property
    def n_untagged(self) -> int:
        """Utterances that were said without their tag."""
        return int((self.tables.utterances["tag_said"] == False).sum())  # noqa: E712 (null is neither)

    @cached_property
    def n_corrected(self) -> int:
        """Utterances that people corrected."""
        edits = self.tables.utterances[["edited_by", "edited_fields"]].notna()
        return int(edits.any(axis=1).sum())

    @property
    def conversations_by_language(self) -> list[tuple[str, int]]:
        """Numbers of conversations by language; that of those whose language is not known is `UNKNOWN`."""
        numbers = figures.sums(self.tables, "language")["conversations"]
        return sorted((str(name), int(number)) for name, number in numbers.items())

    @property
    def splits(self) -> list[str]:
        return [*figures.counts(self.tables.conversations["split"])]

    @property
    def word_sources(self) -> dict[str, str]:
        """The sources of the times of words, each with its share in per cent."""
        sources = figures.word_sources(self.tables)
        return {name: percent(number, sources.total()) for name, number in sources.most_common()}

    @property
    def models(self) -> list[str]:
        """The models that had a part, by name."""
        return [model.name for model in figures.origins(self.tables)]

    @property
    def recognisers(self) -> list[str]:
        """The models that recognised words."""
        models = figures.origins(self.tables)
        names = [model.name for model in models if model.role == "recogniser" and model.name != GIVEN]
        return [model_name(name) for name in names]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why utterances are not as they should be, the commonest reasons first."""
        return figures.reasons(self.tables).most_common(10)

    @property
    def n_speakers(self) -> int:
        """Recorded speakers whose names are known."""
        return len(figures.splits_of_speakers(self.tables))

    @property
    def n_shared_speakers(self) -> int:
        """Recorded speakers who are heard in several splits."""
        splits = figures.splits_of_speakers(self.tables).values()
        return sum(len(names) > 1 for names in splits)

    @property
    def n_with_known_speakers(self) -> int:
        """Conversations, or clips, of which every recorded speaker is known by name."""
        return sum(None not in [*names] for names in self.tables.conversations["kept_speakers"])

    #: What any figure of emotion is.
    a_guess: ClassVar[str] = (
        "Classes of emotion are a guess from sound, not a diagnosis: nobody was asked how they felt."
    )

    @property
    def classified(self) -> str:
        """Who classified emotions; empty where nobody did."""
        models = map(model_name, sorted(figures.counts(self.tables.utterances["emotion_model"])))
        named = ", ".join(models)
        return f"{self.a_guess} Classified by {named}." if named else ""

    @property
    def same_labels(self) -> str:
        """The labels that all clips share, in a sentence; empty for none."""
        shared = []
        for name in figures.DIMENSIONS:
            values = figures.sums(self.tables, name).index
            if len(values) == 1:
                shared.append(f"{name.replace('_', ' ')} {values[0]}")
        return f"All {self.unit}s: {', '.join(shared)}." if shared else ""

    @property
    def examples(self) -> dict[str, str]:
        """The first value of each label by which clips are chosen."""
        examples = {}
        for label in ("emotion", "style", "speaker"):
            examples[label] = next(iter(figures.counts(self.tables.conversations[label])), UNKNOWN)
        return examples

    @property
    def notes(self) -> list[str]:
        """The notes on the sources and models."""
        notes = [(model_name(origin.name), note_of(origin)) for origin in self.origins]
        return [f"{name}: {note}." for name, note in notes if note]

    @property
    def tools(self) -> str:
        """The tools that made it, with the versions of their packages; empty if unknown."""
        made = " and ".join(figures.named_in_provenance(self.tables, "tool"))
        packages = ", ".join(f"{name} {number}" for name, number in self.run.packages.items())
        if not made:
            return ""
        return f"Made with {made} ({packages})." if packages else f"Made with {made}."


def note_of(origin: licensing.Origin) -> str:
    """The note on a model, from the list of known models with its name and licence; empty if there is none."""
    listed = licence_of(origin.name, origin.role)
    is_listed = origin.role != licensing.SOURCE and origin.licence == listed.licence != UNKNOWN
    return listed.note if is_listed else ""


def asked_terms(licence: str | None) -> str:
    """The terms of a licence in words; readers must not miss them where the licence is not known."""
    words = licensing.licence_in_words(licence)
    return words if licensing.terms_of_licence(licence).is_known else Strong(words)
