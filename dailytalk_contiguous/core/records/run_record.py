"""The facts of run.json that commands read: what a work folder was made from and with, and what came of it.

Runs write more into it than anybody reads, and each its own part (`run.outputs`). Somebody else may have written
it, and an older version: a fact that is null or of another type counts as one that is missing.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypedDict, TypeVar

import msgspec

from dailytalk_contiguous.core.documents import JsonObject, Number, Whole
from dailytalk_contiguous.core.licensing import Credit, Origin


class SourceFacts(msgspec.Struct, frozen=True):
    """The recordings: a dataset on the Hub at a commit (`revision`), or a corpus of clips; None if unknown."""

    name: str | None = None
    repository: str | None = None
    revision: str | None = None
    licence: str | None = None
    citation: str | None = None
    homepage: str | None = None

    @property
    def credit(self) -> Credit:
        """How its author is named; without a name where the recordings are somebody's own."""
        page = self.homepage
        if not page and self.repository:
            page = f"https://huggingface.co/datasets/{self.repository}"
        name = self.name or self.repository
        return Credit(name or "", self.licence or "", self.citation or "", page or "")


class ModelFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model, with its licence, the page that describes it, and what to mind of it."""

    name: str
    licence: str | None = None
    url: str | None = None
    note: str | None = None


class StageFacts(msgspec.Struct, frozen=True):
    """A stage, with the digest of all that its results depend on."""

    name: str | None = None
    digest: str | None = None
    settings: dict[str, Any] = {}


class CountFacts(msgspec.Struct, frozen=True):
    """Numbers of what was made, None if unknown, and of recordings that can't be used."""

    conversations: Whole | None = None
    utterances: Whole | None = None
    recordings_rejected: Whole = 0


class HourFacts(msgspec.Struct, frozen=True):
    """Hours of all conversations or clips, and of the speech in them; None if unknown."""

    audio: Number | None = None
    speech: Number | None = None


class RejectedFacts(msgspec.Struct, frozen=True):
    """The whole conversations that a part of the work rejected; `publish.checks.verdict.losses` adds them up.

    Attributes:
        conversations, seconds: how many, of `of_conversations` and `of_seconds`.
        reasons: seconds by kind of reason.
        remedies: by kind of reason.
        recordings: how many can't be used, by kind of reason.
    """

    conversations: Whole = 0
    of_conversations: Whole = 0
    seconds: Number = 0.0
    of_seconds: Number = 0.0
    reasons: dict[str, Number] = {}
    remedies: dict[str, str] = {}
    recordings: dict[str, Whole] = {}


class MoneyFacts(msgspec.Struct, frozen=True):
    """USD that a run spent, and that the cache saved it; None if unknown."""

    spent: Number | None = None
    saved_by_cache: Number | None = None


class TaggedFolder(TypedDict):
    """Where a run of speak with another --out found what it said.

    Attributes:
        folder: the work folder of `tag`, absolute.
        fingerprint: of what `tag` had written there.
    """

    folder: str
    fingerprint: str


class RunHalf(msgspec.Struct, frozen=True):
    """One half of the work, `tag` or `speak`, or all of a corpus of clips, a split, a mix or tokens.

    Attributes:
        command: that was given, with the paths of this machine. version: of dailytalk-contiguous.
        packages: their versions, by name. models: by role.
        transcript_sha256: of the transcript that `tag` wrote, or that `speak` read.
        fingerprint: of what its files were made of. tagged: where `speak` found that, if in another folder.
        of_earlier_runs: ids of conversations that it could not make again.
    """

    command: str = ""
    date: str = ""
    version: str = ""
    packages: dict[str, str] = {}
    settings: dict[str, Any] = {}
    models: dict[str, ModelFacts] = {}
    stages: list[StageFacts] = []
    counts: CountFacts = CountFacts()
    hours: HourFacts = HourFacts()
    rejected: RejectedFacts = RejectedFacts()
    money: MoneyFacts = MoneyFacts()
    transcript_sha256: str = ""
    fingerprint: str | None = None
    tagged: TaggedFolder | None = None
    of_earlier_runs: list[str] = []

    @property
    def origins(self) -> list[Origin]:
        """The models with their roles."""
        origins = []
        for role, model in self.models.items():
            origins.append(Origin(role, model.name, model.licence, model.url or ""))
        return origins


class BalanceFacts(msgspec.Struct, frozen=True):
    """How clips were balanced: by which labels, how many minutes of each there were before and were wanted."""

    by: list[str] = []
    minutes_before: dict[str, Number] = {}
    target_minutes: Number | None = None


class RunRecord(RunHalf, frozen=True):
    """The content of run.json, or of mix.json.

    Attributes:
        speak: the second half; the fields of the first stand beside it.
        push: what the push of its conversations rejected.
        source: of conversations. corpus: that the clips are of.
        sources: of a mix, by folder: what `credits` has of each.
        fields: that people's own stages publish (`core.records.published_fields.described`).
        recordings: addresses of recordings that are in a store.
        silent_speakers: names of who has no line in a conversation, by its id and by channel.
    """

    speak: RunHalf = RunHalf()
    push: RunHalf = RunHalf()
    source: SourceFacts = SourceFacts()
    corpus: SourceFacts = SourceFacts()
    sources: dict[str, list[SourceFacts] | None] = {}
    balance: BalanceFacts = BalanceFacts()
    fields: list[JsonObject] = []
    recordings: list[str] = []
    silent_speakers: dict[str, dict[str, str]] = {}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "RunRecord":
        """Read the content of run.json.

        >>> counts = RunRecord.of({"counts": {"conversations": 3, "utterances": "few"}}).counts
        >>> counts.conversations, counts.utterances
        (3, None)
        """
        return _read(record, cls)

    @property
    def credits(self) -> tuple[Credit, ...]:
        """The sources, each once.

        Licences ask for the author to be named, so a mix of several folders has to know the authors. A corpus
        records all of it, conversations from the Hub their dataset, a mix the records of its folders; nothing is
        looked up. A folder in a mix that names none has a credit of its own name, so that the list is complete.
        """
        credits = []
        for folder, sources in self.sources.items():
            named_sources = [source for source in sources or () if source.name]
            for source in named_sources or [SourceFacts(name=folder)]:
                credits.append(source.credit)
        credits += [self.corpus.credit, self.source.credit]
        named = [credit for credit in credits if credit.name]
        return tuple(dict.fromkeys(named))


#: What is read where there is no run.json.
NO_RUN = RunRecord()

_Facts = TypeVar("_Facts", bound=msgspec.Struct)


def _read(record: Mapping[str, Any], kind: type[_Facts]) -> _Facts:
    facts = {}
    for field in msgspec.structs.fields(kind):
        value = record.get(field.name)
        is_part = isinstance(field.default, msgspec.Struct)
        if is_part and isinstance(value, Mapping):
            facts[field.name] = _read(value, field.type)
            continue
        with suppress(msgspec.ValidationError):
            facts[field.name] = msgspec.convert(value, field.type)
    return kind(**facts)
