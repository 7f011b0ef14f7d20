"""The dataset card: its front matter, its sections and its figures.

Everything in a card comes from the published rows, so that it can't promise what is not there; text that people
have written into it stays. The same data gives the same text and plots.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import quote

from datasets import DatasetInfo
from datasets.splits import SplitDict, SplitInfo

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.audio import read_at
from dailytalk_contiguous.core.documents import expect, is_number, parse_json
from dailytalk_contiguous.core.emotions import AFFECT_MAP
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, OPTIONAL, SPLITS, is_recorded
from dailytalk_contiguous.core.tables import TableMaker
from dailytalk_contiguous.core.tally import UNKNOWN, Tally
from dailytalk_contiguous.core.utterance import FIELDS, Column, Field, type_in_words
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish import conversation_sections, corpus_sections, front_matter
from dailytalk_contiguous.publish import sections as report
from dailytalk_contiguous.publish.clip_figures import findings_of_clips
from dailytalk_contiguous.publish.corpus_sections import A_GUESS
from dailytalk_contiguous.publish.manifest import DataFile, Packed, PublishedRow
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.player import to_mp3
from dailytalk_contiguous.publish.plots import PNG_PIXELS, HistogramPlot, sheet
from dailytalk_contiguous.publish.render import (
    Code,
    Link,
    Strong,
    TableCell,
    credit_cells,
    escaped,
    is_path,
    markdown_cell,
    markdown_table,
    model_name,
    public_cell,
    terms_cell,
)
from dailytalk_contiguous.publish.verdict import MOST_FINDINGS, Verdict, all_findings, verdict_of
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import json_document
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import STATS


def origins_of(tally: Tally) -> list[licensing.Origin]:
    """Return the sources of rows, then the models that made them."""
    sources = sorted(tally.sources, key=lambda source: (source[0] or "", source[1] or ""))
    return [licensing.Origin("source", name or "", licence) for name, licence in sources] + tally.origins()


def derived(sources: Collection[str | None], models: Sequence[licensing.Origin]) -> str:
    """Return the id of the licence that follows from those of sources and models, or `other`."""
    if len(set(sources)) != 1:
        return licensing.OTHER
    licence = (next(iter(sources)) or "").strip().lower()
    fits = licence in licensing.OF_DATA and not warnings(
        licence, [licensing.Origin("source", "", licence), *models]
    )
    return licence if fits else licensing.OTHER


def warnings(licence: str, origins: Sequence[licensing.Origin]) -> tuple[str, ...]:
    """Return a sentence for each way in which a card's licence promises more than its sources and models allow.

    Args:
        licence: the card's, an id of the Hub.
        origins: sources have the role `source`. Of models only the ban on commercial use extends to what they
            made; of sources everything does, as resynthesised conversations are changed versions of them.
    """
    return tuple(dict.fromkeys(sentence for origin in origins for sentence in _against(licence, origin)))


def _against(licence: str, origin: licensing.Origin) -> list[str]:
    source = origin.role == "source"
    who = f"the {'source' if source else 'model'} {origin.name}" if origin.name else "the source"
    terms, own_terms = licensing.asked(origin.licence), licensing.asked(licence)
    if source and "changes" in terms.what:
        return [f"{who} is under {origin.licence}, which allows no changed versions, and this is one"]
    if licence == licensing.OTHER:
        return []
    if not terms.known:
        if source and not origin.licence:
            return [f"the licence of {who} is not known, so that nobody can say whether {licence} may be given"]
        return [
            f"{who} is under terms that have to be read ({origin.licence}); {licence} may allow more than they do"
        ]
    binding = (terms.what if source else terms.what & {"commercial"}) - own_terms.what
    if licence not in licensing.PUBLIC_DOMAIN:  # all others keep the author's name
        binding -= {"naming"}
    return [
        f"{who} is under {origin.licence} ({licensing.SAYS[what]}), which {licence} does not say"
        for what in sorted(binding)
    ]


_MARKER = re.compile(r"<!-- dailytalk:([a-z_]+):(start|end) -->")
_WRITTEN = re.compile(r"<!-- dailytalk:written (\{.*\}) -->")


def sections_of(text: str) -> dict[str, str]:
    """Return the sections in a text by name, in order, with their markers.

    Raises CardDamaged: a start without an end, an end without a start, one inside another, or one twice.
    """
    sections: dict[str, str] = {}
    opened: tuple[str, int] | None = None
    for marker in _MARKER.finditer(text):
        name, edge = marker[1], marker[2]
        if edge == "start" and (opened or name in sections):
            raise _damaged(opened[0] if opened else name, "has no end" if opened else "is there twice")
        if edge == "start":
            opened = name, marker.start()
        elif opened is None or opened[0] != name:
            raise _damaged(name, "has an end without a start")
        else:
            sections[name] = text[opened[1] : marker.end()]
            opened = None
    if opened:
        raise _damaged(opened[0], "has no end")
    return sections


_WRITTEN_SHAPE = {"sections?": [str], "values?": dict, "contact?": str}


def written_of(text: str) -> dict[str, Any]:
    """Return the record of our last version: `sections`, a list of names, `values` of the front matter, `contact`.

    It is a comment of one line in the card, by which the next version distinguishes a section that was removed by
    hand from a new one, and a value set by hand from one of ours. Empty for a card without it. Raises CardDamaged
    if it can't be read.
    """
    match = _WRITTEN.search(text)
    if match is None:
        return {}
    try:
        written = expect(parse_json(match[1], "the card"), _WRITTEN_SHAPE, "the card")
    except BadInput:
        raise front_matter.CardDamaged(
            "the card's comment <!-- dailytalk:written … --> can't be read", "take it out of README.md"
        ) from None
    return dict(written)


def update_body(
    body: str, title: str, sections: Mapping[str, str], values: Mapping[str, Any], contact: str | None = None
) -> str:
    """Return a card's body with our sections as they are now; a new card begins with the title.

    A section is between `<!-- dailytalk:NAME:start -->` and `<!-- dailytalk:NAME:end -->`; every other byte stays
    as it was. One of `sections` that was in the card and was removed stays out; one that the card has never had is
    added at the end. `values` and `contact` are remembered for the next version (see `written_of`).

    Raises CardDamaged as `sections_of` and `written_of` do.
    """
    line = "\r\n" if "\r\n" in body else "\n"
    present = sections_of(body)
    unwritten = list(sections) if present.keys() & sections.keys() else []
    sections_before = written_of(body).get("sections") or unwritten
    for name, old in present.items():
        if name in sections:
            body = body.replace(old, sections[name].replace("\n", line), 1)
    known = {*present, *sections_before}
    new = [text.replace("\n", line) for name, text in sections.items() if name not in known]
    names = list(dict.fromkeys([*sections_before, *sections]))
    memory: dict[str, Any] = {"sections": names, "values": dict(values)}
    memory |= {"contact": contact} if contact else {}
    # `>` could end the comment from within.
    remembered = json.dumps(memory, ensure_ascii=False, sort_keys=True).replace(">", "\\u003e")
    comment = f"<!-- dailytalk:written {remembered} -->"
    has_comment = _WRITTEN.search(body) is not None
    body = _WRITTEN.sub(lambda _: comment, body, count=1)
    parts = ([f"# {title}"] if not body.strip() else []) + new + ([] if has_comment else [comment])
    if not parts:
        return body
    before = body if not body or body.endswith(line * 2) else body.rstrip("\r\n") + line * 2
    return before + (line * 2).join(parts) + line


def _damaged(name: str, problem: str) -> front_matter.CardDamaged:
    return front_matter.CardDamaged(
        f"the card's section {name!r} {problem}",
        f"mend the markers <!-- dailytalk:{name}:… --> in README.md, or take them all out",
    )


#: The picture of the measures that other corpora have, too.
SCORECARD = "assets/scorecard.png"


def statistics(tally: Tally, packed: Packed, assets: dict[str, bytes]) -> str:
    """Return the figures of a dataset as Markdown; pictures go into `assets` by their path in the repository."""
    rows = {
        config: sum(file.rows for files in splits.values() for file in files)
        for config, splits in packed.configs.items()
        if config != "conversations"
    }
    others = [f"The config `{config}` has {counted(n, 'row')}." for config, n in rows.items()]
    style = (
        conversation_sections.tags_plot(tally),
        conversation_sections.tags_table(tally),
        conversation_sections.affect_plot(tally),
        conversation_sections.tag_affect_plot(tally),
        conversation_sections.tag_measures_table(tally),
        report.measures_table(tally),
        conversation_sections.buckets_table(tally),
        conversation_sections.confidence_plot(tally),
    )
    texts = [
        report.markdown([conversation_sections.splits_table(tally)]),
        " ".join(others),
        report.markdown(
            (conversation_sections.durations_plot(tally), *conversation_sections.voice_tables(tally), *style),
            assets,
        ),
        report.markdown(
            corpus_sections.emotion_parts(corpus_sections.CorpusFigures(tally, unit="utterance")), assets
        ),
        report.markdown(conversation_sections.published_tables(tally)),
    ]
    return "\n\n".join(filter(None, texts))


def turns_of_card(tally: Tally, assets: dict[str, bytes]) -> str:
    """Return turn-taking and its measures beside other corpora; plots are in one picture, figures in `STATS`."""
    parts = conversation_sections.scorecard_parts(tally)
    plots = [part for part in parts if isinstance(part, HistogramPlot) and part.reaches]
    pictures = []
    assets[STATS] = json_document(tally.stats()).encode()
    if plots:
        assets[SCORECARD] = sheet(plots, 2, width=PNG_PIXELS)
        names = ", ".join(plot.title.partition(" (")[0].lower() for plot in plots)
        pictures.append(f"![Distributions over conversations, before other corpora: {names}]({SCORECARD})")
    texts = [
        report.markdown(conversation_sections.turn_parts(tally), assets),
        report.markdown(part for part in parts if not isinstance(part, HistogramPlot)),
        *pictures,
    ]
    return "\n\n".join(filter(None, texts))


def about(tally: Tally, tag: str | None) -> str:
    total = tally.total
    languages = ", ".join(f"`{escaped(name)}`" for name in _languages(tally)) or "a language that nobody named"
    version = f" This card is about version `{tag}`." if tag else ""
    return (
        f"**{counted(total.conversations, 'conversation')} of two people, {length_text(total.seconds)}**, "
        f"{counted(total.utterances, 'utterance')}, in {languages}: stereo, word-aligned, with a style tag, "
        f"affect and prosody for every utterance.{version}"
    )


#: Which channel holds whose voice, in a sentence and in a few words: of what was rebuilt, and as it was recorded.
_CHANNELS = (
    "**Left** is a voice that was synthesised from the transcript of the speaker who was recorded there, each "
    "sentence with a style tag; **right** is the other person as recorded. Who speaks when, who interrupts and "
    'who says "mm-hm" follows the recording.',
    "left the synthesised voice, right the recorded one",
)
_CHANNELS_AS_RECORDED = (
    "Both are as they were recorded: two real voices, **left** and **right**, and nothing in them or between "
    "them was moved or synthesised.",
    "each speaker on a channel, as recorded",
)

_CHANNELS_REBUILT = (
    "Both voices are as they were recorded, **left** and **right**: nothing in them was changed, only when they "
    "speak.",
    "each speaker on a channel, at other times than recorded",
)


def channels(tally: Tally) -> dict[str, str]:
    sentence, words = (
        _CHANNELS if tally.revoiced else _CHANNELS_REBUILT if tally.derived else _CHANNELS_AS_RECORDED
    )
    if tally.revoiced and tally.recorded:
        n = tally.total.conversations
        rebuilt = f"{n - tally.recorded:,} of {counted(n, 'conversation')}"
        sentence = f"In {rebuilt} {sentence.replace('**Left**', '**left**')} "
        sentence += "In the others both voices are as they were recorded (`timeline.mode` is `recorded`)."
    if made := conversation_sections.origin_text(tally):
        sentence += (
            f" **{made}**: what that changed comes from elsewhere, and nobody knows what a model learns from it."
        )
    return {"channels": sentence, "channels_in_words": words}


_VOICES_APART = " Synthesised voices do not count: they are meant to be the same everywhere."


def splits(tally: Tally, disjoint: str) -> str:
    if len(tally.by["split"]) < 2:
        return "There is one split, so nothing is held out for evaluation."
    n_named = len(tally.splits_of)
    shared = sorted(name for name, splits_of_name in tally.splits_of.items() if len(splits_of_name) > 1)
    unnamed = UNKNOWN in tally.by["speaker"]
    if disjoint == "speakers" and not shared and not unnamed:
        who = "recorded (right) speaker" if tally.revoiced else "speaker"
        return f"No {who} is heard in two splits.{_VOICES_APART if tally.revoiced else ''}"
    whole = "recording has a part" if disjoint == "recordings" else "conversation is"
    what = f"No {whole} in two splits"
    if shared:
        why = f"{counted(len(shared), 'recorded speaker')} of {n_named:,} can be heard in more than one split"
        why += " (as with DailyTalk, which has two speakers in all)" if n_named <= 2 else ""
    else:
        why = "it is not known of every conversation who was recorded, so the same person may be in two splits"
    return (
        f"{what}. **Speakers are not held apart**: {why}. Figures on these splits say nothing about new speakers."
        f"{_VOICES_APART if tally.revoiced else ''}"
    )


_ESTIMATE = (
    "**Affect is an estimate** from loudness, pitch, rate and words (`acoustic-estimate`), not the rating of a "
    "trained model or of people."
)

_SYNTHESISED = (
    "The left voice is synthesised: it has the manners and the accent of its model, not those of a person."
)
_TAGS_OF_VOICE = (
    ", and whether the synthesised voice does what its tag says is known from measures, not from listeners."
)
_OF_SOURCE = "Affect, prosody and buckets describe the source performance, also where the left voice is new."


def limits(tally: Tally) -> str:
    """Return the limitations, counted in the rows themselves: users have nothing else to judge the data by."""
    models = tally.origins()
    names = {model.role: set[str]() for model in models}
    for model in models:
        names[model.role].add(model.name)
    sums = tally.by["language"]
    languages = [f"`{escaped(name)}` {sums[name].conversations:,}" for name in _languages(tally)]
    languages += [f"not known {sums[UNKNOWN].conversations:,}"] if UNKNOWN in sums else []
    of_voice = _TAGS_OF_VOICE if tally.revoiced else "."
    if unsaid := tally.tags_said[False]:
        of_voice = f", and {unsaid:,} lines were said without theirs (`tag_said`)."
    points = [
        *([_SYNTHESISED] if tally.revoiced else []),
        "Style tags come from rules over measures of the *source* performance. No person chose or checked them"
        f"{of_voice}",
        *_about_words(tally, names.get("recogniser", set())),
        *([_OF_SOURCE] if tally.revoiced else []),
        *([_ESTIMATE] if "acoustic-estimate" in names.get("affect", ()) else []),
        *_about_emotion(tally),
        f"Languages by conversations: {', '.join(languages)}. Speech in others is missing, and so are the manners "
        "of talking of people who are not in the recordings.",
    ]
    statuses = tally.statuses
    if statuses["dropped"]:
        points.append(f"{counted(statuses['dropped'], 'utterance')} left out of the audio (`status: dropped`).")
    if statuses["kept-original"]:
        kept = counted(statuses["kept-original"], "utterance")
        points.append(f"{kept} on the left in the original voice (`kept-original`).")
    if tally.reasons:
        reasons = "; ".join(f"{public_cell(reason)} ({n:,})" for reason, n in tally.reasons.most_common(10))
        points.append(f"Why, in the words of the log: {reasons}.")
    return "\n".join(f"- {point}" for point in points)


def licence_section(
    licence: str, name: str | None, origins: Sequence[licensing.Origin], warnings: Sequence[str]
) -> str:
    sentence = f"The dataset is under `{escaped(licence)}`"
    if licence == licensing.OTHER:
        sentence = "The dataset is under no licence that the Hub has an id for "
        sentence += f"(`{escaped(name or licensing.OTHER)}`): those below hold together"
    rows: list[tuple[TableCell, ...]] = []
    notes = []
    for origin in origins:
        name_cell = Link(model_name(origin.name) or "(not named)", origin.url)
        terms = (origin.licence or Strong("not known"), terms_cell(origin.licence))
        rows.append((report.ROLES.get(origin.role, origin.role), name_cell, *terms))
        known = licence_of(origin.name)
        is_model = origin.role != "source" and origin.name and not is_path(origin.name)
        is_as_known = is_model and origin.licence == known.licence not in (None, "unknown")
        if note := origin.note or (known.note if is_as_known else ""):
            notes.append(f"- {escaped(model_name(origin.name))}: {public_cell(note)}.")
    parts = (
        f"{sentence}.",
        warned(warnings),
        markdown_table(("part", "of", "licence", "asks for"), rows),
        "\n".join(notes),
        "What a licence forbids, it forbids whatever this card says. This is no legal advice.",
    )
    return "\n\n".join(filter(None, parts))


def warned(warnings: Sequence[str]) -> str:
    return "\n".join(f"> **Warning:** {public_cell(sentence)}.\n>" for sentence in warnings).removesuffix("\n>")


def changelog(history: Iterable[tuple[str, str, str]], changes: Mapping[str, Any]) -> str:
    rows = [(Code(tag), date, words) for tag, date, words in history]
    parts = [markdown_table(("version", "date", "what changed"), rows), _numbers(changes)]
    return "\n\n".join(part for part in parts if part) or "This is the first version."


def _numbers(changes: Mapping[str, Any]) -> str:
    """The figures of `publish.compare` in a sentence; empty for a first version."""
    if not changes.get("previous"):
        return ""
    moved = sum(change["count"] for change in changes.get("tags") or ())
    parts = [
        f"{counted(changes.get('added', 0), 'conversation')} added",
        *(f"{changes.get(name, 0):,} {name}" for name in ("removed", "changed")),
        f"{changes.get('moved', 0):,} moved to another split",
        *([f"{counted(moved, 'utterance')} with another tag"] if moved else []),
    ]
    return f"Against `{escaped(changes['previous'])}`: {', '.join(parts)}."


def _about_words(tally: Tally, recognisers: set[str]) -> list[str]:
    points = []
    sources = tally.word_sources
    total = sum(sources.values())
    if total:
        shares = ", ".join(f"`{escaped(name)}` {100 * n / total:.0f} %" for name, n in sources.most_common())
        guesses = " `proportional` times are guesses." if sources["proportional"] else ""
        points.append(f"How the times of words are known: {shares}.{guesses}")
    if tally.edited:
        edits = f"{counted(tally.edited, 'utterance')} ({escaped(conversation_sections.edits_text(tally))}"
        points.append(f"People corrected {edits}; `edited_by`, `edited_fields`).")
    if recognisers - {"given"}:
        used = ", ".join(escaped(model_name(name)) for name in sorted(recognisers - {"given"}))
        points.append(
            f"Words were recognised by a machine ({used}) unless a transcript came with the recording; they hold "
            f"errors{', and the left voice says these errors aloud' if tally.revoiced else ''}."
        )
    return points


def _about_emotion(tally: Tally) -> list[str]:
    if not tally.emotion_models:
        return []
    estimate = " Here they are an **estimate** (`affect-map`)." if AFFECT_MAP in tally.emotion_models else ""
    return [f"{A_GUESS} Acted speech, which classifiers are mostly trained on, is unlike real talk.{estimate}"]


def _languages(tally: Tally) -> list[str]:
    return sorted(tally.by["language"].keys() - {UNKNOWN})


#: Path of the sound in the repository, its seconds at most, and its rate in Hz.
SAMPLE, SAMPLE_SECONDS, SAMPLE_RATE = "assets/sample.mp3", 30.0, 24000

#: How many utterances and words of the row are shown, and their fields.
_ROW_UTTERANCES, _ROW_WORDS = 2, 3
_UTTERANCE_FIELDS = (
    *("channel", "start", "end", "event", "tagged_text", "text", "tag", "valence", "arousal", "speech_rate"),
    *("status", "confidence"),
)
_LABEL_FIELDS = ("corpus", "emotion", "style", "intensity", "gender", "agreement", "split")

#: Characters that could end a block of code or a comment, or begin a section.
_UNSAFE_IN_CODE = re.compile("[<>`]")


class CardRows:
    """The rows of a version as a card describes them, added in the order of the version.

    Attributes:
        tally, maker: of all rows.
        labelled: whether they are clips.
        example: the row to listen to: the one with most going on in its first half minute, of several the first.
            None without rows.
    """

    def __init__(self, fields: Sequence[Field] = ()) -> None:
        self.tally, self.maker, self.labelled = Tally(fields=fields), TableMaker(fields=fields), False
        self.example: Mapping[str, Any] | None = None
        self._score: tuple[int, ...] = ()

    def add(self, published: PublishedRow) -> None:
        row = {"labels": None, **dict.fromkeys(OPTIONAL), **published.row, "split": published.split}
        if row["labels"]:
            self.labelled = True
            row["labels"] = row["labels"] | {"weight": published.listed}
        self.tally.add(row, published.split)
        self.maker.add(row, published.split)
        first = [
            utterance
            for utterance in row["utterances"] or ()
            if is_number(utterance["start"]) and utterance["start"] < SAMPLE_SECONDS
        ]
        different = ({utterance[name] for utterance in first} for name in ("event", "channel", "tag"))
        score = (*map(len, different), len(first))
        if not self._score or score > self._score:
            self.example, self._score = row, score


def sample_section(
    row: Mapping[str, Any] | None, version: Version, facts: "CardFacts", assets: dict[str, bytes]
) -> dict[str, str]:
    """Return an element that plays the sound of a row, and a part of the row; empty where it can't be read.

    The sound goes into `assets`. The address has the revision, so that the card keeps playing its own version.
    """
    if row is None:
        return {"sample": "", "example": ""}
    whole, name = row["duration"] or 0.0, escaped(row["conversation_id"])
    try:
        audio = row.get("audio") or open_items(version).sound(row["conversation_id"]).audio
        samples = read_at(audio, SAMPLE_RATE, 0.0, min(whole, SAMPLE_SECONDS))
        assets[SAMPLE] = to_mp3(samples, SAMPLE_RATE)
    except BadInput:
        return {"sample": "", "example": example_row(row)}
    address = f"{_HOME}/{facts.repo}/resolve/{facts.tag or 'main'}/{SAMPLE}"
    part = "All" if whole <= SAMPLE_SECONDS else f"The first {SAMPLE_SECONDS:g} seconds"
    sides = "the clip" if row["labels"] else (_CHANNELS_AS_RECORDED if is_recorded(row) else _CHANNELS)[1]
    player = f'<audio controls preload="none" src="{quote(address, safe=":/@")}"></audio>'
    return {
        "sample": f"{player}\n\n{part} of {name} (split `{row['split']}`): {sides}.",
        "example": example_row(row),
    }


def example_row(row: Mapping[str, Any]) -> str:
    """Return a part of a row as a block of JSON: some fields, and the first utterances and words."""
    utterances, words = row["utterances"] or (), row["alignments"] or ()
    labels = {name: value for name, value in (row.get("labels") or {}).items() if name in _LABEL_FIELDS and value}
    parts = {
        **{name: _code(row[name]) for name in ("conversation_id", "duration", "language", "sample_rate")},
        "utterances": _code_list(
            _some(utterance, _UTTERANCE_FIELDS) for utterance in utterances[:_ROW_UTTERANCES]
        ),
        "alignments": _code_list(_some(word, tuple(word)) for word in words[:_ROW_WORDS]),
        **({"labels": _code(labels)} if labels else {}),
    }
    text = ",\n".join(f"  {json.dumps(name)}: {value}" for name, value in parts.items())
    shown = f"{min(len(utterances), _ROW_UTTERANCES)} of {counted(len(utterances), 'utterance')}"
    shown += f" and {min(len(words), _ROW_WORDS)} of {counted(len(words), 'word')}"
    return f"A row, with some of its fields, {shown}:\n\n```json\n{{\n{text}\n}}\n```"


def _some(value: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if value.get(name) is not None}


def _code(value: Any) -> str:
    """A value as JSON that ends no block of code; numbers with three decimals."""
    text = json.dumps(_rounded(value), ensure_ascii=False)
    return _UNSAFE_IN_CODE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _code_list(values: Iterable[Any]) -> str:
    lines = ",\n".join(f"    {_code(value)}" for value in values)
    return f"[\n{lines}\n  ]" if lines else "[]"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


def quality_section(verdict: Verdict) -> str:
    """Return the verdict and its findings; remedies are for people who build the data (`dailytalk check`)."""
    points = [
        f"- **{finding.severity}:** {public_cell(finding.sentence)}."
        for finding in verdict.findings[:MOST_FINDINGS]
    ]
    if more := verdict.findings[MOST_FINDINGS:]:
        points.append(f"- {counted(len(more), 'more finding')}: `dailytalk check` lists them.")
    return "\n\n".join(filter(None, (f"**Verdict: {public_cell(verdict.headline)}.**", "\n".join(points))))


#: The web page of datasets, even if another server was used for the upload.
_HOME = "https://huggingface.co/datasets"

#: Ids of the Hub's list of tasks; recognition is not among them, as most transcripts are a recogniser's.
TASKS = ("text-to-speech", "audio-to-audio")

#: The same for clips.
CLIP_TASKS = ("text-to-speech", "audio-classification")
CLIP_TAGS = ("speech", "expressive", "emotion", "style", "prosody", "word-alignment")

TAGS = ("speech", "dialogue", "full-duplex", "turn-taking", "prosody", "emotion", "word-alignment", "moshi")

#: The Hub's names of sizes, in rows.
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


@dataclass(frozen=True)
class CardFacts:
    """Facts of a card that do not come from the data.

    Attributes:
        repo: `OWNER/NAME`.
        tag: of this version, or None.
        licence: an id of the Hub such as `cc-by-4.0`; None: that of the card, else the one that follows from the
            sources.
        pretty_name: a title; None: that of the card, else the name.
        history: tag, ISO date, and the changes in words, of each version; the newest first.
        changes: numbers from `publish.compare`.
        contact: how to reach the publisher; None: that of an earlier version, else the repository's discussions.
    """

    repo: str
    tag: str | None
    licence: str | None = None
    pretty_name: str | None = None
    history: tuple[tuple[str, str, str], ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    contact: str | None = None

    def __post_init__(self) -> None:
        if self.licence and self.licence != self.licence.lower():
            raise DailytalkError(f"the Hub knows no licence {self.licence!r}", f"write {self.licence.lower()!r}")
        if self.contact and ("<!--" in self.contact or "```" in self.contact):
            reason = "the contact holds <!-- or ```, which would end its part of the card"
            raise DailytalkError(reason, "leave it out")


@dataclass(frozen=True)
class Card:
    """A card: its text, its plots (PNG by name in the repository), and warnings about its licence."""

    text: str
    assets: dict[str, bytes]
    warnings: tuple[str, ...]


def render_card(
    old: str | None,
    packed: Packed,
    version: Version,
    rows: CardRows,
    facts: CardFacts,
    run: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Card:
    """Render the card of a version.

    Args:
        old: the card in the repository, or None.
        version: the files of `packed`, opened for reading.
        rows: those of `conversations`; `tally` counts rejects, too.
        run: `run.json` of the work folder; {} where there is none.
        defaults: of `cli.defaults.default_settings`.

    Raises CardDamaged if the markers or the front matter of `old` are damaged.
    """
    tally, tables = rows.tally, rows.maker.tables()
    figures = corpus_sections.CorpusFigures.of_run(run, tally=tally) if rows.labelled else None
    front, body = front_matter.divide(old or "")
    memory = written_of(body)
    values_before, last = front_matter.values_of(front), memory.get("values") or {}
    contact = facts.contact or memory.get("contact")
    origins = origins_of(tally)
    values_now = _values(tally, packed, version, facts, figures, origins)
    chosen = [
        *(front_matter.LICENCE_KEYS if facts.licence else ()),
        *(("pretty_name",) if facts.pretty_name else ()),
    ]
    values_before |= {key: values_now[key] for key in chosen}
    values = front_matter.merge(
        values_before, values_now, {key: value for key, value in last.items() if key not in chosen}
    )
    assets: dict[str, bytes] = {}
    sentences = (sentence for licence in _chosen(values) for sentence in warnings(licence, origins))
    against = tuple(dict.fromkeys(sentences))
    if figures:
        filled = _filled_of_clips(figures, packed, facts.tag, assets)
    else:
        filled = {
            "about": about(tally, facts.tag),
            **channels(tally),
            "fields": fields_table((*FIELDS, *packed.fields), ("line",)),
            "statistics": statistics(tally, packed, assets),
            "turns": turns_of_card(tally, assets) or "No utterance has times, so there is nothing to measure.",
            "splits": splits(tally, packed.disjoint),
            "limits": limits(tally),
        }
    rejected = report.markdown([report.rejected_table(tally)])
    filled["limits"] += f"\n\n{rejected or 'No recording and no conversation was rejected.'}"
    licences = ", ".join(_chosen(values))
    filled |= {
        "repo": facts.repo,
        "split": next(iter(tally.by["split"]), "train"),
        "revision": f', revision="{facts.tag}"' if facts.tag else "",
        "revision_option": f" --revision {facts.tag}" if facts.tag else "",
        "warnings": warned(against),
        "made": report.markdown(conversation_sections.made_parts(tally, run, defaults)),
        "licences": licence_section(licences, values.get("license_name"), origins, against),
        "contact": f"To have a recording of yourself removed, write to "
        f"{contact or f'{_HOME}/{facts.repo}/discussions'} and name the conversation's id; "
        "it is taken out of the next version, and old versions that hold it should be deleted.",
        "citation": _citation(facts, str(values["pretty_name"])),
        "changelog": changelog(facts.history, facts.changes),
    }
    filled |= sample_section(rows.example, version, facts, assets)
    findings = findings_of_clips(figures, tables, run) if figures else all_findings(tables, run)
    filled["quality"] = quality_section(verdict_of(findings, tables.n))
    # Values that the next version may change, because no person chose them; those of files are always ours.
    written = {
        key: value
        for key, value in values_now.items()
        if key not in (*chosen, *front_matter.BY_CONFIG)
        and (
            isinstance(value, list)
            or (values.get(key) == value and values_before.get(key) in (None, last.get(key)))
        )
    }
    new_front = front_matter.rewrite(front, values)
    line = "\r\n" if "\r\n" in new_front else "\n"
    template = card_template(CLIPS_CARD if figures else CONVERSATIONS_CARD)
    sections = {}
    for name, raw in sections_of(template).items():  # without the empty lines that empty values leave
        text = re.sub(r"\n{3,}", "\n\n", Template(raw).substitute(filled))
        sections[name] = text.replace("\n\n<!-- ", "\n<!-- ")
    new_body = update_body(body, escaped(values["pretty_name"]), sections, written, contact)
    return Card(f"---{line}{new_front}---{line}{new_body}", assets, against)


#: Templates of cards: of conversations, and of clips.
CONVERSATIONS_CARD, CLIPS_CARD = "card.md", "clips.md"


def card_template(name: str = CONVERSATIONS_CARD) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _values(
    tally: Tally,
    packed: Packed,
    version: Version,
    facts: CardFacts,
    clips: corpus_sections.CorpusFigures | None,
    origins: Sequence[licensing.Origin],
) -> dict[str, Any]:
    models = [origin for origin in origins if origin.role != "source"]
    licence = facts.licence or derived([origin.licence for origin in origins if origin.role == "source"], models)
    is_other = licence == licensing.OTHER
    configs = {
        config: {split: packed.configs[config][split] for split in SPLITS if split in packed.configs[config]}
        for config in CONFIGS
        if config in packed.configs
    }
    rows = tally.total.conversations + tally.total.copies
    return {
        "license": licence,
        "license_name": "see-the-card" if is_other else None,
        "license_link": f"{_HOME}/{facts.repo}#licences" if is_other else None,
        "pretty_name": facts.pretty_name or facts.repo.partition("/")[2].replace("-", " ").replace("_", " "),
        "language": _languages(tally) or None,
        "task_categories": list(CLIP_TASKS if clips else TASKS),
        "tags": list(CLIP_TAGS if clips else TAGS),
        "size_categories": [next(size for power, size in enumerate(_SIZES) if rows < 1000 * 10**power)],
        "configs": [  # where their files are, as `Dataset.push_to_hub` writes it
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}-*"} for split in splits],
            }
            | ({"default": True} if config == "conversations" else {})
            for config, splits in configs.items()
        ],
        "dataset_info": [_info(config, splits, version) for config, splits in configs.items()],
    }


def _info(config: str, splits: Mapping[str, Sequence[DataFile]], version: Version) -> dict[str, Any]:
    """Columns and sizes of a config. `num_bytes` are those of the columns before compression."""
    parts = {}
    for split, files_of_split in splits.items():
        n_bytes = 0
        for file in files_of_split:
            with open_parquet(file.path, "push again") as opened:
                n_bytes += opened.plain_bytes()
        parts[split] = SplitInfo(split, n_bytes, sum(file.rows for file in files_of_split))
    info = DatasetInfo(
        features=version.features(config),
        splits=SplitDict(parts),
        download_size=sum(file.size for files in splits.values() for file in files),
        dataset_size=sum(part.num_bytes for part in parts.values()),
    )
    return {"config_name": config, **info._to_yaml_dict()}


def _chosen(values: Mapping[str, Any]) -> list[str]:
    """The card's licences: the Hub takes one or a list."""
    licence = values["license"]
    return [str(name) for name in licence] if isinstance(licence, list) else [str(licence)]


#: A label that can be written into a line of code.
_PLAIN = re.compile(r"[\w ./-]+")


def _filled_of_clips(
    figures: corpus_sections.CorpusFigures, packed: Packed, tag: str | None, assets: dict[str, bytes]
) -> dict[str, str]:
    tally, speakers = figures.tally, figures.tally.splits_of
    shared = sum(len(splits_of_speaker) > 1 for splits_of_speaker in speakers.values())
    apart = (
        "No speaker is heard in two splits."
        if packed.disjoint == "speakers"
        else f"**Speakers are not held apart**: {shared:,} of {counted(len(speakers), 'speaker')} can be heard in "
        "more than one split, so figures on these splits say nothing about new speakers."
    )
    points = [
        *([] if not tally.word_sources["proportional"] else ["Word times `proportional` are guesses."]),
        "Emotions and styles are those of the corpora, which name and act them differently; tags, and styles "
        "whose `style_source` is `rule`, come from rules over measures, and no person checked them.",
        *_about_emotion(tally),
    ]
    about_version = f" This card is about version `{tag}`." if tag else ""
    languages = ", ".join(f"`{escaped(name)}`" for name in _languages(tally)) or "a language that nobody named"
    labels = report.markdown(corpus_sections.label_parts(figures))
    affect = report.affect_maps("Valence and arousal by emotion", tally.affect, "clip", "affect_by_emotion")
    pictures = (
        conversation_sections.tags_table(tally),
        *corpus_sections.crossed_parts(figures),
        affect,
        report.measures_table(tally),
    )
    style = report.markdown(pictures, assets)
    examples = {  # a value that a clip has, for the lines that load by one
        name: next((value for value in tally.by[name] if value != UNKNOWN and _PLAIN.fullmatch(value)), None)
        for name in ("emotion", "style", "speaker")
    }
    held = [file for files in packed.configs[CONFIGS[0]].values() for file in files]  # copies and prompts, too
    n_clips, seconds = counted(sum(file.rows for file in held), "clip"), sum(file.seconds for file in held)
    return {
        "about": f"**{n_clips}, {length_text(seconds)}**, in {languages}: with emotion, style, speaker, word "
        f"times, affect and prosody.{about_version}",
        "statistics": "\n\n".join(filter(None, (labels, style))),
        "splits": f"They are those that the corpus was built with; `labels.official_split` has the corpus's "
        f"own, where it publishes splits. {apart}",
        "limits": "\n".join(f"- {point}" for point in points),
        "credits": markdown_table(("source", "licence", "citation"), map(credit_cells, figures.credits)),
        "fields": fields_table((*FIELDS, *packed.fields), ("line", "built")),
        **{name: json.dumps(value) if value else "None" for name, value in examples.items()},
    }


def fields_table(fields: Iterable[Field], without: tuple[str, ...]) -> str:
    """Return the fields of an utterance as a table, `without` those of some parts; text of people is escaped."""
    lines = ["| field | type, unit, range | what |", "|---|---|---|"]
    for column in fields:
        if column.part not in without and not isinstance(column, Column):
            cells = [", ".join(filter(None, (type_in_words(column.feature), column.unit))), column.about]
            shown = cells if column in FIELDS else map(markdown_cell, cells)
            lines.append(f"| `{column.name}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def _citation(facts: CardFacts, title: str) -> str:
    owner, _, name = facts.repo.partition("/")
    year = facts.history[0][1][:4] if facts.history else ""
    lines = {
        "title": _latex(title),
        "author": _latex(owner),
        "year": year,
        "version": facts.tag or "",
        "howpublished": f"\\url{{{_HOME}/{facts.repo}}}",
    }
    fields = ",\n".join(f"  {key} = {{{value}}}" for key, value in lines.items() if value)
    return f"@misc{{{name},\n{fields}\n}}"


def _latex(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\`\s]+", " ", text))
