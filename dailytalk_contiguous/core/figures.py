"""Figures of a dataset: named queries of its tables (`core.tables`), one a figure that somebody reads.

Utterances are counted if they are in the audio (`heard`), unless a query says otherwise; copies of clips count
only where they are named. A value that is not known is `UNKNOWN`.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from dailytalk_contiguous.core.documents import expect, fits, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.schema import COLUMNS, TIMELINE_MEANS
from dailytalk_contiguous.core.tables import TAKE, UNKNOWN, VOICE, Tables
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY, columns_among
from dailytalk_contiguous.core.wording import kind_of

#: Kinds of reasons with a number of their own, and the name of the others.
MOST_KINDS, OTHER_KINDS = 50, "other reasons"

#: Characters of a value of a published column that are shown.
LONGEST_VALUE = 100

#: Lines that are named because their delivery is furthest from the source.
MOST_FAR = 10

#: Measures of utterances that have a mean.
MEASURES = ("seconds", *AFFECT, *PROSODY)

#: Measures with a bucket in the conversation (`LOW`, `MID`, `HIGH`).
BUCKETED = ("valence", "arousal", "dominance", "energy", "rate", "zcr", "pitch", "pitch_var")

#: What is compared between the utterances of a tag and all of their speaker: a measure, and the factor that makes
#: its binary logarithm dB, semitones or octaves.
OF_TAGS = {
    "loudness": ("rms", 20 * math.log10(2)),
    "pitch": ("f0_mean", 12.0),
    "rate": ("speech_rate", 1.0),
}


# How much there is.


def corpus_stats(tables: Tables) -> dict[str, Any]:
    """The content of corpus-stats.json: the measures of conversations, as recorded and as rebuilt.

    `conversations` of a measure are those in which it is known.
    """
    timelines = {"source": tables.source} | ({"rebuilt": tables.rebuilt} if tables.is_rebuilt else {})
    whole = totals(tables)
    return {
        "layout": 1,
        "conversations": int(whole["conversations"]),
        "hours": round(whole["seconds"] / 3600, 5),
        "measures": {
            name: {"title": title, "unit": unit, "definition": about, "source": source}
            for name, (title, unit, about, source, *_) in TURN_MEASURES.items()
        },
        "timelines": {timeline: taken.stats() for timeline, taken in timelines.items()},
    }


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
            `emotion_class`; of utterances `tag`, `style`, `sentence_type`, `length`, `emotion_class`, `person`
            (who was recorded) or `synthetic_voice`.
    """
    if label in ("language", "split") or tables.conversations.empty or _is_clips(tables):
        columns = tables.conversations if label in tables.conversations else tables.utterances
        values, frame = columns[label], pd.DataFrame(_amounts(tables))
        if label == "emotion_class":
            asked = tables.utterances["emotion_model"].notna()
            values, frame = values[asked], frame[asked]
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


def hours_of(tables: Tables, column: str) -> dict[str, float]:
    """Hours of conversations by the values of a column: `voices`, `language`."""
    recorded = tables.conversations[tables.conversations["augmented_from"].isna()]
    values = recorded[[column, "duration"]].explode(column)
    hours = values.groupby(column, observed=True)["duration"].sum() / 3600
    return {str(name): float(amount) for name, amount in hours.items()}


def counts(column: "pd.Series[Any]", most: int = 0, others: str = OTHER_KINDS) -> Counter[str]:
    """Number of each value, in order of appearance; null is none. `most`: further values are counted together."""
    numbers = column.value_counts(sort=False, dropna=True)
    counted: Counter[str] = Counter()
    for value, n in numbers[numbers > 0].items():
        counted[str(value) if not most or len(counted) < most or value in counted else others] += int(n)
    return counted


def word_sources(tables: Tables) -> Counter[str]:
    """Words by how their times are known."""
    sources: Counter[str] = Counter()
    for of_row in tables.conversations["word_sources"]:
        for part in of_row:
            sources[part["source"]] += part["words"]
    return sources


def without_text(tables: Tables) -> Counter[str]:
    """Utterances without a text by the kind of reason: reasons hold figures (`23 words in 0.5 s`)."""
    reasons: Counter[str] = Counter()
    for reason, n in counts(tables.utterances["text_reason"]).items():
        if reason:
            reasons[reason.partition("(")[0].strip()] += n
    return reasons


def reasons(tables: Tables) -> Counter[str]:
    """Utterances that are not as they should be by the kind of reason."""
    return _kinds(counts(tables.utterances["reason"]))


def corrections(tables: Tables) -> tuple[int, Counter[str], set[str]]:
    """Number of utterances that people corrected, in which fields, and who did."""
    edited = tables.utterances[["edited_by", "edited_fields"]].dropna(how="all")
    n = int((edited.map(lambda names: 0 if names is None else len(names)).sum(axis=1) > 0).sum())
    people, fields = (edited[name].explode().dropna() for name in edited)
    return n, Counter(fields), {*people}


# What it is like.


def moments(tables: Tables) -> pd.DataFrame:
    """Each of `MEASURES` of utterances: `count`, `mean`, `std` (of all, not of a sample), `min` and `max`."""
    values = _heard(tables, *MEASURES).astype(np.float64)
    return pd.DataFrame(
        {
            "count": values.count(),
            "mean": values.mean(),
            "std": values.std(ddof=0),
            "min": values.min(),
            "max": values.max(),
        }
    )


def affect(tables: Tables) -> pd.DataFrame:
    """`valence` and `arousal` of each utterance with both, and its `label`: its tag, of a clip its emotion."""
    said = _heard(tables, "valence", "arousal", "tag")
    labels = tables.conversations["emotion"][said.index] if _is_clips(tables) else said["tag"]
    values = said[["valence", "arousal"]].assign(label=_known(labels))
    return values.dropna()


def tag_measures(tables: Tables) -> pd.DataFrame:
    """Loudness, pitch and rate by tag, each less its speaker's mean in the conversation: columns of `OF_TAGS`.

    Columns are pairs of a name and `count` or `mean`. Those of takes begin with `TAKE`, and are less the mean of
    this voice's takes there. A speaker's only utterance is compared with nothing, and left out.
    """
    measured = [f"{prefix}{column}" for prefix in ("", TAKE) for column, _ in OF_TAGS.values()]
    said = _heard(tables, "conversation_id", "channel", "tag", "tag_said", "status", *VOICE, *measured)
    spoken = said[(said["status"] == "spoken") & said["engine"].notna() & said["tag_said"].fillna(True)]
    table = {}
    for prefix, of, voice in (("", said, ("channel",)), (TAKE, spoken, VOICE)):
        for name, (column, factor) in OF_TAGS.items():
            known = of[of[f"{prefix}{column}"] > 0]
            scaled = factor * np.log2(known[f"{prefix}{column}"].astype(np.float64))
            keys = [known[key].cat.codes for key in ("conversation_id", *voice)]
            groups = scaled.groupby(keys)
            apart = (scaled - groups.transform("mean"))[groups.transform("size") > 1]
            by_tag = apart.groupby(known["tag"].reindex(apart.index), observed=True)
            table[f"{prefix}{name}", "count"], table[f"{prefix}{name}", "mean"] = by_tag.count(), by_tag.mean()
    return pd.DataFrame(table)


def buckets(tables: Tables) -> dict[str, Counter[str]]:
    """Number of utterances in each bucket, by the name of the measure; those without any are left out."""
    said = _heard(tables, *(f"{name}_bucket" for name in BUCKETED))
    known = {name: counts(said[f"{name}_bucket"]) for name in BUCKETED}
    return {name: of for name, of in known.items() if of}


def crossed(tables: Tables, rows: str, columns: str) -> Counter[tuple[str, str]]:
    """How many recorded clips, or audible utterances, have which values of two labels.

    Where one is `emotion_class`, only what a classifier was asked of counts.
    """
    said = _heard(tables, *{rows, columns, "emotion_model"} & {*tables.utterances})
    labels = tables.conversations.loc[said.index] if _is_clips(tables) else said
    if "emotion_class" in (rows, columns):
        said = said[said["emotion_model"].notna()]
    pairs = zip(
        *(_known((labels if name in labels else said)[name][said.index]) for name in (rows, columns)), strict=True
    )
    return Counter(pairs)


def column_values(tables: Tables) -> dict[str, Counter[str] | pd.Series]:
    """Columns that a source or stages publish, by name: how often each value is, or `describe()` of numbers."""
    known: dict[str, Counter[str] | pd.Series] = {}
    for column in (*COLUMNS, *columns_among(tables.fields)):
        values = tables.conversations[column.name].dropna()
        if not len(values):
            continue
        if column.tally == "mean":
            known[column.name] = values.astype(np.float64).describe()
        elif column.tally == "count":
            known[column.name] = counts(values.explode().astype(str).str.slice(stop=LONGEST_VALUE), 50, "others")
    return known


# What became of it.


def length_ratios(tables: Tables) -> "pd.Series[float]":
    """New over recorded length of each resynthesised utterance."""
    said = _heard(tables, "status", "seconds", "source_seconds")
    spoken = said[said["status"] == "spoken"]
    return (spoken["seconds"] / spoken["source_seconds"]).dropna()


def cost(tables: Tables) -> float:
    """USD paid for speech; two utterances of one cached line were bought once."""
    paid = tables.utterances.loc[tables.utterances["cost"].fillna(0.0) != 0, ["cache_key", "cost"]]
    nameless = paid["cache_key"] == _NO_KEY
    return math.fsum([*paid[~nameless].drop_duplicates("cache_key")["cost"], *paid[nameless]["cost"]])


_NO_KEY = pd.util.hash_array(np.array([""], object))[0]


def furthest(tables: Tables) -> pd.DataFrame:
    """The `MOST_FAR` utterances whose delivery is furthest from the source, these first."""
    return tables.utterances.dropna(subset="delivery_distance").nlargest(MOST_FAR, "delivery_distance")


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
    known = tables.conversations[["kept_speakers", "speaker", "split", "clip"]].dropna(subset="split")
    names = known["kept_speakers"].where(~known["clip"], known["speaker"].astype(object))
    heard = known.assign(name=names).explode("name").dropna(subset="name").astype({"split": object})
    return {str(name): {*splits} for name, splits in heard.groupby("name")["split"]}


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
            name, url = model.get("name") or "", model.get("url") or ""
            made[Origin(model.get("role") or "", name, model.get("licence") or "", url)] += n
    return made


def models_of_run(run: Mapping[str, Any]) -> list[Origin]:
    """The models that a run.json names."""
    named = (run.get("models") or {}).items()
    return [Origin(role, of["name"], of.get("licence"), of.get("url") or "") for role, of in named]


def origins(tables: Tables) -> list[Origin]:
    """The models, without recognisers that recognised no words because all utterances had a transcript."""
    used = counts(tables.utterances["recogniser"])
    return sorted(model for model in models(tables) if model.role != "recogniser" or not used or used[model.name])


def sources(tables: Tables) -> Counter[tuple[str | None, str | None]]:
    """Names and licences of what rows were made from, with numbers of rows."""
    named: Counter[tuple[str | None, str | None]] = Counter()
    for record, n in provenances(tables):
        named[record.get("source"), record.get("source_licence")] += n
    return named


def settings(tables: Tables) -> dict[str, list[Any]]:
    """Settings of the synthesis and the timeline by name, each with all its values, in order of their text."""
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for text in sorted({record.get("settings") or "{}" for record, _ in provenances(tables)}):
        for name, value in expect(parse_json(text, "settings"), dict, "settings").items():
            values[name].setdefault(json.dumps(value, ensure_ascii=False), value)
    return {name: [*values[name].values()] for name in sorted(values)}


def named_in_provenance(tables: Tables, name: str) -> list[str]:
    """The texts of a field of the provenance that rows have, `tool` or `voice`, sorted."""
    return sorted({record[name] for record, _ in provenances(tables) if record.get(name)})


def provenances(tables: Tables) -> list[tuple[Mapping[str, Any], int]]:
    """Each provenance in its published shape, with its number of rows; empty where it can't be read."""
    column = tables.conversations["provenance"]
    known = [(provenance_of(text), n) for text, n in counts(column).items()]
    return [*known, *([({}, int(column.isna().sum()))] if column.isna().any() else [])]


#: The shape of a row's provenance, of which settings and models are other JSON before it is published.
_PUBLISHED = {
    "tool?": str,
    "voice?": str,
    "settings?": str,
    "models?": [dict.fromkeys(("role?", "name?", "licence?", "url?"), str)],
}


@lru_cache(maxsize=64)
def provenance_of(text: str) -> Mapping[str, Any]:
    """A row's provenance in its published shape; empty where it says nothing that can be read."""
    try:
        record = dict(expect(parse_json(text, "provenance"), dict, "provenance"))
    except BadInput:
        return {}
    if isinstance(models := record.get("models"), dict):
        named = ((role, model) for role, model in sorted(models.items()) if isinstance(model, dict))
        record["models"] = [{"role": role, **model} for role, model in named]
    if isinstance(settings := record.get("settings"), dict):
        record["settings"] = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return record if fits(record, _PUBLISHED) else {}


def _kinds(reasons: Mapping[str, int]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for reason, n in reasons.items():
        kind = kind_of(reason)
        kinds[kind if kind in kinds or len(kinds) < MOST_KINDS else OTHER_KINDS] += n
    return kinds


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
