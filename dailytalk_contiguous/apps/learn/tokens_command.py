"""`dailytalk tokens`: prosody as contours, clusters and sequences of tokens."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.learn import token_rows
from dailytalk_contiguous.apps.learn.clusters import REDUCERS, ClusteringPipeline, gather_frames, write_codebook
from dailytalk_contiguous.apps.learn.extract_contours import ExtractContours
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option
from dailytalk_contiguous.core.audio import pcm_to_float, read_header, read_pcm, to_uri
from dailytalk_contiguous.core.contours import EMPHASIS, SMOOTHING, as_features, median_f0
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.codebook import MOST_CLUSTERS, WEIGHTS, Codebook
from dailytalk_contiguous.models.prosodic_sequences import seen_by
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.work_folder import REJECTS, RUN, read_run

EXTRACT_SETTINGS = cli_options.setting_options(Segment(), ExtractContours())
ENCODE_SETTINGS = cli_options.setting_options(Segment(), TokeniseProsody())
PLOT_SETTINGS = cli_options.setting_options(TokeniseProsody())

#: Tokens of a codebook without --n-clusters.
N_CLUSTERS = 120

#: The text of --weights in the help.
SHOWN_WEIGHTS = ", ".join(f"{name}={weight:g}" for name, weight in WEIGHTS.items())

#: Suffixes of the files of pictures.
PICTURES = (".png", ".svg", ".pdf")

START = END = cli_options.time_of({})

INPUTS = argument(
    "INPUT", "Recordings or folders of them (s3:// too); or a work folder, a corpus, or OWNER/NAME on the Hub."
)


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
    cluster` makes a codebook. Run the same command after a stop: it goes on.
    """
    settings = cli_options.chosen(options, EXTRACT_SETTINGS)
    return _make(inputs, out, ExtractContours, settings, workers, prune)


@cli_options.with_options(ENCODE_SETTINGS)
def encode(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    **options: Any,
) -> Outcome:
    """Turn every utterance into prosodic tokens.

    One every 16 ms, in runs, and by word. Run the same command after a stop: it goes on.
    """
    settings = cli_options.chosen(options, ENCODE_SETTINGS)
    return _make(inputs, out, TokeniseProsody, settings, workers, prune)


def cluster(
    folder: Path = argument("DIR", "What dailytalk tokens extract has written."),
    out: Path = cli_options.out_option(),
    n_clusters: int | None = option(
        None,
        Panel.RESULT,
        "Tokens, that of silence among them.",
        metavar="N",
        min=2,
        max=MOST_CLUSTERS,
        show_default="120",
    ),
    sweep: str | None = option(
        None, Panel.RESULT, "Make several, each in a folder of its own: 64,120,256.", metavar="N,N,…"
    ),
    speaker_relative: bool = option(
        False, Panel.RESULT, "Take f0 relative to its speaker's median.", "--speaker-relative"
    ),
    weights: str | None = option(
        None, Panel.RARE, "What columns count: f0=1.5,power=2.", metavar="NAME=N,…", show_default=SHOWN_WEIGHTS
    ),
    reduced_dims: int | None = option(
        None, Panel.RARE, "Reduce the columns to so many first.", metavar="N", show_default="as they are"
    ),
    reducer: str | None = option(
        None,
        Panel.RARE,
        f"What reduces them: {cli_options.either(REDUCERS)} (extra umap).",
        metavar="NAME",
        show_default=REDUCERS[0],
    ),
    device: str = cli_options.DEVICE_OPTION,
    seed: int = cli_options.SEED_OPTION,
) -> Outcome:
    """Make a codebook, and say how good its clusters are.

    The contours of a folder are clustered: the same contours and seed give the same codebook. Needs the extra
    `tokens`; to use a codebook does not.
    """
    cli_options.on_this_machine("--out", out)
    if sweep is not None and n_clusters is not None:
        raise DailytalkError("--sweep replaces --n-clusters", "leave one of both out")
    if reducer is not None and reduced_dims is None:
        raise DailytalkError("--reducer goes with --reduced-dims", "add --reduced-dims N, or leave it out")
    counts = [n_clusters or N_CLUSTERS] if sweep is None else numbers_of("--sweep", sweep)
    smoothing = smoothing_of(folder)
    pipelines = [
        ClusteringPipeline(
            count,
            device=device,
            weights=WEIGHTS | weights_of(weights),
            seed=seed,
            smoothing=smoothing,
            emphasize_ratio=EMPHASIS,
            speaker_relative=speaker_relative,
        )
        for count in counts
    ]
    frames = gather_frames(folder, speaker_relative).finalize()
    reports: list[dict[str, Any]] = []
    for pipeline in pipelines:
        codebook_folder = out if sweep is None else out / str(pipeline.n_clusters)
        codebook = pipeline.train(frames, None, reduced_dims, reducer or REDUCERS[0])
        quality = pipeline.clustering_quality_analysis(frames)
        write_codebook(codebook, quality, codebook_folder)
        reports.append({"out": as_text(codebook_folder), "name": codebook.name} | quality._asdict())
    rows = []
    for report in reports:
        silhouettes = report["silhouette"], report["silhouette_with_silence"]
        rows.append(
            (
                f"{len(report['sizes']):,}",
                f"{report['frames'] - report['silent']:,}",
                f"{report['inertia']:,.1f}",
                f"{report['perplexity']:.1f}",
                f"{report['dead']}",
                *("–" if score is None else f"{score:.3f}" for score in silhouettes),
                report["out"],
            )
        )
    numbers = ("tokens", "voiced frames", "inertia", "perplexity", "dead", "silhouette", "with silence")
    return Outcome(
        reports if sweep is not None else reports[0],
        f"{counted(len(reports), 'codebook')} in {as_text(out)}",
        details=[Figures((*(f">{heading}" for heading in numbers), ""), rows)],
        next=to_run("tokens", "encode", "INPUT", "--prosodic-tokens", reports[0]["out"], "--out", "DIR"),
    )


def smoothing_of(folder: Path) -> str:
    token_rows.contour_shards(folder)
    smoothing = ((read_run(folder) or {}).get("settings") or {}).get("smoothing")
    if smoothing not in (*SMOOTHING,):
        raise DailytalkError(
            f"{as_text(folder / RUN)!r} does not say how the contours were smoothed",
            "run `dailytalk tokens extract` again: it writes what is missing",
        )
    return str(smoothing)


def numbers_of(flag: str, text: str) -> list[int]:
    """The whole numbers of a list with commas. Raises DailytalkError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise BadValue(f"{flag} can't be {text!r}", "give whole numbers with commas between them")
    return [int(part) for part in dict.fromkeys(parts)]


def weights_of(text: str | None) -> dict[str, float]:
    """The weights of `NAME=N,…`. Raises DailytalkError for anything else."""
    weights = {}
    for part in text.split(",") if text else ():
        name, _, number = part.strip().partition("=")
        try:
            weights[cli_options.one_of("--weights", name, WEIGHTS)] = float(number)
        except ValueError:
            raise BadValue(f"--weights can't be {part!r}", "give NAME=N, such as f0=1.5") from None
    return weights


@cli_options.with_options(PLOT_SETTINGS)
def plot(
    sound: Path = argument("FILE", "A sound file."),
    out: Path = cli_options.file_option(),
    side: str = option("left", Panel.INPUT, "Which channel of a stereo file: left or right.", metavar="NAME"),
    start: float = option(0.0, Panel.INPUT, "Where the picture begins.", parser=START, metavar=cli_options.TIME),
    end: float | None = option(
        None, Panel.INPUT, "Where it ends.", parser=END, metavar=cli_options.TIME, show_default="the file's end"
    ),
    **options: Any,
) -> Outcome:
    """Draw the contours of a sound, and its tokens below.

    As a picture: PNG, SVG or PDF, by the ending of --out.
    """
    cli_options.on_this_machine("--out", out)
    if out.suffix.lower() not in PICTURES:
        raise BadValue(
            f"--out can't be {as_text(out)!r}", f"name a file that ends in {cli_options.either(PICTURES)}"
        )
    if end is not None and end <= start:
        raise DailytalkError(f"--end {end:g} is not after --start {start:g}", "name a later second")
    stage = TokeniseProsody(**chosen_for(TokeniseProsody, cli_options.chosen(options, PLOT_SETTINGS)))
    codebook = Codebook.load(stage.codebook)
    audio = {"bytes": None, "path": to_uri(sound)}
    try:
        if start >= (seconds := read_header(audio).seconds):
            raise BadInput(f"it has {seconds:g} s", "")
        channels = read_pcm(audio, start, end and end - start)
    except (OSError, BadInput) as error:
        reason = error.reason if isinstance(error, BadInput) else error.strerror or "it can't be read"
        raise DailytalkError(f"{as_text(sound)!r}: {reason}", "name another file or other times") from None
    channel = CHANNELS.index(cli_options.one_of("--side", side, CHANNELS))
    if channel >= channels.shape[1]:
        raise DailytalkError(f"{as_text(sound)!r} has one channel", "leave --side out")
    samples = pcm_to_float(channels[:, channel])
    contours = replace(codebook.extractor, output_normalize=False)
    features = as_features(codebook.extractor.extract(audio_tensor=samples))
    tokens, _ = codebook.assign(seen_by(codebook, features, median_f0(features)))
    figure = contours.feature_figure(contours.extract(audio_tensor=samples), tokens.tolist())
    with replacing(out) as file:
        figure.savefig(file, format=out.suffix.lower().removeprefix("."))
    record = {"out": as_text(out), "frames": len(tokens), "tokens": tokens.tolist()}
    return Outcome(record, f"{counted(len(tokens), 'frame')} in {record['out']}")


def _make(
    inputs: list[str],
    out: Path,
    kind: type[ExtractContours | TokeniseProsody],
    settings: Mapping[str, Any],
    workers: int | None,
    prune: bool,
) -> Outcome:
    cli_options.on_this_machine("--out", out)
    stage, segment = kind(**chosen_for(kind, settings)), Segment(mono=True, **chosen_for(Segment, settings))
    speech = token_rows.find_speech(inputs, out, segment)
    show.say_left_out(speech.recordings.left_out)
    spec = token_rows.ProsodySpec(speech, out, stage, {"command": command_line()})
    with show.bar() as planned:
        done = run(spec, RunOptions(workers or 1, prune=prune), planned=planned)
    assert done.record is not None
    counts, hours = done.counts, done.record["hours"]
    encoded, made = isinstance(stage, TokeniseProsody), bool(counts["conversations"])
    shards = as_text(out / (token_rows.TOKEN_SHARDS if encoded else token_rows.CONTOUR_SHARDS))
    details = []
    if done.run.done:
        details = [f"{length_text(done.run.audio_done)} in {length_text(done.wall_seconds)}"]
    elif made:
        details = ["nothing to do: all of it is there"]
    headline = f"{counted(counts['conversations'], 'conversation')}, {length_text(hours['audio'] * 3600)}"
    return Outcome(
        {
            "out": shards if made else None,
            "counts": counts,
            "hours": hours,
            "rejects": [reject.as_dict() for reject in done.rejects],
            "audio_seconds": round(done.run.audio_done, 2),
            "wall_seconds": round(done.wall_seconds, 2),
        },
        f"{headline} in {shards}" if made else headline,
        exit_code(counts["conversations"], len(done.rejects)),
        details,
        rejected_of(done.rejects, where=f"in {as_text(out / REJECTS)}"),
        to_run("tokens", "train" if encoded else "cluster", out, "--out", "DIR") if made else "",
    )
