"""A dataset as reports and cards show it: the figures that come first, and the sentences about it.

Its tables and plots are those of `publish.tables.sections`. A template places all of them, as cards of a page or
in Markdown, and computes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.finding import FindingLimits
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.records.utterance import GIVEN
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent, public
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.machine.resources import cores, side_by_side
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish.checking import findings_for_report
from dailytalk_contiguous.publish.checks.verdict import judged_conversations, verdict_of
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.tables.player import example_details, examples_of
from dailytalk_contiguous.publish.tables.plots import SectionParts
from dailytalk_contiguous.publish.tables.tabular import Fact, Strong
from dailytalk_contiguous.publish.tagged_items import recordings_of

#: The number of examples that a report shows by default, and of conversations in its table, the worst first.
SHOWN = 5
MOST_LISTED = 2000

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
        name: its name beside `other_dataset`.
        other_dataset: the dataset beside which it is shown.
        origins: the sources and models whose licences a card lists.
    """

    tables: Tables
    run: RunRecord
    defaults: Mapping[str, object]
    name: str = ""
    other_dataset: OtherDataset | None = None
    origins: Sequence[licensing.Origin] = ()

    #: The unit that has labels.
    unit = "utterance"

    #: The unit of a row.
    row_unit = "conversation"

    #: The package of its templates, those of its report and its card, and the card's tasks and tags on the Hub.
    package = __package__
    report = "conversations.html"
    card = "card.md"
    tasks = ("text-to-speech", "audio-to-audio")
    tags: ClassVar[Sequence[str]] = (
        "speech",
        "dialogue",
        "full-duplex",
        "turn-taking",
        "prosody",
        "emotion",
        "word-alignment",
        "moshi",
    )

    @classmethod
    def from_items(cls, items: Items, refused: list[Row], **options: Any) -> Self:
        """Read the rows of `items`; those that can't be used are added to `refused`."""
        return cls(tables_of(items, refused), items.run, name=items.name, **options)

    def contents(
        self, items: Items, shown: int | Sequence[str], limits: FindingLimits
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return the ids of those that can be heard in the report, and what its template shows besides figures."""
        tables = self.tables
        judged = judged_conversations(tables.conversations, limits)
        names = judged["conversation_id"].astype(str)
        if isinstance(shown, int):
            examples = examples_of(judged, shown)
        else:
            numbers = {name: number for number, name in [*names.items()][::-1]}
            missing = [name for name in dict.fromkeys(shown) if name not in numbers]
            if missing:
                raise DailytalkError(f"{items.where} has no conversation {missing}", "give the ids of the dataset")
            examples = {numbers[name]: "chosen by its id" for name in shown}
        recordings = recordings_of(items) if tables.is_rebuilt else None
        jobs = ((number, items.row(names[number])) for number in examples)

        def detailed(job: tuple[int, Row]) -> tuple[int, dict[str, Any]]:
            number, row = job
            return number, example_details(items, recordings, number, row)

        with closing(side_by_side(detailed, jobs, cores())) as ready:
            details = dict(steps("examples ready", ready, len(examples)))
        findings = findings_for_report(items, tables, limits)
        verdict = verdict_of(findings, tables.n)

        # The sound is in the element of its example, and not twice.
        data = []
        for number, detail in details.items():
            without_sound = detail | {"sound": None, "recorded": detail["recorded"] | {"sound": None}}
            data.append((f"detail-{number}", without_sound))
        ordered = judged.sort_values("badness", ascending=False, kind="stable")
        is_among_first = np.arange(len(ordered)) < MOST_LISTED
        listed = ordered[is_among_first | ordered.index.isin([*examples])]
        measures = {name: measure for name, measure in CONVERSATION_MEASURES.items() if judged[name].notna().any()}
        lines = []
        for number, row in listed.to_dict("index").items():
            cells = []
            for name, measure in measures.items():
                value = None if pd.isna(row[name]) else row[name] * measure.factor
                text = "" if value is None else f"{value:.{measure.digits}f}"
                cells.append((value, text, name in row["breaches"]))
            lines.append((number if number in examples else None, row, cells))
        context = {
            "data": data,
            "tables": tables,
            "verdict": verdict,
            "examples": [{"why": why, **details[number]} for number, why in examples.items()],
            "measures": [*measures.values()],
            "listed": lines,
            "n_unlisted": tables.n - len(listed),
            "names": {*names},
        }
        return tuple(names[[*examples]]), context

    @property
    def more_parts(self) -> SectionParts:
        """Its tables and plots besides `publish.tables.sections.PARTS`, by section."""
        return {}

    @property
    def beside(self) -> OtherDataset:
        """The other dataset, where there is one."""
        assert self.other_dataset
        return self.other_dataset

    @cached_property
    def whole(self) -> dict[str, float]:
        """All conversations or recorded clips (`figures.totals`)."""
        return figures.totals(self.tables)

    @cached_property
    def statuses(self) -> Counter[str]:
        """Numbers of utterances by what became of them."""
        return figures.counts(self.tables.utterances["status"])

    # The figures that stand first.

    @property
    def totals(self) -> list[Fact]:
        """Length, words and voices, on the first screen; empty where nothing is finished."""
        if not self.whole["conversations"]:
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
        yield self.n_rejected("recordings, conversations, or parts of those that are used")

    def n_rejected(self, remark: str) -> Fact:
        """The number of rejects, with a remark."""
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
    a_guess = "Classes of emotion are a guess from sound, not a diagnosis: nobody was asked how they felt."

    @property
    def classified(self) -> str:
        """Who classified emotions; empty where nobody did."""
        models = map(model_name, sorted(figures.counts(self.tables.utterances["emotion_model"])))
        named = ", ".join(models)
        return f"{self.a_guess} Classified by {named}." if named else ""

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


def displays_of(items: Items) -> type[Displays]:
    """Return the class that shows items: that of an app (`DISPLAYS`), or that of conversations.

    Raises DailytalkError for clips without an app that shows them.
    """
    for displays in parts("DISPLAYS"):
        if displays.shows(items):
            kind: type[Displays] = displays
            return kind
    if items.has_labels:
        raise DailytalkError("no app shows clips here", "install the package with its apps")
    return Displays


def note_of(origin: licensing.Origin) -> str:
    """The note on a model, from the list of known models with its name and licence; empty if there is none."""
    listed = licence_of(origin.name, origin.role)
    is_listed = origin.role != licensing.SOURCE and origin.licence == listed.licence != UNKNOWN
    return listed.note if is_listed else ""


def asked_terms(licence: str | None) -> str:
    """The terms of a licence in words; readers must not miss them where the licence is not known."""
    words = licensing.licence_in_words(licence)
    return words if licensing.terms_of_licence(licence).is_known else Strong(words)
