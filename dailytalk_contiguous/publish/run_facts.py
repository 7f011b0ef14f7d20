"""The part of run.json that findings follow from, which the manifest of a version keeps.

With it `dailytalk check` finds in a version what it finds in the work folder: how many of the hours were rejected,
which conversations are from an earlier run, and how much of each emotion clips should have.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from dailytalk_contiguous.core.documents import Number, Whole, fits
from dailytalk_contiguous.core.wording import public


class RejectedFacts(TypedDict, total=False):
    """The whole conversations that a half of a run rejected; `publish.verdict.losses` adds them up.

    `recordings`: those that can't be used, by kind of reason.
    """

    conversations: Whole
    of_conversations: Whole
    seconds: Number
    of_seconds: Number
    reasons: dict[str, Number]
    remedies: dict[str, str]
    recordings: dict[str, Whole]


class SpokenFacts(TypedDict, total=False):
    """The half of a run that speaks; `of_earlier_runs`: ids of conversations that it could not make again."""

    rejected: RejectedFacts
    of_earlier_runs: list[str]


class PushFacts(TypedDict, total=False):
    """The conversations that a push rejected."""

    rejected: RejectedFacts


class CountFacts(TypedDict, total=False):
    """Recordings that can't be used."""

    recordings_rejected: Whole


class BalanceFacts(TypedDict, total=False):
    """How clips were balanced: by which labels, how many minutes of each there were before and were wanted."""

    by: list[str]
    minutes_before: dict[str, Number]
    target_minutes: Number | None


class RunFacts(TypedDict, total=False):
    """The part of a run.json that findings follow from, and what the push of its conversations rejected."""

    rejected: RejectedFacts
    speak: SpokenFacts
    push: PushFacts
    counts: CountFacts
    balance: BalanceFacts


def kept_run_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `RunFacts` of a run.json, without paths of this machine; nothing of one that is damaged."""
    spoken = run.get("speak")
    facts = {
        "rejected": _kept(run.get("rejected"), RejectedFacts),
        "speak": _kept(spoken, SpokenFacts),
        "counts": _kept(run.get("counts"), CountFacts),
        "balance": _kept(run.get("balance"), BalanceFacts),
    }
    if "rejected" in facts["speak"]:
        facts["speak"]["rejected"] = _kept(facts["speak"]["rejected"], RejectedFacts)
    kept = {name: part for name, part in facts.items() if part}
    return kept if fits(kept, RunFacts) else {}


def _kept(part: object, kind: type) -> dict[str, Any]:
    """The fields of a part of run.json that `kind` has, with texts that may be published."""
    if not isinstance(part, Mapping):
        return {}
    return {name: _published(part[name]) for name in kind.__annotations__ if name in part}


def _published(value: Any) -> Any:
    """A value of run.json, whose texts have no paths of this machine."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, Mapping):
        return {public(name): _published(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_published(part) for part in value]
    return value
