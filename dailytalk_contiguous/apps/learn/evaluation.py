"""Evaluation of the tokens and embeddings of a folder: linear probes, and variance by speaker.

An impossible evaluation is one sentence among the notes, and the rest goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.apps.learn import probes as linear_probes
from dailytalk_contiguous.apps.learn.embeddings import EMBEDDINGS, check_codebook, read_embeddings
from dailytalk_contiguous.apps.learn.similar import speaker_of
from dailytalk_contiguous.apps.learn.token_rows import (
    CONTOUR_SHARDS,
    clusters_of,
    contour_rows_of,
    contour_shards,
    token_rows,
)
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.contours import as_features
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.publish.items import clip_shards
from dailytalk_contiguous.publish.templates import environment

#: Columns of a row of tokens that are not needed here, and are large.
_LARGE = ("prosody_runs", "prosody_words")


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        name: of the folder. utterances, speakers: with all kinds of features.
        features: numbers of each kind of features.
        probes: of every target on every kind.
        shares: of the variance of each kind that is between speakers.
        notes: a sentence on everything that could not be evaluated, or limits the result.
    """

    name: str
    utterances: int
    speakers: int
    features: Mapping[str, int]
    probes: Sequence[linear_probes.LinearProbe]
    shares: Mapping[str, float]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "utterances": self.utterances,
            "speakers": self.speakers,
            "features": dict(self.features),
            "probes": [probe._asdict() | {"recall": probe.recall._asdict()} for probe in self.probes],
            "speaker_share": dict(self.shares),
            "notes": list(self.notes),
        }

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Tables of at most 80 columns: title, head and rows of each; an empty one is left out."""
        probes: list[tuple[str, ...]] = [
            (
                probe.target,
                probe.features,
                *probe.recall.shown(),
                f"{100 / len(probe.classes):.1f}",
                f"{len(probe.classes):,}",
                f"{probe.utterances:,}",
                f"{probe.speakers:,}",
            )
            for probe in self.probes
        ]
        shares: list[tuple[str, ...]] = [(kind, f"{100 * share:.1f}") for kind, share in self.shares.items()]
        head = ("target", "features", "recall %", "interval", "chance", "classes", "utterances", "speakers")
        made = [
            ("linear probes, tested on other speakers (who speaks: on other utterances)", head, probes),
            ("variance of the features that is between speakers", ("features", "share %"), shares),
        ]
        return [table for table in made if table[2]]

    def markdown(self) -> str:
        template = environment(__package__, markdown=True).get_template("evaluation.md")
        return template.render(figures=self, fewest=linear_probes.LEAST_DRAWN)


def evaluate_tokens(
    folder: Path,
    encoder: ProsodicSequenceEncoder | None = None,
    embeddings: Path | None = None,
    contours: Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate the tokens of a folder, and all other features of its utterances that are available.

    Args:
        folder: of `dailytalk tokens encode`.
        encoder: computes embeddings.
        embeddings: a folder of `dailytalk tokens embed`, in place of an encoder; None: `folder`, if there are any.
        contours: a folder of `dailytalk tokens extract`; None: `folder`, if there are any.
        seed: of all draws.

    Raises DailytalkError for a folder without tokens, for named folders without content, and if scikit-learn is
    missing; BadInput for damaged files and tokens of several codebooks.
    """
    rows, codebook = list[Row](), encoder.config.prosody_model if encoder else ""
    for row in token_rows(folder):
        interrupts.check_interrupt()
        codebook = codebook or row["prosody_model"]
        check_codebook(row, codebook)
        if row["prosody_tokens"]:
            tokens = {"prosody_tokens": np.asarray(row["prosody_tokens"], np.int16)}
            rows.append({name: value for name, value in row.items() if name not in _LARGE} | tokens)
    if not rows:
        raise DailytalkError(f"{as_text(folder)!r} has no utterance with tokens", "encode recordings with speech")
    kinds, notes = dict[str, Mapping[str, linear_probes.Vectors]](), list[str]()

    def by_id(rows: Sequence[Row], vectors: linear_probes.Vectors) -> dict[str, linear_probes.Vectors]:
        return {row["id"]: vector for row, vector in zip(rows, vectors, strict=True)}

    if encoder is not None:
        kinds["embedding"] = by_id(rows, encoder.embed([row["prosody_tokens"] for row in rows]))
    elif embeddings is not None or (folder / EMBEDDINGS).is_file():
        kinds["embedding"] = by_id(*read_embeddings(embeddings or folder))
    else:
        notes.append("embedding: there is none, pass --encoder, or --embeddings")
    kinds["tokens"] = by_id(rows, linear_probes.token_histograms(rows, clusters_of(codebook)))
    if contours is not None or clip_shards(folder / CONTOUR_SHARDS):
        kinds["contours"] = {
            row["id"]: linear_probes.contour_statistics(as_features(row["contours"]))
            for path in contour_shards(contours or folder)
            for row in contour_rows_of(path)
        }
    else:
        notes.append("contours: none are there, make them with `dailytalk tokens extract` and pass --contours")
    kept = [row for row in rows if all(row["id"] in vectors for vectors in kinds.values())]
    if len(kept) < len(rows):
        notes.append(f"{len(kept):,} of {counted(len(rows), 'utterance')} have all kinds of features")
    if not kept:
        raise DailytalkError("no utterance has all kinds of features", "name those of the same utterances")
    features = {kind: np.stack([vectors[row["id"]] for row in kept]) for kind, vectors in kinds.items()}
    speakers = [speaker_of(row) for row in kept]
    shares = {kind: linear_probes.speaker_share(vectors, speakers) for kind, vectors in features.items()}
    probes, left_out = linear_probes.probe_all(kept, features, seed)
    if len({*speakers}) < linear_probes.LEAST_DRAWN:
        notes.append(f"{counted(len({*speakers}), 'speaker')}, too few for an interval")
    return Evaluation(
        as_text(folder.absolute().name),
        len(kept),
        len({*speakers}),
        {kind: vectors.shape[1] for kind, vectors in features.items()},
        probes,
        {kind: share for kind, share in shares.items() if share is not None},
        notes + left_out,
    )
