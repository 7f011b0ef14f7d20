"""`dailytalk tokens extract`, `cluster` and `encode`: prosody as contours, clusters and sequences of tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.learn import token_rows
from dailytalk_contiguous.apps.learn.clusters import ClusteringPipeline, gather_frames
from dailytalk_contiguous.apps.learn.extract_contours import ExtractContours
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.codebook import ABOUT, MOST_CLUSTERS, Codebook
from dailytalk_contiguous.models.contours import EMPHASIS
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.store.work_folder import REJECTS, read_run

EXTRACT_SETTINGS = cli_options.setting_options(Segment(), ExtractContours())
ENCODE_SETTINGS = cli_options.setting_options(Segment(), TokeniseProsody())

INPUTS = argument("INPUT", "Recordings or folders of them (s3:// too).")


@cli_options.with_options(EXTRACT_SETTINGS)
def extract(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    **options: Any,
) -> Outcome:
    """Measure six contours of every utterance.

    Pitch, its width, two formants, power, harmonics to noise: a value every 16 ms, from which `dailytalk tokens
    cluster` makes a codebook. After a stop, run the same command again.
    """
    settings = cli_options.chosen(options, EXTRACT_SETTINGS)
    return _make(inputs, out, ExtractContours, settings, workers, prune)


@cli_options.with_options(ENCODE_SETTINGS)
def encode(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    transcripts: Path | None = engine_options.TRANSCRIPTS,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    **options: Any,
) -> Outcome:
    """Turn every utterance into prosodic tokens.

    It writes one token every 16 ms, in runs and by word, beside the text and the tag that a transcript has. After
    a stop, run the same command again.
    """
    settings = cli_options.chosen(options, ENCODE_SETTINGS)
    return _make(inputs, out, TokeniseProsody, settings, workers, prune, transcripts)


def cluster(
    folder: Path = argument("DIR", "Folder of dailytalk tokens extract."),
    out: Path = cli_options.out_option(),
    n_clusters: int = option(
        120,
        Panel.RESULT,
        "Number of tokens, including the one for silence.",
        metavar="N",
        min=2,
        max=MOST_CLUSTERS,
    ),
    speaker_relative: bool = option(
        False, Panel.RESULT, "Take f0 relative to its speaker's median.", "--speaker-relative", hidden=True
    ),
    device: str = cli_options.DEVICE_OPTION,
    seed: int = cli_options.SEED_OPTION,
) -> Outcome:
    """Make a codebook, and say how good its clusters are.

    The contours of a folder are clustered: the same contours and seed give the same codebook. It needs the extra
    `tokens`; using a codebook does not.
    """
    cli_options.on_this_machine("--out", out)
    token_rows.contour_shards(folder)
    smoothing = read_run(folder).settings.get("smoothing", ExtractContours.smoothing)
    pipeline = ClusteringPipeline(
        n_clusters,
        device=device,
        seed=seed,
        smoothing=smoothing,
        emphasize_ratio=EMPHASIS,
        speaker_relative=speaker_relative,
    )
    frames = gather_frames(folder, speaker_relative).finalize()
    codebook = pipeline.train(frames, None)
    quality = pipeline.clustering_quality_analysis(frames)
    if (out / ABOUT).exists() and Codebook.load(out).name != codebook.name:
        raise DailytalkError(f"{as_text(out)!r} holds another codebook", "choose another --out, or delete it")
    codebook.save(out)
    record = {"out": as_text(out), "name": codebook.name, **quality._asdict()}
    voiced = counted(quality.frames - quality.silent, "voiced frame")
    silhouette = "–" if quality.silhouette is None else f"{quality.silhouette:.3f}"
    figures = (
        f"{voiced}, inertia {quality.inertia:,.1f}, perplexity {quality.perplexity:.1f}, {quality.dead} dead, "
        f"silhouette {silhouette}"
    )
    headline = f"a codebook of {n_clusters:,} tokens in {as_text(out)}"
    following = to_run("tokens", "encode", "INPUT", "--prosodic-tokens", out, "--out", "DIR")
    return Outcome(record, headline, details=[figures], next=following)


def _make(
    inputs: list[str],
    out: Path,
    kind: type[ExtractContours | TokeniseProsody],
    settings: Mapping[str, object],
    workers: int | None,
    prune: bool,
    transcripts: Path | None = None,
) -> Outcome:
    """Run a stage of this kind on the utterances of recordings."""
    cli_options.on_this_machine("--out", out)
    stage = kind(**chosen_for(kind, settings))
    segment = Segment(mono=True, **chosen_for(Segment, settings))
    about = {"command": command_line()}
    spec = token_rows.ProsodySpec(inputs, out, stage, segment, about, transcripts=transcripts)
    show.say_left_out(spec.recordings.left_out)
    with show.bar() as planned:
        done = run(spec, RunOptions(workers or 1, prune=prune), planned=planned)
    assert done.record is not None
    counts = done.counts
    hours = done.record["hours"]
    n_conversations = counts["conversations"]
    record = {
        "out": None,
        "counts": counts,
        "hours": hours,
        "rejects": [reject.as_dict() for reject in done.rejects],
    }
    headline = f"{counted(n_conversations, 'conversation')}, {length_text(hours['audio'] * 3600)}"
    code = exit_code(n_conversations, len(done.rejects))
    rejected = rejected_of(done.rejects, where=f"in {as_text(out / REJECTS)}")
    if not n_conversations:
        return Outcome(record, headline, code, rejected=rejected)
    is_encoded = isinstance(stage, TokeniseProsody)
    shards = as_text(out / (token_rows.TOKEN_SHARDS if is_encoded else token_rows.CONTOUR_SHARDS))
    record["out"] = shards
    details = [] if done.run.done else ["nothing to do: all of it is there"]
    following = to_run("tokens", "train" if is_encoded else "cluster", out, "--out", "DIR")
    return Outcome(record, f"{headline} in {shards}", code, details, rejected, following)
