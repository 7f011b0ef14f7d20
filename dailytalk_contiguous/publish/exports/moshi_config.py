"""The configuration of moshi-finetune, which an export writes and `check` reads, and the windows that it names."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Finding, error
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish.exports.training_folder import CLIP_MANIFESTS, manifests_in
from dailytalk_contiguous.publish.items import EVAL, MOSHI_MANIFESTS, TRAIN

CONFIG = "moshi-finetune.yaml"

#: Seconds of a window that the README of moshi-finetune recommends (1 H100: 39.6 GB).
WINDOW_SECONDS = 100


class Trainer(NamedTuple):
    """A trainer of such folders.

    Attributes:
        config: the name of its configuration, of which `assets` has the template.
        window: seconds of a window that its README recommends.
        batch: windows of a step in its example.
        prompts: the folder of sounds that lines name beside their file; empty for none.
    """

    config: str
    window: int
    batch: int
    prompts: str = ""


MOSHI_FINETUNE = Trainer(CONFIG, WINDOW_SECONDS, batch=16)


def config_text(trainer: Trainer, root: Path, duration_sec: int, batch_size: int, evaluate: bool) -> str:
    folder = root.resolve()
    template = files(__package__).joinpath("assets", trainer.config).read_text(encoding="utf-8")
    return template.format(
        trainer=trainer,
        config=folder / trainer.config,
        train_data=_quoted(folder / TRAIN),
        eval_data=_quoted(folder / EVAL) if evaluate else "''",
        prompts=_quoted(folder / trainer.prompts),
        duration_sec=duration_sec,
        batch_size=batch_size,
        do_eval=_quoted(evaluate),
        run_dir=_quoted(f"runs/{folder.name}"),
    )


def _quoted(value: bool | str | Path) -> str:
    """Return a value as YAML has it."""
    return json.dumps(value, default=str, ensure_ascii=False)


class _Data(TypedDict, total=False):
    train_data: str | None
    eval_data: str | None


class _Model(TypedDict, total=False):
    hf_repo_id: str | None


class _Config(TypedDict):
    """The fields of the configuration that are read."""

    data: _Data
    duration_sec: NotRequired[documents.Number | None]
    batch_size: NotRequired[documents.Whole | None]
    num_microbatches: NotRequired[documents.Whole | None]
    moshi_paths: NotRequired[_Model | None]


#: Models as Kyutai publishes them have no conditioners.
_STOCK = ("kyutai/moshiko", "kyutai/moshika")

_CORRECT = "export again with `dailytalk export`, or correct it"


@dataclass(frozen=True)
class TrainerPlan:
    """The settings of a trainer for a folder.

    Attributes:
        manifests: files by split, `train` and `eval`; only those that exist.
        duration_sec: seconds of a window.
        batch_size: windows a batch and GPU.
        stock_model: whether the model is one that stops on `text_conditions`.
        model: its name on the Hub.
        microbatches: batches a step and GPU.
    """

    manifests: dict[str, Path]
    duration_sec: float = WINDOW_SECONDS
    batch_size: int = 1
    stock_model: bool = True
    model: str = _STOCK[0]
    microbatches: int = 1

    @property
    def windows_a_step(self) -> int:
        """Windows a step on one GPU."""
        return self.batch_size * self.microbatches


def read_plan(folder: Path, name: str = CONFIG) -> tuple[TrainerPlan, list[Finding]]:
    """Read the plan from the configuration of that name, or make it of the recommended settings without one."""
    clips = manifests_in(folder, CLIP_MANIFESTS)
    if clips:
        # The folder does not name its model; conditions are only exported for a model that takes them.
        return TrainerPlan(clips, stock_model=False), []
    by_name = manifests_in(folder, MOSHI_MANIFESTS)
    lists = list(folder.glob("*.jsonl"))
    if not by_name and len(lists) == 1:
        by_name = {"train": lists[0]}
    if not (folder / name).exists():
        return TrainerPlan(by_name), []
    try:
        text = read_bytes(folder / name).decode("utf-8", "replace")
        record = documents.typed(documents.parse_yaml(text, ""), _Config, "it", _CORRECT)
        # What the trainer takes where its configuration has no such field (`finetune/args.py`).
        numbers = {"duration_sec": 10.0, "batch_size": 1, "num_microbatches": 1}
        config: dict[str, Any] = {**numbers, "moshi_paths": {}}
        config |= {key: value for key, value in record.items() if value is not None}
        for key in numbers:
            if config[key] <= 0:
                raise BadInput(f"{key} {config[key]!r} must be above 0", _CORRECT)
    except BadInput as failure:
        findings = [error("config", name, failure.reason, _CORRECT)]
        return TrainerPlan(by_name, batch_size=MOSHI_FINETUNE.batch), findings
    manifests = {}
    findings = []
    for side, exported in MOSHI_MANIFESTS.items():
        value = config["data"].get(f"{side}_data")
        path = Path(value or ".")
        problem = f"{side}_data names {value or 'nothing'}"
        if value and path.is_file() and path.resolve().parent == folder.resolve():
            manifests[side] = path
        elif value and path.is_dir():
            problem += ", a folder: the trainer reads every manifest in it, train and eval alike"
            findings.append(error("config-folder", name, problem, f"name {exported} itself"))
        elif value or side == "train" or (folder / exported).exists():
            if value:
                problem += ", which is not a file of this folder"
            remedy = "after moving or copying the folder, export again or correct it"
            findings.append(error("config", name, problem, remedy))
    model = str(config["moshi_paths"].get("hf_repo_id") or _STOCK[0])
    plan = TrainerPlan(
        manifests or by_name,
        float(config["duration_sec"]),
        config["batch_size"],
        stock_model=model.startswith(_STOCK),
        model=model,
        microbatches=config["num_microbatches"],
    )
    return plan, findings


def window_count(lengths: Sequence[float], duration_sec: float) -> int:
    """Count the windows into which the trainer cuts files of these seconds: it pads the last one of each."""
    windows = [math.ceil(length / duration_sec - 1e-6) for length in lengths]
    return sum(max(1, count) for count in windows)


def padding(lengths: Sequence[float], duration_sec: float) -> float:
    """Return the share of the windows of files of these seconds that is padding, which is not learned from."""
    seconds = window_count(lengths, duration_sec) * duration_sec
    return max(0.0, 1 - sum(lengths) / seconds) if lengths else 0.0


def window_seconds(lengths: Sequence[float], recommended: int = WINDOW_SECONDS) -> int:
    """Return `duration_sec` for files of these seconds.

    It is within a quarter of the recommended window, or of the longest file if that is shorter: the nearest one
    of which at most 2 % more is padding than of the best. It is even, so that windows are whole frames of 80 ms.
    """
    reach = 0.25
    equal_padding = 0.02
    half_seconds = math.ceil(max(lengths, default=1.0) / 2)
    longest = 2 * max(1, half_seconds)
    near = min(recommended, longest)
    shortest_window = 2 * round(near * (1 - reach) / 2)
    longest_window = min(longest, round(recommended * (1 + reach)))
    windows = range(shortest_window, longest_window + 1, 2)
    shares = {window: padding(lengths, window) for window in windows}
    most = min(shares.values()) + equal_padding
    candidates = [window for window, share in shares.items() if share <= most]
    return min(candidates, key=lambda window: abs(window - near))
