"""Reads moshi-finetune's configuration as far as it decides what is trained on, and what a batch is.

A folder without one is judged by the recommended window and a batch of one, which every side can fill.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import is_number, parse_yaml, read_bytes
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.engine.corpus_folder import MANIFESTS
from dailytalk_contiguous.publish.checking.findings import Finding, error
from dailytalk_contiguous.publish.exporting.moshi import BATCH, CONFIG, EVAL, TRAIN, WINDOW_SECONDS

_AGAIN = "export again with `dailytalk export --format moshi`, or correct it"

#: Manifests of the folder of an expressive corpus, by side.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}

#: Models as Kyutai publishes them have no conditioners.
_STOCK = ("kyutai/moshiko", "kyutai/moshika")


@dataclass(frozen=True)
class Plan:
    """What a trainer would do with a folder.

    Attributes:
        manifests: files by side, `train` and `eval`; only such as are there.
        duration_sec: seconds of a window.
        batch_size: windows a batch and GPU.
        stock_model: whether the model is one that stops on `text_conditions`.
        clips: whether it is the folder of an expressive corpus.
    """

    manifests: dict[str, Path]
    duration_sec: float
    batch_size: int
    stock_model: bool
    clips: bool = False


def read_plan(folder: Path) -> tuple[Plan, list[Finding]]:
    """The plan that `moshi-finetune.yaml` holds, or that of the recommended settings where there is none."""
    path = folder / CONFIG
    if clips := {side: folder / name for side, name in CLIP_MANIFESTS.items() if (folder / name).is_file()}:
        # Which model it is for stands nowhere; conditions are only there if somebody has one that takes them.
        return Plan(clips, WINDOW_SECONDS, 1, stock_model=False, clips=True), []
    if not path.exists():
        return Plan(_found(folder), WINDOW_SECONDS, 1, stock_model=True), []
    try:
        config = parse_yaml(read_bytes(path).decode("utf-8", "replace"), CONFIG)
    except BadInput as problem:
        what = f"it can't be read ({problem.reason})"
        return Plan(_found(folder), WINDOW_SECONDS, BATCH, stock_model=True), [
            error("config", CONFIG, what, _AGAIN)
        ]
    data = _section(config, "data")
    findings = [
        finding
        for key in ("train_data", "eval_data")
        for finding in _source(folder, key, data.get(key), needed=key == "train_data")
    ]
    window, batch = _section(config).get("duration_sec", 10), _section(config).get("batch_size", 1)
    if not _positive(window) or not _positive(batch):
        what = f"duration_sec {window!r} and batch_size {batch!r} must be numbers above 0"
        findings.append(error("config", CONFIG, what, _AGAIN))
        window, batch = WINDOW_SECONDS, BATCH
    model = str(_section(config, "moshi_paths").get("hf_repo_id") or _STOCK[0])
    named = {side: Path(str(data[f"{side}_data"])) for side in ("train", "eval") if data.get(f"{side}_data")}
    manifests = {side: path for side, path in named.items() if _is_in(path, folder)}
    plan = Plan(manifests or _found(folder), float(window), int(batch), model.startswith(_STOCK))
    return plan, findings


def _source(folder: Path, key: str, value: Any, needed: bool) -> list[Finding]:
    """What is wrong with one of the two sources."""
    if not value:
        unused = (folder / EVAL).exists() if not needed else True
        return [error("config", CONFIG, f"{key} names nothing", _AGAIN)] if unused else []
    path = Path(str(value))
    if path.is_dir():
        what = f"{key} names the folder {value}: the trainer reads every manifest in it, train and eval alike"
        return [error("config-folder", CONFIG, what, f"name {TRAIN if needed else EVAL} itself")]
    if not path.is_file():
        return [error("config", CONFIG, f"{key} names {value}, which isn't there", _AGAIN)]
    if not _is_in(path, folder):
        what = f"{key} names {value}, which is not in this folder"
        return [error("config", CONFIG, what, "after moving or copying the folder, export again or correct it")]
    return []


def _is_in(path: Path, folder: Path) -> bool:
    return path.is_file() and path.resolve().parent == folder.resolve()


def _found(folder: Path) -> dict[str, Path]:
    """Manifests by name: ours, or the only one that lies there."""
    ours = {side: folder / f"{side}.jsonl" for side in ("train", "eval") if (folder / f"{side}.jsonl").is_file()}
    others = [*folder.glob("*.jsonl")]
    return ours or ({"train": others[0]} if len(others) == 1 else {})


def _section(config: Any, name: str | None = None) -> dict[str, Any]:
    found = config.get(name) if name and isinstance(config, dict) else config
    return found if isinstance(found, dict) else {}


def _positive(value: Any) -> bool:
    return is_number(value, 0, 1e9) and value > 0
