"""Evaluation of the tokens and embeddings of a folder: probes, variance by speaker, masked tokens.

An impossible evaluation is one sentence among the notes, and the rest goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import probes as linear_probes
from dailytalk_contiguous.apps.learn.embeddings import EMBEDDINGS, check_codebook, read_embeddings
from dailytalk_contiguous.apps.learn.masked_scores import Prediction, divide_known, score_predictions
from dailytalk_contiguous.apps.learn.similar import speaker_of
from dailytalk_contiguous.apps.learn.token_rows import CONTOUR_SHARDS, clusters_of, token_rows
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.egemaps import EGEMAPS_TERMS
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.publish.items import clip_shards
from dailytalk_contiguous.publish.templates import environment

#: Columns of a row of tokens that are needed here; the others, of each word, are large.
_KEPT = ("id", "conversation_id", "channel", "speaker", "start", "end", "text", "language", "tag", "labels")


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        name: of the folder. utterances, speakers: with all kinds of features.
        features: numbers of each kind of features.
        probes: of every target on every kind.
        shares: of the variance of each kind that is between speakers.
        predictions: of masked tokens; none without an encoder.
        notes: a sentence on everything that could not be evaluated, or limits the result.
    """

    name: str
    utterances: int
    speakers: int
    features: Mapping[str, int]
    probes: Sequence[linear_probes.LinearProbe]
    shares: Mapping[str, linear_probes.Score]
    predictions: Sequence[Prediction]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "utterances": self.utterances,
            "speakers": self.speakers,
            "features": dict(self.features),
            "probes": [probe._asdict() | {"recall": probe.recall._asdict()} for probe in self.probes],
            "speaker_share": {kind: share._asdict() for kind, share in self.shares.items()},
            "predictions": [
                prediction._asdict()
                | {"accuracy": prediction.accuracy._asdict(), "perplexity": prediction.perplexity._asdict()}
                for prediction in self.predictions
            ],
            "notes": list(self.notes),
        }

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Tables of at most 80 columns: title, head and rows of each; an empty one is left out."""
        probes: list[tuple[str, ...]] = [
            (
                probe.target,
                probe.features,
                *probe.recall.shown(),
                f"{100 * probe.chance:.1f}",
                f"{len(probe.classes):,}",
                f"{probe.utterances:,}",
                f"{probe.speakers:,}",
            )
            for probe in self.probes
        ]
        shares: list[tuple[str, ...]] = [(kind, *share.shown()) for kind, share in self.shares.items()]
        predictions: list[tuple[str, ...]] = [
            (
                row.model,
                *row.accuracy.shown(),
                *row.perplexity.shown(2, 1.0),
                f"{row.frames:,}",
            )
            for row in self.predictions
        ]
        made = [
            ("linear probes, tested on other speakers (who speaks: on other utterances)", _PROBES, probes),
            ("variance of the features that is between speakers", _SHARES, shares),
            ("masked tokens predicted", _PREDICTIONS, predictions),
        ]
        return [table for table in made if table[2]]

    def markdown(self) -> str:
        template = environment(__package__, markdown=True).get_template("evaluation.md")
        return template.render(figures=self, fewest=linear_probes.LEAST_DRAWN)


_PROBES = ("target", "features", "recall %", "interval", "chance", "classes", "utterances", "speakers")
_SHARES = ("features", "share %", "interval")
_PREDICTIONS = ("model", "right %", "interval", "perplexity", "interval", "frames")


def evaluate_tokens(
    folder: Path,
    encoder: ProsodicSequenceEncoder | None = None,
    training: Mapping[str, Any] | None = None,
    embeddings: Path | None = None,
    contours: Path | None = None,
    sound: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate the tokens of a folder, and all other features of its utterances that are available.

    Args:
        folder: of `dailytalk tokens encode`.
        encoder: computes embeddings, and predicts masked tokens. training: its record, if there is one.
        embeddings: a folder of `dailytalk tokens embed`, in place of an encoder; None: `folder`, if there are any.
        contours: a folder of `dailytalk tokens extract`; None: `folder`, if there are any.
        sound: for eGeMAPS (`open_sound`), if opensmile is installed.
        seed: of all draws.

    Raises DailytalkError for a folder without tokens, for named folders without content, and if scikit-learn is
    missing; BadInput for damaged files and tokens of several codebooks.
    """
    rows, codebook = list[Row](), ""
    for row in token_rows(folder):
        interrupts.check_interrupt()
        codebook = codebook or row["prosody_model"]
        check_codebook(row, codebook)
        if row["prosody_tokens"]:
            tokens = np.asarray(row["prosody_tokens"], np.int16)
            rows.append({name: row[name] for name in _KEPT} | {"prosody_tokens": tokens})
    if not rows:
        raise DailytalkError(f"{as_text(folder)!r} has no utterance with tokens", "encode recordings with speech")
    if encoder is not None:
        check_codebook({"id": rows[0]["id"], "prosody_model": codebook}, encoder.config.prosody_model)
    kinds, notes = dict[str, Mapping[str, linear_probes.Vectors]](), list[str]()
    if encoder is not None:
        kinds["embedding"] = _by_id(rows, encoder.embed([row["prosody_tokens"] for row in rows]))
    elif embeddings is not None or (folder / EMBEDDINGS).is_file():
        held = read_embeddings(embeddings or folder)
        kinds["embedding"] = _by_id(held.rows, held.vectors)
    else:
        notes.append("embedding: there is none, pass --encoder, or --embeddings")
    kinds["tokens"] = _by_id(rows, linear_probes.token_histograms(rows, clusters_of(codebook)))
    if contours is not None or clip_shards(folder / CONTOUR_SHARDS):
        kinds["contours"] = dict(linear_probes.statistics_in(contours or folder))
    else:
        notes.append("contours: none are there, make them with `dailytalk tokens extract` and pass --contours")
    if functionals := _egemaps(rows, folder, sound, notes):
        kinds["eGeMAPS"] = functionals
    kept, features, lacking = linear_probes.joined_features(rows, kinds)
    notes += lacking
    probes, left_out = (
        linear_probes.probe_all(kept, features, seed) if kept else ([], ["no utterance has all kinds of features"])
    )
    notes += left_out
    speakers = [speaker_of(row) for row in kept]
    shares = {kind: linear_probes.speaker_share(vectors, speakers, seed) for kind, vectors in features.items()}
    return Evaluation(
        as_text(folder.absolute().name),
        len(kept),
        len(set(speakers)),
        {kind: vectors.shape[1] for kind, vectors in features.items()},
        probes,
        {kind: share for kind, share in shares.items() if share is not None},
        _predictions(rows, encoder, training, seed, notes),
        notes,
    )


def _by_id(rows: Sequence[Row], vectors: NDArray[np.float32]) -> dict[str, linear_probes.Vectors]:
    return {row["id"]: vector for row, vector in zip(rows, vectors, strict=True)}


def _egemaps(
    rows: Sequence[Row], folder: Path, sound: str | None, notes: list[str]
) -> dict[str, linear_probes.Vectors]:
    try:
        functionals = {
            name: values for name, values in linear_probes.egemaps_of(rows, folder, sound) if values is not None
        }
    except DailytalkError as problem:
        notes.append(f"eGeMAPS: left out, {problem.reason}")
        return {}
    notes.append(f"eGeMAPS: by {EGEMAPS_TERMS}")
    return functionals


def _predictions(
    rows: Sequence[Row],
    encoder: ProsodicSequenceEncoder | None,
    training: Mapping[str, Any] | None,
    seed: int,
    notes: list[str],
) -> list[Prediction]:
    if encoder is None:
        notes.append("masked tokens: nothing predicts them, pass --encoder")
        return []
    sequences, speakers = [row["prosody_tokens"] for row in rows], [speaker_of(row) for row in rows]
    known, scored, note = divide_known(sequences, speakers, training, seed)
    notes.append(note)
    if (n_speakers := len({speakers[place] for place in scored})) < linear_probes.LEAST_DRAWN:
        notes.append(f"masked tokens: predicted of {counted(n_speakers, 'speaker')}, too few for an interval")
    try:
        return score_predictions(
            encoder,
            [sequences[place] for place in known],
            [sequences[place] for place in scored],
            [speakers[place] for place in scored],
            seed,
        )
    except DailytalkError as problem:
        notes.append(f"masked tokens: {problem.reason}")
        return []
