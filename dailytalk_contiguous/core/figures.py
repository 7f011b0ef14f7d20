"""Figures of a dataset: named queries of its tables (`core.tables`), one a figure that somebody reads.

Utterances are counted if they are in the audio (`heard`), unless a query says otherwise; copies of clips count
only where they are named. A value that is not known is `UNKNOWN`.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import fits, parse_json, typed
from dailytalk_contiguous.core.emotions import UNSURE
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.fields import Column, columns_among
from dailytalk_contiguous.core.licensing import SOURCE, Origin
from dailytalk_contiguous.core.schema import CHANNELS, TIMELINE_MEANS
from dailytalk_contiguous.core.scorecard import TurnTaking
from dailytalk_contiguous.core.sentences import length_class
from dailytalk_contiguous.core.tables import TAKE, UNKNOWN, VOICE, Tables
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT, TurnEndFigures, turn_end_figures
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import kind_of

#: Values of a label that are named; further ones are added up. The same for a table of two labels.
MOST_VALUES = 25
MOST_CROSSED = 15

#: Labels along which clips are counted.
DIMENSIONS = ("corpus", "emotion", "style", "tag", "speaker", "gender", "sentence_type", "length", "split")

#: Voices that are named among the settings.
MOST_VOICES = 10

#: Characters of a value of a published column that are shown.
LONGEST_VALUE = 100

#: The measures of utterances that have a mean: title, unit and decimals.
MEASURES = {
    "seconds": ("length", "s", 2),
    "valence": ("valence", "0 to 1", 3),
    "arousal": ("arousal", "0 to 1", 3),
    "dominance": ("dominance", "0 to 1", 3),
    "rms": ("loudness (RMS)", "full scale", 4),
    "zcr": ("zero crossings", "a sample", 3),
    "f0_mean": ("pitch", "Hz", 1),
    "f0_std": ("pitch variation", "Hz", 1),
    "speech_rate": ("rate", "words/s", 2),
    "voiced_fraction": ("voiced share", "0 to 1", 3),
}

#: What is compared between the utterances of a tag and all of their speaker: a measure, and the factor that makes
#: its binary logarithm dB, semitones or octaves.
OF_TAGS = {
    "loudness": ("rms", 20 * math.log10(2)),
    "pitch": ("f0_mean", 12.0),
    "rate": ("speech_rate", 1.0),
}

#: Labels in which two datasets are compared, clips or conversations, and their headings.
COMPARED = {"emotion": "Emotion", "style": "Style", "tag": "Style tag", "length": "Length of utterances"}

#: Measures in which two datasets are compared besides `MEASURES`, which they replace where they say more.
COMPARED_MEASURES = {
    **{name: of for name, of in MEASURES.items() if name not in ("rms", "zcr")},
    "level": ("level of speech", "dBFS", 1),
    "snr": ("signal to noise", "dB", 1),
    "bandwidth": ("bandwidth", "Hz", 0),
}

#: Tags, and utterances of each, below which nothing is said of how the synthesis follows the source.
FEWEST_TAGS = 3
FEWEST_UTTERANCES = 2

# How much there is.


def corpus_stats(tables: Tables) -> dict[str, Any]:
    """The content of corpus-stats.json: the measures of conversations, as recorded and as rebuilt.

    `conversations` of a measure are those in which it is known.
    """
    whole = totals(tables)
    return {
        "layout": 1,
        "conversations": int(whole["conversations"]),
        "hours": round(whole["seconds"] / 3600, 5),
        "measures": {
            name: {"title": title, "unit": unit, "definition": about, "source": source}
            for name, (title, unit, about, source, *_) in TURN_MEASURES.items()
        },
        "timelines": {
            "source" if timeline == "recorded" else timeline: taken.stats()
            for timeline, taken in timelines(tables).items()
        },
    }


def timelines(tables: Tables) -> dict[str, TurnTaking]:
    """Turn-taking as `recorded` and, where anything was, as `rebuilt`."""
    return {"recorded": tables.source} | ({"rebuilt": tables.rebuilt} if tables.is_rebuilt else {})


def totals(tables: Tables) -> dict[str, float]:
    """All conversations or recorded clips: the columns of `sums`, without `left` and `right`."""
    return {name: float(values.sum()) for name, values in _amounts(tables).items()}


def heard(tables: Tables) -> dict[str, float]:
    """All audible utterances: `utterances`, `seconds` of speech, and those on each side, `left` and `right`."""
    said = _heard(tables, "channel", "seconds")
    sides = {side: float(said.loc[said["channel"] == side, "seconds"].sum()) for side in ("left", "right")}
    return {"utterances": float(len(said)), "seconds": float(said["seconds"].sum()), **sides}


def sums(tables: Tables, label: str) -> pd.DataFrame:
    """How much there is of each value of a label, in order of appearance; columns of numbers and seconds.

    `conversations` (those that have such an utterance; recorded clips), `utterances`, `words`, `seconds`; of clips
    `copies`, `copied` (their seconds), and `seen` (seconds in training, with copies, as often as they are listed);
    of labels of utterances `left` and `right`, seconds of speech on each side.

    Args:
        label: of conversations `language` or `split`; of clips any of `core.tables.LABELS`, too, `affect_model` or
            `emotion_class`; of utterances `tag`, `style`, `emotion_class`, `person`
            (who was recorded) or `synthetic_voice`.
    """
    if label in ("language", "split") or tables.conversations.empty or _is_clips(tables):
        columns = tables.conversations if label in tables.conversations else tables.utterances
        values = columns[label]
        frame = pd.DataFrame(_amounts(tables))
        if label == "emotion_class":
            asked = tables.utterances["emotion_model"].notna()
            values = values[asked]
            frame = frame[asked]
        return frame.groupby(_known(values), observed=True, sort=False).sum()
    said = _heard(tables, *{label, "conversation_id", "channel", "seconds", "status", "emotion_model"})
    if label in ("person", "synthetic_voice"):
        said = said[(said["status"] == "spoken") == (label == "synthetic_voice")]
    elif label == "emotion_class":
        said = said[said["emotion_model"].notna()]
    said = said.assign(value=_known(said[label]))
    frame = said.groupby("value", observed=True, sort=False).agg(
        conversations=("conversation_id", "nunique"), utterances=("status", "size"), seconds=("seconds", "sum")
    )
    sides = said.groupby(["value", "channel"], observed=True)["seconds"].sum().unstack()
    return frame.assign(words=0).join(sides.reindex(columns=["left", "right"]).fillna(0.0))


def ranked(tables: Tables, label: str, by: str = "seconds") -> pd.DataFrame:
    """`sums` of each value of a label, the largest first; those after `MOST_VALUES` are added up."""
    found = sums(tables, label)
    found = found.set_axis(found.index.astype(str)).sort_index()
    return with_others(found.sort_values(by, ascending=False, kind="stable"), MOST_VALUES)


def with_others(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """A table whose rows after the first `most` are added up, if they are several."""
    rest = frame[most:]
    return frame if len(rest) < 2 else pd.concat([frame[:most], rest.sum().to_frame(f"{len(rest):,} others").T])


def hours_of(tables: Tables, column: str) -> dict[str, float]:
    """Hours of conversations by the values of a column: `voices`, `language`."""
    recorded = tables.conversations[tables.conversations["augmented_from"].isna()]
    values = recorded[[column, "duration"]].explode(column)
    hours = values.groupby(column, observed=True)["duration"].sum() / 3600
    return {str(name): float(amount) for name, amount in hours.items()}


def counts(column: "pd.Series[Any]") -> Counter[str]:
    """Number of each value, in order of appearance; null is none."""
    numbers = column.value_counts(sort=False, dropna=True)
    return Counter({str(value): int(n) for value, n in numbers[numbers > 0].items()})


def word_sources(tables: Tables) -> Counter[str]:
    """Words by how their times are known."""
    sources: Counter[str] = Counter()
    for of_row in tables.conversations["word_sources"]:
        for part in of_row:
            sources[part["source"]] += part["words"]
    return sources


def ends_of_turns(tables: Tables) -> dict[tuple[str, str], TurnEndFigures]:
    """How finished the ends of turns sound, where they were judged, by side and timeline (`recorded`, `rebuilt`).

    A recording of which there are several conversations counts once.
    """
    rows = tables.conversations[["conversation_id", "parent"]].astype(object)
    parents = rows["parent"].fillna(rows["conversation_id"])
    first_of_recording = rows.loc[~parents.duplicated(), "conversation_id"]
    columns = {"recorded": ("source_transition", "source_turn_end"), "rebuilt": ("transition", "turn_end")}
    known: dict[tuple[str, str], TurnEndFigures] = {}
    for side in CHANNELS:
        said = tables.utterances[tables.utterances["channel"] == side]
        for timeline in timelines(tables):
            transition, finished = columns[timeline]
            judged = said[["conversation_id", transition, finished]].dropna()
            if timeline == "recorded":
                judged = judged[judged["conversation_id"].isin(first_of_recording)]
            shifts = judged.loc[judged[transition] == SHIFT, finished]
            holds = judged.loc[judged[transition] == HOLD, finished]
            if len(judged):
                known[side, timeline] = turn_end_figures(shifts, holds)
    return known


def same_ends(tables: Tables, transition: str) -> NDArray[np.float64]:
    """How finished the ends of new voices sound that are of this kind on both timelines, as recorded and as built.

    Shape (ends, 2).
    """
    said = tables.utterances[tables.utterances["status"] == "spoken"]
    alike = (said["transition"] == transition) & (said["source_transition"] == transition)
    return np.asarray(said.loc[alike, ["source_turn_end", "turn_end"]].dropna(), np.float64)


def without_text(tables: Tables) -> Counter[str]:
    """Utterances without a text by the kind of reason: reasons hold figures (`23 words in 0.5 s`)."""
    reasons = tables.utterances["text_reason"].astype(object).replace("", None).dropna()
    return counts(reasons.str.split("(").str[0].str.strip())


def reasons(tables: Tables) -> Counter[str]:
    """Utterances that are not as they should be by the kind of reason."""
    return counts(tables.utterances["reason"].astype(object).dropna().map(kind_of))


def corrections(tables: Tables) -> int:
    """Number of utterances that people corrected."""
    return int(tables.utterances[["edited_by", "edited_fields"]].notna().any(axis=1).sum())


# What it is like.


def moments(tables: Tables) -> pd.DataFrame:
    """Each of `MEASURES` of utterances: `count`, `mean`, `std`, `min` and `max`."""
    said = _heard(tables, *MEASURES)
    moments = {}
    for name in MEASURES:
        values = said[name].astype(np.float64)
        moments[name] = {**values.agg(["count", "mean", "min", "max"]), "std": values.std(ddof=0)}
    return pd.DataFrame(moments).T


def affect(tables: Tables) -> pd.DataFrame:
    """`valence` and `arousal` of each utterance with both, and its `label`: its tag, of a clip its emotion."""
    said = _heard(tables, "valence", "arousal", "tag")
    labels = tables.conversations["emotion"][said.index] if _is_clips(tables) else said["tag"]
    values = said[["valence", "arousal"]].assign(label=_known(labels))
    return values.dropna()


def tag_measures(tables: Tables) -> pd.DataFrame:
    """Mean loudness, pitch and rate by tag (`OF_TAGS`), each less its speaker's mean in the conversation.

    Columns of takes begin with `TAKE`, and are less the mean of this voice's takes there. `utterances` has the
    most of three counts; the commonest tag is first. A speaker's only utterance is left out.
    """
    measured = [f"{prefix}{column}" for prefix in ("", TAKE) for column, _ in OF_TAGS.values()]
    said = _heard(tables, "conversation_id", "channel", "tag", "tag_said", "status", *VOICE, *measured)
    spoken = said[(said["status"] == "spoken") & said["engine"].notna() & said["tag_said"].fillna(True)]
    means = pd.DataFrame()
    counts = pd.DataFrame()
    for prefix, of, voice in (("", said, ("channel",)), (TAKE, spoken, VOICE)):
        keys = [of[key].cat.codes for key in ("conversation_id", *voice)]
        for name, (column, factor) in OF_TAGS.items():
            values = of[f"{prefix}{column}"].astype(np.float64)
            scaled = factor * np.log2(values.where(values > 0))
            groups = scaled.groupby(keys)
            apart = (scaled - groups.transform("mean")).where(groups.transform("count") > 1)
            by_tag = apart.groupby(of["tag"], observed=False)
            means[f"{prefix}{name}"], counts[name] = by_tag.mean(), by_tag.count()
        means[f"{prefix}utterances"] = counts.max(axis=1)
    return means[means["utterances"] > 0].sort_values("utterances", ascending=False, kind="stable")


def follows_source(tables: Tables, name: str) -> float | None:
    """The correlation of the means of source and synthesis over tags, weighted by synthesised utterances.

    None if there are too few tags, or they do not differ.
    """
    measured = tag_measures(tables).dropna(subset=[name, f"{TAKE}{name}"])
    enough = measured[measured[["utterances", f"{TAKE}utterances"]].min(axis=1) >= FEWEST_UTTERANCES]
    if len(enough) < FEWEST_TAGS:
        return None
    means = enough[[name, f"{TAKE}{name}"]].to_numpy(float)
    (source, shared), (_, new) = np.cov(means, rowvar=False, aweights=enough[f"{TAKE}utterances"])
    return float(shared / math.sqrt(source * new)) if min(source, new) > 1e-12 else None


def crossed(tables: Tables, rows: str, columns: str) -> pd.DataFrame:
    """How many recorded clips, or audible utterances, have which values of two labels.

    Where one is `emotion_class`, only what a classifier was asked of counts. Of more than `MOST_CROSSED` rows the
    largest are first, and the rest is added up.
    """
    said = _heard(tables, *{rows, columns, "emotion_model"} & {*tables.utterances})
    if "emotion_class" in (rows, columns):
        said = said[said["emotion_model"].notna()]
    labels = tables.conversations.loc[said.index] if _is_clips(tables) else said
    pair = [_known((labels if name in labels else said)[name]).astype(str) for name in (rows, columns)]
    frame = pd.crosstab(*pair)
    if len(frame) > MOST_CROSSED:
        frame = frame.loc[frame.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    return with_others(frame, MOST_CROSSED)


def heard_as_meant(tables: Tables, label: str, answer: str) -> tuple[int, int]:
    """How many clips were heard as their label says, and of how many both are known (`unsure` is no answer)."""
    known = crossed(tables, label, answer).drop(index=UNKNOWN, errors="ignore")
    known = known.drop(columns=[UNKNOWN, UNSURE], errors="ignore")
    alike = known.index.intersection(known.columns)
    return sum(int(known.at[name, name]) for name in alike), int(known.sum().sum())


def emotion_models(tables: Tables) -> list[str]:
    """The classifiers of emotion."""
    return sorted(counts(tables.utterances["emotion_model"]))


def column_values(tables: Tables) -> Iterator[tuple[Column, Counter[str] | pd.Series | None]]:
    """Columns that stages publish: how often each value is, `describe()` of numbers, None where all are null."""
    for column in columns_among(tables.fields):
        values = tables.conversations[column.name].dropna()
        known = None
        if len(values) and column.tally == "mean":
            known = values.astype(np.float64).describe()
        elif len(values) and column.tally == "count":
            known = counts(values.explode().astype(str).str.slice(stop=LONGEST_VALUE))
        yield column, known


# Beside another dataset.


def label_seconds(tables: Tables, label: str) -> "pd.Series[float]":
    """Seconds of speech (of recorded clips) by the values of a label of `COMPARED`; empty if none is known.

    The emotion of conversations is the class that a classifier heard.
    """
    if label == "length":
        seconds = _heard(tables, "seconds")["seconds"].dropna()
        amounts = seconds.groupby(seconds.map(length_class)).sum()
    else:
        column = "emotion_class" if label == "emotion" and not _is_clips(tables) else label
        amounts = sums(tables, column)["seconds"]
        amounts = amounts.set_axis(amounts.index.astype(str))
    known = amounts.drop(index=UNKNOWN, errors="ignore")
    return amounts if known.sum() > 0 else amounts[:0]


def compared_label(tables: Tables, other: Tables, label: str) -> pd.DataFrame:
    """How much of two datasets each value of a label has.

    The columns are `seconds` and `share` and, of the other dataset, `other_seconds` and `other_share`. The values
    of which either has most are first, and those after `MOST_VALUES` are added up. Shares are NaN where the label
    is not known of a dataset.
    """
    frame = pd.DataFrame({"seconds": label_seconds(tables, label), "other_seconds": label_seconds(other, label)})
    frame = frame.fillna(0.0).astype(float)
    shares = frame / frame.sum().where(frame.sum() > 0)
    frame = frame.assign(share=shares["seconds"], other_share=shares["other_seconds"])
    largest = frame[["share", "other_share"]].max(axis=1)
    return with_others(frame.loc[largest.sort_values(ascending=False, kind="stable").index], MOST_VALUES)


def measured_values(tables: Tables, name: str) -> "pd.Series[float]":
    """The known values of a measure of `COMPARED_MEASURES`: of utterances, or of each recording (`snr`, …)."""
    if name in tables.conversations:
        return tables.conversations[name].dropna().astype(float)
    if name == "level":
        rms = _heard(tables, "rms")["rms"].dropna().astype(float)
        return 20 * np.log10(rms[rms > 0])
    return _heard(tables, name)[name].dropna().astype(float)


def compared_measures(tables: Tables, other: Tables) -> pd.DataFrame:
    """Number, mean and standard deviation of each of `COMPARED_MEASURES` in two datasets.

    The columns are `count`, `mean`, `std` and, of the other dataset, `other_count`, `other_mean`, `other_std`.
    Measures that neither has are left out.
    """
    rows = {}
    for name in COMPARED_MEASURES:
        own = measured_values(tables, name)
        others = measured_values(other, name)
        rows[name] = {"count": len(own), "mean": own.mean(), "std": own.std(ddof=0)}
        rows[name] |= {"other_count": len(others), "other_mean": others.mean(), "other_std": others.std(ddof=0)}
    frame = pd.DataFrame(rows).T
    return frame[frame[["count", "other_count"]].max(axis=1) > 0]


# What became of it.


def length_ratios(tables: Tables) -> "pd.Series[float]":
    """New over recorded length of each resynthesised utterance."""
    said = _heard(tables, "status", "seconds", "source_seconds")
    spoken = said[said["status"] == "spoken"]
    return (spoken["seconds"] / spoken["source_seconds"]).dropna()


def cost(tables: Tables) -> float:
    """USD paid for speech; two utterances of one cached line were bought once.

    The utterances of a turn that was said in one take have one key, and a share of its cost each.
    """
    bought = ["cache_key", "take_part"]
    paid = tables.utterances.loc[tables.utterances["cost"].fillna(0.0) != 0, [*bought, "cost"]]
    nameless = paid["cache_key"] == _NO_KEY
    return math.fsum([*paid[~nameless].drop_duplicates(bought)["cost"], *paid[nameless]["cost"]])


_NO_KEY = pd.util.hash_array(np.array([""], object))[0]


def delivery_by_tag(tables: Tables) -> pd.DataFrame:
    """Mean distance of takes from their sources by tag, and their number, the furthest first."""
    takes = tables.utterances.dropna(subset="delivery_distance")
    by_tag = takes["delivery_distance"].astype(float).groupby(_known(takes["tag"]), observed=True)
    return by_tag.agg(["mean", "size"]).sort_values("mean", ascending=False)


def timeline_means(tables: Tables) -> dict[str, float]:
    """The mean of each of `TIMELINE_MEANS` over rebuilt conversations; empty where nothing was rebuilt.

    A conversation without a change of speaker, or without overlap, has nothing that could be lost.
    """
    rebuilt = tables.conversations[tables.conversations["has_timeline"]]
    known = {name: rebuilt[f"timeline_{name}"].fillna(best) for name, best in TIMELINE_MEANS.items()}
    return {name: float(values.mean()) for name, values in known.items() if len(values)}


def lost_in_rebuild(tables: Tables) -> dict[str, float]:
    """Seconds of the recorded speaker's `speech` and `sound` that the rebuild lost."""
    return {
        name: float(tables.conversations[f"timeline_lost_{name}_seconds"].sum()) for name in ("speech", "sound")
    }


def splits_of_speakers(tables: Tables) -> dict[str, set[str]]:
    """The splits in which each recorded speaker is heard, by name; where splits are known."""
    known = tables.conversations[["kept_speakers", "split"]].astype(object).explode("kept_speakers").dropna()
    return {str(name): {*splits} for name, splits in known.groupby("kept_speakers")["split"]}


def made_of_others(rows: pd.DataFrame) -> tuple[int, int, list[str]]:
    """How many rows of a table of conversations were made of others, of how many, and by which commands."""
    made = rows[rows["parent"].notna()]
    return len(made), made["parent"].nunique(), [*counts(made["made_by"])]


# What made it.


def models(tables: Tables) -> Counter[Origin]:
    """The models that had a part in rows, with numbers of rows."""
    made: Counter[Origin] = Counter()
    for record, n in provenances(tables):
        for model in record.get("models") or ():
            name = model.get("name") or ""
            url = model.get("url") or ""
            made[Origin(model.get("role") or "", name, model.get("licence") or "", url)] += n
    return made


def models_of_run(run: Mapping[str, Any]) -> list[Origin]:
    """The models that a run.json names."""
    named = (run.get("models") or {}).items()
    return [Origin(role, of["name"], of.get("licence"), of.get("url") or "") for role, of in named]


def known_models(tables: Tables, run: Mapping[str, Any]) -> Mapping[Origin, int]:
    """The models of rows; those of a run.json where rows name none, as before they are rebuilt."""
    return models(tables) or dict.fromkeys(models_of_run(run), tables.n)


def origins(tables: Tables) -> list[Origin]:
    """The models, without recognisers that recognised no words because all utterances had a transcript."""
    used = counts(tables.utterances["recogniser"])
    return sorted(model for model in models(tables) if model.role != "recogniser" or not used or used[model.name])


def all_origins(tables: Tables) -> list[Origin]:
    """The sources of rows, then the models that made them."""
    named = sorted(sources(tables), key=lambda source: (source[0] or "", source[1] or ""))
    return [Origin(SOURCE, name or "", licence) for name, licence in named] + origins(tables)


def sources(tables: Tables) -> Counter[tuple[str | None, str | None]]:
    """Names and licences of what rows were made from, with numbers of rows."""
    named: Counter[tuple[str | None, str | None]] = Counter()
    for record, n in provenances(tables):
        named[record.get("source"), record.get("source_licence")] += n
    return named


def licences(tables: Tables, run: Mapping[str, Any]) -> list[str]:
    """The licences of what rows, clips or, by its run.json, a run were made from, as far as they are known."""
    named = {licence for _, licence in sources(tables)} | {(run.get("source") or {}).get("licence")}
    return sorted(map(str, {*named, *tables.conversations["licence"].dropna()} - {None, ""}))


def settings(tables: Tables) -> dict[str, list[Any]]:
    """Settings of the synthesis and the timeline by name, each with all its values, in order of their text."""
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for text in sorted({record.get("settings") or "{}" for record, _ in provenances(tables)}):
        for name, value in typed(parse_json(text, "settings"), dict[str, Any], "settings").items():
            values[name].setdefault(json.dumps(value, ensure_ascii=False), value)
    return {name: [*values[name].values()] for name in sorted(values)}


def chosen_settings(tables: Tables, run: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, list[str]]:
    """Settings that decide the content of the data and are not the defaults, with their values as texts."""
    values = {name: [value] for name, value in (run.get("settings") or {}).items()} | settings(tables)
    voices = named_in_provenance(tables, "voice")
    if voices:
        values["voice"] = voices[:MOST_VOICES]
    return {
        name: ["yes" if value is True else str(value) for value in of]
        for name, of in values.items()
        if of not in ([None], [""], [[]], [False], ["auto"], [defaults.get(name, object())])
    }


def named_in_provenance(tables: Tables, name: str) -> list[str]:
    """The texts of a field of the provenance that rows have, `tool` or `voice`, sorted."""
    return sorted({record[name] for record, _ in provenances(tables) if record.get(name)})


def provenances(tables: Tables) -> list[tuple[Mapping[str, Any], int]]:
    """Each provenance in its published shape, with its number of rows; empty where it can't be read."""
    column = tables.conversations["provenance"]
    known = [(provenance_of(text), n) for text, n in counts(column).items()]
    return [*known, *([({}, int(column.isna().sum()))] if column.isna().any() else [])]


class _Model(TypedDict, total=False):
    role: str | None
    name: str | None
    licence: str | None
    url: str | None


class _Provenance(TypedDict, total=False):
    """A row's provenance as published, of which settings and models are other JSON before."""

    tool: str | None
    voice: str | None
    settings: str | None
    models: list[_Model] | None


@lru_cache(maxsize=64)
def provenance_of(text: str) -> Mapping[str, Any]:
    """A row's provenance in its published shape; empty where it says nothing that can be read."""
    try:
        record = typed(parse_json(text, "provenance"), dict[str, Any], "provenance")
    except BadInput:
        return {}
    models = record.get("models")
    if isinstance(models, dict):
        named = ((role, model) for role, model in sorted(models.items()) if isinstance(model, dict))
        record["models"] = [{"role": role, **model} for role, model in named]
    settings = record.get("settings")
    if isinstance(settings, dict):
        record["settings"] = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return record if fits(record, _Provenance) else {}


def _heard(tables: Tables, *columns: str) -> pd.DataFrame:
    """Columns of audible utterances."""
    return tables.utterances.loc[tables.utterances["heard"], [*columns]]


def _is_clips(tables: Tables) -> bool:
    return bool(tables.conversations["clip"].any())


def _known(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of texts with `UNKNOWN` for what is null or empty."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    if "" in column.cat.categories:
        column = column.cat.remove_categories([""])
    if UNKNOWN not in column.cat.categories:
        column = column.cat.add_categories([UNKNOWN])
    return column.fillna(UNKNOWN)


def _amounts(tables: Tables) -> dict[str, "pd.Series[float]"]:
    """What each conversation or clip adds to a sum."""
    rows = tables.conversations
    recorded = rows["augmented_from"].isna()
    seconds = rows["own_seconds"].fillna(0.0)
    weight = rows["weight"].fillna(1.0).where(rows["clip"] & (rows["split"] == "train"), 0.0)
    return {
        "conversations": recorded.astype(int),
        "utterances": rows["utterances"].where(recorded, 0),
        "words": rows["words"].where(recorded, 0),
        "seconds": seconds.where(recorded, 0.0),
        "copies": (~recorded).astype(int),
        "copied": seconds.where(~recorded, 0.0),
        "seen": seconds * weight,
    }
