"""`dailytalk tokens`: how something is said, as contours, clusters and sequences of tokens."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    command_line,
    exit_code,
    option,
    plain_table,
    print_json,
    show_rejected,
    show_verdict,
)
from dailytalk_contiguous.core.audio import pcm_to_float, probe, read_analysis, to_uri
from dailytalk_contiguous.core.contours import SMOOTHING, ProsodicFeatureExtractor, as_features, median_f0
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.learn import token_rows
from dailytalk_contiguous.learn.clusters import ClusteringPipeline, gather_frames, write_codebook
from dailytalk_contiguous.models.codebook import MOST_CLUSTERS, REDUCERS, WEIGHTS, Codebook
from dailytalk_contiguous.models.devices import DEVICES, resolve_device
from dailytalk_contiguous.models.prosodic_sequences import seen_by
from dailytalk_contiguous.run.outputs import REJECTS, RUN, read_run
from dailytalk_contiguous.run.passes import RunOptions
from dailytalk_contiguous.stages.base import DEVICE
from dailytalk_contiguous.stages.extract_contours import ExtractContours
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.store.files import write_atomically

EXTRACT_SETTINGS = cli_options.setting_options(Segment(), ExtractContours())
ENCODE_SETTINGS = cli_options.setting_options(Segment(), TokeniseProsody())
PLOT_SETTINGS = cli_options.setting_options(TokeniseProsody())

#: Tokens of a codebook without --n-clusters.
N_CLUSTERS = 120

#: Suffixes of the files of pictures.
PICTURES = (".png", ".svg", ".pdf")

START, END = cli_options.time_of("--start", {}), cli_options.time_of("--end", {})

SpokenArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Recordings or folders of them (s3:// too); or a work folder, a corpus, or OWNER/NAME on the Hub.",
    ),
]


@cli_options.with_options(EXTRACT_SETTINGS)
def extract(
    inputs: SpokenArgument,
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the contours.", metavar="DIR")],
    workers: Annotated[int, cli_options.workers_option()] = 1,
    as_json: AsJsonOption = False,
    prune: cli_options.PruneOption = False,
    follow_links: cli_options.FollowLinksOption = False,
    **options: Any,
) -> None:
    """Measure six contours of every utterance: pitch, its width, two formants, power, harmonics to noise.

    A value every 16 ms, from which `dailytalk tokens cluster` makes a codebook. Run the same command after a stop:
    it goes on.
    """
    settings = cli_options.chosen(options, EXTRACT_SETTINGS)
    _make(inputs, out, ExtractContours, settings, workers, as_json, prune, follow_links)


@cli_options.with_options(ENCODE_SETTINGS)
def encode(
    inputs: SpokenArgument,
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the tokens.", metavar="DIR")],
    workers: Annotated[int, cli_options.workers_option()] = 1,
    as_json: AsJsonOption = False,
    prune: cli_options.PruneOption = False,
    follow_links: cli_options.FollowLinksOption = False,
    **options: Any,
) -> None:
    """Turn every utterance into prosodic tokens: one every 16 ms, in runs, and by word.

    Run the same command after a stop: it goes on.
    """
    settings = cli_options.chosen(options, ENCODE_SETTINGS)
    _make(inputs, out, TokeniseProsody, settings, workers, as_json, prune, follow_links)


@cli_options.with_options({})
def cluster(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What dailytalk tokens extract has written.")],
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the codebook.", metavar="DIR")],
    n_clusters: Annotated[
        int | None,
        option(
            HelpPanel.RESULT,
            "Tokens, that of silence among them.",
            metavar="N",
            min=2,
            max=MOST_CLUSTERS,
            show_default="120",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        option(HelpPanel.RESULT, "Make several, each in a folder of its own: 64,120,256.", metavar="N,N,…"),
    ] = None,
    speaker_relative: Annotated[
        bool,
        option(HelpPanel.RESULT, "Take f0 relative to its speaker's median.", "--speaker-relative"),
    ] = False,
    weights: Annotated[
        str | None,
        option(
            HelpPanel.RARE,
            "What columns count: f0=1.5,power=2.",
            metavar="NAME=N,…",
            show_default=", ".join(f"{name}={weight:g}" for name, weight in WEIGHTS.items()),
        ),
    ] = None,
    reduced_dims: Annotated[
        int | None,
        option(HelpPanel.RARE, "Reduce the columns to so many first.", metavar="N", show_default="as they are"),
    ] = None,
    reducer: Annotated[
        str | None,
        option(
            HelpPanel.RARE,
            f"What reduces them: {cli_options.either(REDUCERS)} (extra umap).",
            metavar="NAME",
            show_default=REDUCERS[0],
        ),
    ] = None,
    max_iter: Annotated[
        int, option(HelpPanel.RARE, "Most steps on the sample, before all frames are passed.", metavar="N", min=1)
    ] = 1000,
    device: Annotated[
        str,
        option(HelpPanel.MODELS, DEVICE.about.replace("{choices}", cli_options.either(DEVICES)), metavar="NAME"),
    ] = "auto",
    seed: Annotated[int, cli_options.seed_option()] = 0,
    as_json: AsJsonOption = False,
) -> None:
    """Make a codebook: cluster the contours of a folder, and say how good the clusters are.

    The same contours and seed give the same codebook. Needs the extra `tokens`; to use a codebook does not.
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
            device=resolve_device(device),
            weights=WEIGHTS | weights_of(weights),
            seed=seed,
            smoothing=smoothing,
            speaker_relative=speaker_relative,
        )
        for count in counts
    ]
    console = Console(stderr=as_json)
    frames = gather_frames(folder, speaker_relative).finalize()
    reports = []
    for pipeline in pipelines:
        place = out if sweep is None else out / str(pipeline.n_clusters)
        codebook = pipeline.train(frames, None, reduced_dims, reducer or REDUCERS[0], max_iter)
        quality = pipeline.clustering_quality_analysis(frames)
        write_codebook(codebook, quality, place)
        reports.append({"out": as_text(place), "name": codebook.name} | quality._asdict())
    if as_json:
        print_json(reports if sweep is not None else reports[0])
    else:
        _show_clusters(console, reports)


def smoothing_of(folder: Path) -> str:
    """How the contours of a folder were smoothed. Raises DailytalkError without contours or a record of them."""
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
        raise DailytalkError(f"{flag} can't be {text!r}", "give whole numbers with commas between them")
    return [int(part) for part in dict.fromkeys(parts)]


def weights_of(text: str | None) -> dict[str, float]:
    """The weights of `NAME=N,…`. Raises DailytalkError for anything else."""
    weights = {}
    for part in text.split(",") if text else ():
        name, _, number = part.strip().partition("=")
        try:
            weights[cli_options.one_of("--weights", name, WEIGHTS)] = float(number)
        except ValueError:
            raise DailytalkError(f"--weights can't be {part!r}", "give NAME=N, such as f0=1.5") from None
    return weights


def _show_clusters(console: Console, reports: list[dict[str, Any]]) -> None:
    numbers = ("tokens", "voiced frames", "inertia", "perplexity", "dead", "silhouette", "with silence")
    table = plain_table(*(f">{heading}" for heading in numbers), "")
    for report in reports:
        silhouettes = report["silhouette"], report["silhouette_with_silence"]
        table.add_row(
            f"{len(report['sizes']):,}",
            f"{report['frames'] - report['silent']:,}",
            f"{report['inertia']:,.1f}",
            f"{report['perplexity']:.1f}",
            f"{report['dead']}",
            *("–" if score is None else f"{score:.3f}" for score in silhouettes),
            report["out"],
        )
    console.print(table)


@cli_options.with_options(PLOT_SETTINGS)
def plot(
    sound: Annotated[Path, typer.Argument(metavar="FILE", help="A sound file.")],
    out: Annotated[Path, option(HelpPanel.INPUT, "The picture to write: PNG, SVG or PDF.", metavar="FILE")],
    side: Annotated[
        str, option(HelpPanel.INPUT, "Which channel of a stereo file: left or right.", metavar="NAME")
    ] = "left",
    start: Annotated[
        float, option(HelpPanel.INPUT, "Where the picture begins.", parser=START, metavar=cli_options.TIME)
    ] = 0.0,
    end: Annotated[
        float | None,
        option(
            HelpPanel.INPUT, "Where it ends.", parser=END, metavar=cli_options.TIME, show_default="the file's end"
        ),
    ] = None,
    as_json: AsJsonOption = False,
    **options: Any,
) -> None:
    """Draw the contours of a sound, and its tokens below."""
    cli_options.on_this_machine("--out", out)
    if out.suffix.lower() not in PICTURES:
        raise DailytalkError(
            f"--out can't be {as_text(out)!r}", f"name a file that ends in {cli_options.either(PICTURES)}"
        )
    if end is not None and end <= start:
        raise DailytalkError(f"--end {end:g} is not after --start {start:g}", "name a later second")
    stage = TokeniseProsody(**chosen_for(TokeniseProsody, cli_options.chosen(options, PLOT_SETTINGS)))
    codebook = Codebook.load(stage.codebook)
    audio = {"bytes": None, "path": to_uri(sound)}
    try:
        if start >= (seconds := probe(audio).seconds):
            raise BadInput(f"it has {seconds:g} s", "")
        channels = read_analysis(audio, start, end and end - start)
    except (OSError, BadInput) as error:
        reason = error.reason if isinstance(error, BadInput) else error.strerror or "it can't be read"
        raise DailytalkError(f"{as_text(sound)!r}: {reason}", "name another file or other times") from None
    place = CHANNELS.index(cli_options.one_of("--side", side, CHANNELS))
    if place >= channels.shape[1]:
        raise DailytalkError(f"{as_text(sound)!r} has one channel", "leave --side out")
    samples = pcm_to_float(channels[:, place])
    contours = ProsodicFeatureExtractor(smoothing_level=codebook.smoothing, output_normalize=False)
    features = as_features(
        ProsodicFeatureExtractor(smoothing_level=codebook.smoothing).extract(audio_tensor=samples)
    )
    tokens, _ = codebook.assign(seen_by(codebook, features, median_f0(features)))
    figure = contours.feature_figure(contours.extract(audio_tensor=samples), tokens.tolist())
    try:
        write_atomically(out, partial(figure.savefig, format=out.suffix.lower().removeprefix(".")))
    except OSError as error:
        raise DailytalkError(
            f"{as_text(out)!r} can't be written ({error.strerror or error})", "make room, or name another file"
        ) from None
    if as_json:
        print_json({"out": as_text(out), "frames": len(tokens), "tokens": tokens.tolist()})
    else:
        Console().print(f"{counted(len(tokens), 'frame')} in {as_text(out)}", markup=False)


def _make(
    inputs: list[str],
    out: Path,
    kind: type[ExtractContours | TokeniseProsody],
    settings: Mapping[str, Any],
    workers: int,
    as_json: bool,
    prune: bool,
    follow_links: bool,
) -> None:
    cli_options.on_this_machine("--out", out)
    stage, segment = kind(**chosen_for(kind, settings)), Segment(mono=True, **chosen_for(Segment, settings))
    speech = token_rows.find_speech(inputs, out, segment, follow_links=follow_links)
    console = Console(stderr=as_json)
    show.left_out(console, speech.recordings.left_out)
    with show.bar(console, quiet=as_json) as run_bar:
        outcome = token_rows.make_prosody(
            speech, out, stage, RunOptions(workers, prune=prune), command_line(), planned=run_bar.planned
        )
    code = exit_code(outcome.record["counts"]["conversations"], len(outcome.rejects))
    shards = out / (token_rows.TOKEN_SHARDS if isinstance(stage, TokeniseProsody) else token_rows.CONTOUR_SHARDS)
    if as_json:
        print_json(_as_dict(outcome, shards))
    else:
        _show(console, outcome, out, shards)
        show_verdict(console, code)
    raise typer.Exit(code)


def _as_dict(outcome: token_rows.ProsodyOutcome, shards: Path) -> dict[str, Any]:
    return {
        "out": as_text(shards) if outcome.record["counts"]["conversations"] else None,
        "counts": outcome.record["counts"],
        "hours": outcome.record["hours"],
        "rejects": [reject.as_dict() for reject in outcome.rejects],
        "audio_seconds": round(outcome.audio_seconds, 2),
        "wall_seconds": round(outcome.wall_seconds, 2),
    }


def _show(console: Console, outcome: token_rows.ProsodyOutcome, out: Path, shards: Path) -> None:
    if outcome.n_made:
        console.print(f"{length_text(outcome.audio_seconds)} in {length_text(outcome.wall_seconds)}")
    elif outcome.record["counts"]["conversations"]:
        console.print("nothing to do: all of it is there")
    counts, hours = outcome.record["counts"], outcome.record["hours"]["audio"]
    console.print(f"{counted(counts['conversations'], 'conversation')}, {length_text(hours * 3600)}")
    show_rejected(console, outcome.rejects, f"in {as_text(out / REJECTS)}")
    if counts["conversations"]:
        console.print(f"in {as_text(shards)}", markup=False)
