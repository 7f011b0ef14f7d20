"""The facts of run.json that commands read: the sources, models, settings and results of a work folder.

Runs write more into it than anybody reads, and each run its own part (`run.outputs`). Other people may have
written it, so a fact that is null or of another type counts as missing.
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
        """The credit to its author; without a name where the recordings are the user's own."""
        page = self.homepage
        if not page and self.repository:
            page = f"https://huggingface.co/datasets/{self.repository}"
        name = self.name or self.repository
        return Credit(name or "", self.licence or "", self.citation or "", page or "")


class ModelFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model, with its licence, the page that describes it, and a note on its use."""

    name: str
    licence: str | None = None
    url: str | None = None
    note: str | None = None


class StageFacts(msgspec.Struct, frozen=True):
    """A stage, with the digest of everything that its results depend on."""

    name: str | None = None
    digest: str | None = None
    settings: dict[str, Any] = {}


class CountFacts(msgspec.Struct, frozen=True):
    """Numbers of conversations and utterances made, None if unknown, and of recordings that can't be used."""

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
        conversations: number of rejected conversations, of `of_conversations`.
        seconds: length of rejected conversations, of `of_seconds`.
        reasons: seconds by kind of reason.
        remedies: remedies by kind of reason.
        recordings: number of recordings that can't be used, by kind of reason.
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
    """The tagged folder from which `speak` with another --out took its lines.

    Attributes:
        folder: work folder of `tag`, absolute.
        fingerprint: fingerprint of the files that `tag` had written there.
    """

    folder: str
    fingerprint: str


class RunHalf(msgspec.Struct, frozen=True):
    """One half of the work, `tag` or `speak`, or all of a corpus of clips, a split, a mix or tokens.

    Attributes:
        command: command line, with the paths of this machine.
        version: version of dailytalk-contiguous.
        packages: versions of packages by name.
        models: models by role.
        transcript_sha256: digest of the transcript that `tag` wrote, or that `speak` read.
        fingerprint: fingerprint of the inputs of its files.
        tagged: tagged folder that `speak` read, if it is another one.
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
    """The balance of clips: the labels that were balanced, and the minutes of each before and as wanted."""

    by: list[str] = []
    minutes_before: dict[str, Number] = {}
    target_minutes: Number | None = None


class WorkingCopy(msgspec.Struct, frozen=True):
    """A version that the folder is a working copy of.

    Attributes:
        labelled: whether it is of clips.
        speak: the options of `speak` by which lines are said as they were.
        run: what its manifest keeps of the run that made it.
    """

    labelled: bool = False
    run: JsonObject = {}
    speak: dict[str, Any] = {}


class RunRecord(RunHalf, frozen=True):
    """The content of run.json, or of mix.json.

    Attributes:
        speak: the second half; the fields of the first are in the record itself.
        push: facts of a push, such as its rejects.
        source: source of the conversations.
        corpus: corpus of the clips.
        sources: sources of a mix by folder, as `credits` has them.
        balance: balance of the clips.
        fields: fields that the user's own stages publish (`core.records.published_fields.described`).
        recordings: addresses of recordings that are in a store.
        working_copy: the version that it is a working copy of; None for none.
        silent_speakers: names of speakers without a line in a conversation, by its id and by channel.
    """

    speak: RunHalf = RunHalf()
    push: RunHalf = RunHalf()
    source: SourceFacts = SourceFacts()
    corpus: SourceFacts = SourceFacts()
    sources: dict[str, list[SourceFacts] | None] = {}
    balance: BalanceFacts = BalanceFacts()
    fields: list[JsonObject] = []
    recordings: list[str] = []
    working_copy: WorkingCopy | None = None
    silent_speakers: dict[str, dict[str, str]] = {}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "RunRecord":
        """Read the content of run.json.

        >>> counts = RunRecord.from_json({"counts": {"conversations": 3, "utterances": "few"}}).counts
        >>> counts.conversations, counts.utterances
        (3, None)
        """
        return _read(record, cls)

    @property
    def credits(self) -> tuple[Credit, ...]:
        """The credits of the sources, each once.

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
