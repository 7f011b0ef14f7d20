"""The sections of a card that are sentences: what it is, how it was made, what is wrong with it, what is allowed.

Limits are told from what the rows say of themselves, and plainly: who trains on this has nothing else to go by.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dailytalk_contiguous.core.licensing import OTHER, Origin, in_words
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish.cards.statistics import UNNAMED, CardStatistics
from dailytalk_contiguous.publish.cards.words import (
    escaped,
    is_path,
    link,
    listed,
    model_name,
    span,
    table,
    told,
)

#: Settings of `tag` that decide what is in the data. All others are about how it ran, or may hold paths.
_TAG_SETTINGS = (
    *(
        "profile",
        "channel",
        "language",
        "asr_windows",
        "beam",
        "affect_context",
        "min_duration",
        "buckets",
        "rules",
    ),
)

_ROLES = {
    "speech_activity": "speech activity",
    "recogniser": "words",
    "affect": "affect",
    "synthesiser": "new voice",
    "verifier": "check of the new voice",
}


def about(found: CardStatistics, tag: str | None) -> str:
    """One paragraph: how much, in which languages, which version."""
    total = found.tally
    languages = (
        ", ".join(f"`{escaped(name)}`" for name in sorted(found.languages)) or "a language that nobody named"
    )
    version = f" This card is about version `{tag}`." if tag else ""
    return (
        f"**{counted(total.conversations, 'conversation')} of two people, {span(total.seconds)}**, "
        f"{counted(total.utterances, 'utterance')}, in {languages}: stereo, word-aligned, with a style tag, "
        f"affect and prosody for every utterance.{version}"
    )


def models(found: CardStatistics, run: Mapping[str, Any]) -> str:
    """The models that had a part, with licences and links, and what ran them."""
    rows = [
        (
            escaped(_ROLES.get(one.role, one.role)),
            link(model_name(one.name), one.url),
            escaped(one.licence or "unknown"),
            f"{n:,}",
        )
        for one, n in sorted(found.models.items())
    ]
    packages = ", ".join(f"{told(name)} {told(number)}" for name, number in (run.get("packages") or {}).items())
    tools = " and ".join(escaped(name) for name in sorted(found.tools))
    parts = [
        table(("part", "model", "licence", "conversations"), rows),
        f"Made with {tools}{f' ({packages})' if packages else ''}.",
    ]
    return "\n\n".join(part for part in parts if part)


def settings(found: CardStatistics, run: Mapping[str, Any]) -> str:
    """The settings that decide what is in the data."""
    given = run.get("settings") or {}
    rows = [(name, [given[name]]) for name in _TAG_SETTINGS if given.get(name) not in (None, "", [])]
    rows += [(name, values) for name, values in found.decided if values not in ([None], [""], [[]])]
    voices = sorted(voice for voice in found.voices if voice)
    rows += [("voice", voices[:10])] if voices else []
    return table(
        ("setting", "value"), ((escaped(name.replace("_", " ")), listed(values)) for name, values in rows)
    )


def splits(found: CardStatistics, disjoint: str) -> str:
    """What no two splits share, said plainly."""
    if len(found.splits) < 2:
        return "There is one split, so nothing is held out for evaluation."
    n_named = len(found.shared)
    shared = sorted(name for name, where in found.shared.items() if len(where) > 1)
    unnamed = (UNNAMED, False) in found.speakers
    if disjoint == "speakers" and not shared and not unnamed:
        return (
            "No recorded (right) speaker is heard in two splits. Synthesised voices do not count: they are meant "
            "to be the same everywhere."
        )
    what = (
        "No recording has a part in two splits" if disjoint == "recordings" else "No conversation is in two splits"
    )
    if shared:
        why = f"{counted(len(shared), 'recorded speaker')} of {n_named:,} can be heard in more than one split"
        why += " (as with DailyTalk, which has two speakers in all)" if n_named <= 2 else ""
    else:
        why = "it is not known of every conversation who was recorded, so the same person may be in two splits"
    return (
        f"{what}. **Speakers are not held apart**: {why}. Figures on these splits say nothing about new speakers. "
        "Synthesised voices are the same in all splits, and do not count."
    )


def limits(found: CardStatistics) -> str:
    """What a user should know before trusting the data."""
    names = {one.role: set[str]() for one in found.models}
    for one in found.models:
        names[one.role].add(one.name)
    points = [
        "The left voice is synthesised: it has the manners and the accent of its model, not those of a person.",
        "Style tags come from rules over measures of the *source* performance. No person chose or checked them, "
        "and whether the synthesised voice does what its tag says has not been measured.",
        *_about_words(found, names.get("recogniser", set())),
        *_about_affect(names.get("affect", set())),
        f"Languages by conversations: {_by_language(found)}. Speech in others is missing, and so are the manners "
        "of talking of people who are not in the recordings.",
        *_left_out(found),
    ]
    rejected = table(
        ("rejected in", "why", "number"),
        ((told(stage), told(reason), f"{n:,}") for (stage, reason), n in sorted(found.tally.rejects.items())),
    )
    after = (
        f"Recordings, conversations and utterances that were rejected:\n\n{rejected}"
        if rejected
        else ("No recording and no conversation was rejected.")
    )
    return "\n".join(f"- {point}" for point in points) + f"\n\n{after}"


def licences(licence: str, name: str | None, origins: Sequence[Origin], warnings: Sequence[str]) -> str:
    """The card's licence, and those of everything it was made from, with what they ask."""
    said = (
        f"The dataset is under `{escaped(licence)}`"
        if licence != OTHER
        else (
            f"The dataset is under no licence that the Hub has an id for (`{escaped(name or OTHER)}`): those "
            "below hold together"
        )
    )
    rows = [
        (
            escaped("source" if one.role == "source" else _ROLES.get(one.role, one.role)),
            link(told(model_name(one.name)) if is_path(one.name) else one.name or "(not named)", one.url),
            told(one.licence or "**not known**") if one.licence else "**not known**",
            in_words(one.licence),
        )
        for one in origins
    ]
    notes = [f"- {escaped(model_name(one.name))}: {told(note)}." for one in origins if (note := _note(one))]
    return "\n\n".join(
        part
        for part in (
            f"{said}.",
            warned(warnings),
            table(("part", "of", "licence", "asks for"), rows),
            "\n".join(notes),
            "What a licence forbids, it forbids whatever this card says. This is no legal advice.",
        )
        if part
    )


def warned(warnings: Sequence[str]) -> str:
    """Warnings as lines that nobody overlooks."""
    return "\n".join(f"> **Warning:** {told(sentence)}.\n>" for sentence in warnings).removesuffix("\n>")


def changelog(history: Iterable[tuple[str, str, str]], changes: Mapping[str, Any]) -> str:
    """The versions, the newest first, and the last one's changes in numbers."""
    rows = [(f"`{escaped(tag)}`", escaped(date), told(words)) for tag, date, words in history]
    parts = [table(("version", "date", "what changed"), rows), _numbers(changes)]
    return "\n\n".join(part for part in parts if part) or "This is the first version."


def _numbers(changes: Mapping[str, Any]) -> str:
    """What `publish.compare` counted, as a sentence; empty for a first version."""
    if not changes.get("previous"):
        return ""
    moved = sum(one["count"] for one in changes.get("tags") or ())
    parts = [
        f"{counted(changes.get('added', 0), 'conversation')} added",
        *(f"{changes.get(name, 0):,} {name}" for name in ("removed", "changed")),
        f"{changes.get('moved', 0):,} moved to another split",
        *([f"{counted(moved, 'utterance')} with another tag"] if moved else []),
    ]
    return f"Against `{escaped(changes['previous'])}`: {', '.join(parts)}."


def _about_words(found: CardStatistics, recognisers: set[str]) -> list[str]:
    points = []
    sources = found.tally.word_sources
    total = sum(sources.values())
    if total:
        shares = ", ".join(f"`{escaped(name)}` {100 * n / total:.0f} %" for name, n in sources.most_common())
        guesses = " `proportional` times are guesses." if sources["proportional"] else ""
        points.append(f"How the times of words are known: {shares}.{guesses}")
    if recognisers - {"given"}:
        used = ", ".join(escaped(model_name(name)) for name in sorted(recognisers - {"given"}))
        points.append(
            f"Words were recognised by a machine ({used}) unless a transcript came with the recording; they hold "
            "errors, and the left voice says these errors aloud."
        )
    if "pocketsphinx" in recognisers:
        points.append("**pocketsphinx** hears clear readers of English well and everybody else badly: a preview.")
    return points


def _about_affect(raters: set[str]) -> list[str]:
    points = ["Affect, prosody and buckets describe the source performance, also where the left voice is new."]
    if "acoustic-estimate" in raters:
        points.append(
            "**Affect is an estimate** from loudness, pitch, rate and words (`acoustic-estimate`), not the rating "
            "of a trained model or of people."
        )
    return points


def _by_language(found: CardStatistics) -> str:
    known = ", ".join(f"`{escaped(name)}` {n:,}" for name, n in sorted(found.languages.items()))
    unknown = found.tally.conversations - sum(found.languages.values())
    return ", ".join(part for part in (known, f"not known {unknown:,}" if unknown else "") if part)


def _left_out(found: CardStatistics) -> list[str]:
    points = []
    statuses = found.tally.statuses
    if statuses["dropped"]:
        points.append(f"{counted(statuses['dropped'], 'utterance')} left out of the audio (`status: dropped`).")
    if statuses["kept-original"]:
        points.append(
            f"{counted(statuses['kept-original'], 'utterance')} on the left in the original voice "
            "(`kept-original`)."
        )
    if found.tally.reasons:
        reasons = "; ".join(f"{told(reason)} ({n:,})" for reason, n in found.tally.reasons.most_common(10))
        points.append(f"Why, in the words of the log: {reasons}.")
    return points


def _note(one: Origin) -> str:
    if one.note:
        return one.note
    if one.role == "source" or not one.name or one.licence in (None, "unknown") or is_path(one.name):
        return ""
    known = licence_of(one.name)
    return known.note if known.licence == one.licence else ""
