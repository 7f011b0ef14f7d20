"""Figures of a dataset: named queries of its tables (`core.records.tables`), one for each figure that is read.

Utterances are counted if they are in the audio (`heard`), unless a query says otherwise; copies of clips count
only where they are named. A value that is not known is `UNKNOWN`.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.licensing import SOURCE, Origin
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import CHANNELS, TIMELINE_MEANS
from dailytalk_contiguous.core.records.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, TurnEndFigures, turn_end_figures
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.core.words.sentences import length_class

#: Values of a label that are named; further ones are added up. The same for a table of two labels.
MOST_VALUES = 25
MOST_CROSSED = 15

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

#: Labels in which two datasets are compared, clips or conversations, and their headings.
COMPARED = {"emotion": "Emotion", "style": "Style", "tag": "Style tag", "length": "Length of utterances"}

#: Measures in which two datasets are compared besides `MEASURES`, which they replace where they say more.
COMPARED_MEASURES = {
    **{name: measure for name, measure in MEASURES.items() if name not in ("rms", "zcr")},
    "level": ("level of speech", "dBFS", 1),
    "snr": ("signal to noise", "dB", 1),
    "bandwidth": ("bandwidth", "Hz", 0),
}

# How much there is.


def totals(tables: Tables) -> dict[str, float]:
    """Add up all conversations or recorded clips: the columns of `sums`, without `left` and `right`."""
    return {name: float(values.sum()) for name, values in _amounts(tables).items()}


def heard_seconds(tables: Tables) -> float:
    """Return the seconds of all audible utterances."""
    return float(tables.utterances["seconds"].sum())


def sums(tables: Tables, label: str) -> pd.DataFrame:
    """Add up numbers and seconds for each value of a label, in order of appearance.

    The columns are `conversations` (those that have such an utterance; recorded clips), `utterances`, `words` and
    `seconds`; for clips also `copies`, `copied` (their seconds), and `seen` (seconds in training, with copies, as
    often as they are listed); for labels of utterances also `left` and `right`, seconds of speech on each side.

    Args:
        label: `language` or `split` of conversations; for clips also any of `core.records.tables.LABELS`,
            `affect_model` or `emotion_class`; `tag`, `style`, `emotion_class`, `person` (who was recorded) or
            `synthetic_voice` of utterances.
    """
    if label in ("language", "split") or tables.conversations.empty or _is_clips(tables):
        columns = tables.conversations if label in tables.conversations else tables.utterances
        values = columns[label]
        frame = pd.DataFrame(_amounts(tables))
        if label == "emotion_class":
            asked = tables.utterances["emotion_model"].notna()
            values = values[asked]
            frame = frame[asked]
        return frame.groupby(_with_unknown(values), observed=True, sort=False).sum()
    needed = {label, "conversation_id", "channel", "seconds", "status", "emotion_model"}
    audible = _audible(tables, *needed)
    if label in ("person", "synthetic_voice"):
        is_spoken = audible["status"] == "spoken"
        audible = audible[is_spoken == (label == "synthetic_voice")]
    elif label == "emotion_class":
        audible = audible[audible["emotion_model"].notna()]
    audible = audible.assign(value=_with_unknown(audible[label]))
    by_value = audible.groupby("value", observed=True, sort=False)
    frame = by_value.agg(
        conversations=("conversation_id", "nunique"), utterances=("status", "size"), seconds=("seconds", "sum")
    )
    by_side = audible.groupby(["value", "channel"], observed=True)["seconds"].sum()
    sides = by_side.unstack().reindex(columns=["left", "right"])
    return frame.assign(words=0).join(sides.fillna(0.0))


def ranked(tables: Tables, label: str, by: str = "seconds") -> pd.DataFrame:
    """Return `sums` of each value of a label, the largest first; those after `MOST_VALUES` are added up."""
    amounts = sums(tables, label)
    amounts = amounts.set_axis(amounts.index.astype(str)).sort_index()
    largest_first = amounts.sort_values(by, ascending=False, kind="stable")
    return with_others(largest_first, MOST_VALUES)


def with_others(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """Add up the rows of a table after the first `most`, if there are several."""
    others = frame[most:]
    if len(others) < 2:
        return frame
    added_up = others.sum().to_frame(f"{len(others):,} others").T
    return pd.concat([frame[:most], added_up])


def hours_of(tables: Tables, column: str) -> dict[str, float]:
    """Return the hours of conversations by the values of a column: `voices`, `language`."""
    recorded = tables.conversations[tables.conversations["augmented_from"].isna()]
    values = recorded[[column, "duration"]].explode(column)
    hours = values.groupby(column, observed=True)["duration"].sum() / 3600
    return {str(name): float(amount) for name, amount in hours.items()}


def numbers_of_voices(tables: Tables) -> dict[str, int]:
    """Return how many voices are known by name: `recorded` people, and `new` voices; without zeros."""
    speakers = {*splits_of_speakers(tables), *tables.conversations["speaker"].dropna()}
    numbers = {"recorded": len(speakers), "new": len(hours_of(tables, "voices"))}
    return {kind: number for kind, number in numbers.items() if number}


def counts(column: "pd.Series[str]") -> Counter[str]:
    """Count each value except null, in order of appearance."""
    numbers = column.value_counts(sort=False, dropna=True)
    return Counter({str(value): int(n) for value, n in numbers[numbers > 0].items()})


def word_sources(tables: Tables) -> Counter[str]:
    """Count words by the source of their times."""
    sources: Counter[str] = Counter()
    for listed in tables.conversations["word_sources"]:
        for part in listed:
            sources[part["source"]] += part["words"]
    return sources


def offsets_of_side(tables: Tables, channel: str) -> NDArray[np.float64]:
    """Return the floor-transfer offsets in seconds with which a side takes the floor, sorted."""
    of_side = [side["offsets"] for side in _sides_of_talk(tables) if side["channel"] == channel]
    return np.sort(np.concatenate([[], *of_side]))


def turn_taking(tables: Tables) -> pd.DataFrame:
    """Return what each side does in all conversations, a row a side: none where nobody is known to speak.

    The columns are `talk` (the share of the time in which it speaks), `offset` (the median of `offsets_of_side` in
    seconds), `overlap` (the share of its speech in which the other speaks, too), `backchannels` and
    `interruptions` a minute, and `longest_turn` in seconds.
    """
    conversations = tables.conversations
    has_sides = conversations["turn_taking"].map(len) > 0
    talks = conversations[has_sides & (conversations["duration"] > 0)]
    seconds = talks["duration"].sum()
    overlap = (talks["overlap"] * talks["duration"]).sum()
    sides = {}
    listed = _sides_of_talk(tables)
    for channel in CHANNELS:
        parts = pd.DataFrame([side for side in listed if side["channel"] == channel])
        speech = parts["speech"].sum() if len(parts) else 0.0
        if not speech or not seconds:
            continue
        side_offsets = offsets_of_side(tables, channel)
        sides[channel] = {
            "talk": speech / seconds,
            "offset": np.median(side_offsets) if len(side_offsets) else np.nan,
            "overlap": overlap / speech,
            "backchannels": 60 * parts["backchannels"].sum() / seconds,
            "interruptions": 60 * parts["interruptions"].sum() / seconds,
            "longest_turn": parts["longest_turn"].max(),
        }
    return pd.DataFrame.from_dict(sides, orient="index")


def _sides_of_talk(tables: Tables) -> list[dict[str, Any]]:
    return [side for sides in tables.conversations["turn_taking"] for side in sides]


def ends_of_turns(tables: Tables) -> dict[tuple[str, str], TurnEndFigures]:
    """Return how finished the ends of turns sound, where judged, by side and timeline (`recorded`, `rebuilt`)."""
    columns = {"recorded": ("source_transition", "source_turn_end"), "rebuilt": ("transition", "turn_end")}
    ends: dict[tuple[str, str], TurnEndFigures] = {}
    for side in CHANNELS:
        utterances = tables.utterances[tables.utterances["channel"] == side]
        for timeline, (transition, finished) in columns.items():
            if timeline == "rebuilt" and not tables.is_rebuilt:
                continue
            judged = utterances[[transition, finished]].dropna()
            shifts = judged.loc[judged[transition] == SHIFT, finished]
            holds = judged.loc[judged[transition] == HOLD, finished]
            if len(judged):
                ends[side, timeline] = turn_end_figures(shifts, holds)
    return ends


def same_ends(tables: Tables, transition: str) -> NDArray[np.float64]:
    """Return how finished the ends of new voices sound, as recorded and as built, shape (ends, 2).

    Only ends that have this transition on both timelines are included.
    """
    spoken = tables.utterances[tables.utterances["status"] == "spoken"]
    alike = (spoken["transition"] == transition) & (spoken["source_transition"] == transition)
    ends = spoken.loc[alike, ["source_turn_end", "turn_end"]]
    return np.asarray(ends.dropna(), np.float64)


def reasons(tables: Tables) -> Counter[str]:
    """Count utterances with a problem by the kind of reason."""
    reasons = tables.utterances["reason"].astype(object).dropna()
    return counts(reasons.map(kind_of))


# What it is like.


def moments(tables: Tables, measures: Iterable[str] = MEASURES) -> pd.DataFrame:
    """Return `count`, `mean`, `std`, `min` and `max` of each of `MEASURES` or `COMPARED_MEASURES`."""
    moments = {}
    for name in measures:
        values = measured_values(tables, name)
        moments[name] = {**values.agg(["count", "mean", "min", "max"]), "std": values.std(ddof=0)}
    return pd.DataFrame(moments).T


def crossed(tables: Tables, rows: str, columns: str) -> pd.DataFrame:
    """Count recorded clips, or audible utterances, by the values of two labels.

    Where one is `emotion_class`, only those that a classifier rated count. If there are more than `MOST_CROSSED`
    rows, the largest are first, and the rest is added up.
    """
    of_utterances = {rows, columns, "emotion_model"} & {*tables.utterances}
    audible = _audible(tables, *of_utterances)
    if "emotion_class" in (rows, columns):
        audible = audible[audible["emotion_model"].notna()]
    labels = tables.conversations.loc[audible.index] if _is_clips(tables) else audible
    pair = []
    for name in (rows, columns):
        values = labels[name] if name in labels else audible[name]
        pair.append(_with_unknown(values).astype(str))
    frame = pd.crosstab(*pair)
    if len(frame) > MOST_CROSSED:
        largest_first = frame.sum(axis=1).sort_values(ascending=False, kind="stable")
        frame = frame.loc[largest_first.index]
    return with_others(frame, MOST_CROSSED)


# Beside another dataset.


def compared_label(tables: Tables, other: Tables, label: str) -> pd.DataFrame:
    """Compare the speech (of recorded clips) that two datasets have of each value of a label of `COMPARED`.

    The columns are `seconds` and `share` and, for the other dataset, `other_seconds` and `other_share`. The
    largest values of either are first, and those after `MOST_VALUES` are added up. Shares are NaN where a dataset
    does not have the label. The emotion of conversations is the class that a classifier heard.
    """
    columns = {}
    for name, dataset in (("seconds", tables), ("other_seconds", other)):
        if label == "length":
            seconds = dataset.utterances["seconds"].dropna()
            amounts = seconds.groupby(seconds.map(length_class)).sum()
        else:
            is_heard = label == "emotion" and not _is_clips(dataset)
            amounts = sums(dataset, "emotion_class" if is_heard else label)["seconds"]
            amounts = amounts.set_axis(amounts.index.astype(str))
        is_known = amounts.drop(index=UNKNOWN, errors="ignore").sum() > 0
        columns[name] = amounts if is_known else amounts[:0]
    frame = pd.DataFrame(columns).fillna(0.0).astype(float)
    totals = frame.sum()
    shares = frame / totals.where(totals > 0)
    frame = frame.assign(share=shares["seconds"], other_share=shares["other_seconds"])
    largest = frame[["share", "other_share"]].max(axis=1)
    largest_first = largest.sort_values(ascending=False, kind="stable")
    return with_others(frame.loc[largest_first.index], MOST_VALUES)


def measured_values(tables: Tables, name: str) -> "pd.Series[float]":
    """Return the known values of a measure of utterances, or of each recording (`snr`, …)."""
    if name in ("snr", "bandwidth"):
        values = tables.conversations[name]
    elif name == "level":
        rms = _audible(tables, "rms")["rms"].astype(float)
        values = 20 * np.log10(rms[rms > 0])
    else:
        values = _audible(tables, name)[name]
    return values.dropna().astype(float)


# What became of it.


def length_ratios(tables: Tables) -> "pd.Series[float]":
    """Return the ratio of new to recorded length of each resynthesised utterance."""
    utterances = tables.utterances
    ratios = utterances["seconds"] / utterances["source_seconds"]
    return ratios[utterances["status"] == "spoken"].dropna()


def cost(tables: Tables) -> float:
    """Return the USD paid for speech; two utterances of one cached line were bought once.

    The utterances of a turn that was said in one take have one key, and a share of its cost each.
    """
    bought = ["cache_key", "take_part"]
    is_paid = tables.utterances["cost"].fillna(0.0) != 0
    paid = tables.utterances.loc[is_paid, [*bought, "cost"]]
    is_nameless = paid["cache_key"] == pd.util.hash_array(np.array([""], object))[0]
    named = paid[~is_nameless].drop_duplicates(bought)
    return math.fsum([*named["cost"], *paid[is_nameless]["cost"]])


def timeline_means(tables: Tables) -> dict[str, float]:
    """Return the mean of each of `TIMELINE_MEANS` over rebuilt conversations; empty where nothing was rebuilt.

    A conversation without a change of speaker, or without overlap, has nothing that could be lost.
    """
    rebuilt = tables.conversations[tables.conversations["has_timeline"]]
    if rebuilt.empty:
        return {}
    means = {}
    for name, best in TIMELINE_MEANS.items():
        values = rebuilt[f"timeline_{name}"].fillna(best)
        means[name] = float(values.mean())
    return means


def lost_in_rebuild(tables: Tables) -> dict[str, float]:
    """Return the seconds of the recorded speaker's `speech` and `sound` that the rebuild lost."""
    lost = {}
    for name in ("speech", "sound"):
        seconds = tables.conversations[f"timeline_lost_{name}_seconds"]
        lost[name] = float(seconds.sum())
    return lost


def splits_of_speakers(tables: Tables) -> dict[str, set[str]]:
    """Return the splits in which each recorded speaker is heard, by name, where splits are known."""
    columns = tables.conversations[["kept_speakers", "split"]].astype(object)
    speakers = columns.explode("kept_speakers").dropna()
    return {str(name): {*splits} for name, splits in speakers.groupby("kept_speakers")["split"]}


# What made it.


def models(tables: Tables) -> Counter[Origin]:
    """Count the rows in which each model had a part."""
    made: Counter[Origin] = Counter()
    for record, n in provenances(tables):
        for model in record.models or ():
            origin = Origin(model.role or "", model.name or "", model.licence or "", model.url or "")
            made[origin] += n
    return made


def origins(tables: Tables) -> list[Origin]:
    """Return the models, without recognisers that recognised no words because all utterances had a transcript."""
    used = counts(tables.utterances["recogniser"])
    named = models(tables)
    if not used:
        return sorted(named)
    return sorted(model for model in named if model.role != "recogniser" or used[model.name])


def all_origins(tables: Tables) -> list[Origin]:
    """Return the sources of rows, then the models that made them."""
    named = {(record.source, record.source_licence) for record, _ in provenances(tables)}
    of_rows = [Origin(SOURCE, name or "", licence) for name, licence in named]
    of_rows.sort(key=lambda source: (source.name, source.licence or ""))
    return of_rows + origins(tables)


def source_licences(rows: pd.DataFrame, run: RunRecord) -> Counter[str]:
    """Count rows of a table of conversations by the licence of their source: a row's own, else the run's."""
    licences = rows["licence"].astype(object)
    provenance = rows["provenance"].astype(object).fillna("{}")
    licences = licences.fillna(provenance.map(lambda text: provenance_of(text).source_licence))
    return Counter(licences.fillna(run.source.licence or UNKNOWN).map(str))


def chosen_settings(tables: Tables, run: RunRecord, defaults: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the settings that decide the content of the data and are not defaults, with their values as texts."""
    # Those of rows by the text of each value, of all values in order of their text.
    of_rows: dict[str, dict[str, object]] = defaultdict(dict)
    for text in sorted({record.settings or "{}" for record, _ in provenances(tables)}):
        listed = typed(parse_json(text, "settings"), dict[str, Any], "settings")
        for name, value in listed.items():
            of_rows[name].setdefault(json.dumps(value, ensure_ascii=False), value)
    values = {name: [value] for name, value in run.settings.items()}
    values |= {name: [*of_rows[name].values()] for name in sorted(of_rows)}
    voices = named_in_provenance(tables, "voice")
    if voices:
        values["voice"] = voices[:10]
    chosen = {}
    for name, used in values.items():
        default = defaults.get(name, object())
        if used not in ([None], [""], [[]], [False], ["auto"], [default]):
            chosen[name] = ["yes" if value is True else str(value) for value in used]
    return chosen


def named_in_provenance(tables: Tables, name: Literal["tool", "voice"]) -> list[str]:
    """Return the texts of a field of the provenance of rows, `tool` or `voice`, sorted."""
    records = [record for record, _ in provenances(tables)]
    texts = {record.tool if name == "tool" else record.voice for record in records}
    return sorted(text for text in texts if text)


def provenances(tables: Tables) -> list[tuple["_Provenance", int]]:
    """Return each provenance in its published shape, with its number of rows; empty where it can't be read."""
    column = tables.conversations["provenance"]
    listed = [(provenance_of(text), number) for text, number in counts(column).items()]
    n_missing = int(column.isna().sum())
    if n_missing:
        listed.append((_Provenance(), n_missing))
    return listed


class _Model(msgspec.Struct):
    role: str | None = None
    name: str | None = None
    licence: str | None = None
    url: str | None = None


class _Provenance(msgspec.Struct):
    """A row's provenance as published; its settings and models are other JSON before."""

    source: Any = None  # not checked: old files have what they have
    source_licence: Any = None
    tool: str | None = None
    voice: str | None = None
    settings: str | None = None
    models: list[_Model] | None = None


@lru_cache(maxsize=64)
def provenance_of(text: str) -> _Provenance:
    """Read a row's provenance in its published shape; empty where it can't be read."""
    try:
        record = typed(parse_json(text, "provenance"), dict[str, Any], "provenance")
        models = record.get("models")
        if isinstance(models, dict):
            record["models"] = [
                {"role": role, **model} for role, model in sorted(models.items()) if isinstance(model, dict)
            ]
        settings = record.get("settings")
        if isinstance(settings, dict):
            record["settings"] = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        return msgspec.convert(record, _Provenance)
    except (BadInput, msgspec.ValidationError):
        return _Provenance()


def _audible(tables: Tables, *columns: str) -> pd.DataFrame:
    """Return columns of audible utterances."""
    return tables.utterances.loc[tables.utterances["heard"], [*columns]]


def _is_clips(tables: Tables) -> bool:
    return bool(tables.conversations["clip"].any())


def _with_unknown(column: "pd.Series[str]") -> "pd.Series[str]":
    """Return a column of texts with `UNKNOWN` in place of null and empty ones."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    if "" in column.cat.categories:
        column = column.cat.remove_categories([""])
    if UNKNOWN not in column.cat.categories:
        column = column.cat.add_categories([UNKNOWN])
    return column.fillna(UNKNOWN)


def _amounts(tables: Tables) -> dict[str, "pd.Series[float]"]:
    """Return the amount that each conversation or clip adds to each sum."""
    rows = tables.conversations
    recorded = rows["augmented_from"].isna()
    seconds = rows["own_seconds"].fillna(0.0)
    trains = rows["clip"] & (rows["split"] == "train")
    weight = rows["weight"].fillna(1.0).where(trains, 0.0)
    return {
        "conversations": recorded.astype(int),
        "utterances": rows["utterances"].where(recorded, 0),
        "words": rows["words"].where(recorded, 0),
        "seconds": seconds.where(recorded, 0.0),
        "copies": (~recorded).astype(int),
        "copied": seconds.where(~recorded, 0.0),
        "seen": seconds * weight,
    }
