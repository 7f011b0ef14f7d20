"""The same version by way of `Dataset.push_to_hub`, for those who would rather trust the client's own code.

It makes a commit for each config, then one for the card and the manifest, which name what it has written; the tag
comes last. So readers of a tag see whole versions, and readers of the branch may meet the steps. Above 50 files of
a config the client makes several commits, between which old and new files are mixed: that is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import HfApi

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.packing.packed import DataFile
from dailytalk_contiguous.publish.pushing.commit import Published, prepared, publish
from dailytalk_contiguous.publish.pushing.hub import State, Target, read_state, suitable_transfer
from dailytalk_contiguous.publish.pushing.patience import Patience
from dailytalk_contiguous.publish.pushing.planning import Release, is_published
from dailytalk_contiguous.sources.hub_errors import hub_errors

#: Files up to which `push_to_hub` makes one commit of a config.
MOST_FILES = 50

Say = Callable[[str], None]


def check_plain(target: Target, release: Release) -> None:
    """Raise DailytalkError for what `push_to_hub` can't publish without readers seeing half of it."""
    if target.pull_request:
        raise DailytalkError(
            "--method push_to_hub would open a pull request for each config", "leave --pr or --method out"
        )
    for name, splits in release.packed.configs.items():
        count = sum(map(len, splits.values()))
        if count > MOST_FILES:
            raise DailytalkError(
                f"push_to_hub makes several commits of the {count} files of {name}, and readers between them "
                f"would see old and new files mixed; it is for {MOST_FILES} files at most",
                "leave --method out: that makes one commit of any number of files",
            )


def publish_plainly(
    api: HfApi, target: Target, state: State, release: Release, patience: Patience, say: Say
) -> Published:
    """Publish with `push_to_hub`; what is returned and raised is as in `publish.pushing.commit.publish`.

    The files differ from the packed ones (other row groups), so what was uploaded before by the other method is
    sent anew.
    """
    if is_published(state, release):
        return publish(api, target, state, release, patience, say)
    state = prepared(api, target, state, patience)
    with hub_errors(target.repo), suitable_transfer(api, target.repo, patience):
        pushed = {
            name: _pushed(target, name, splits, release, say) for name, splits in release.packed.configs.items()
        }
        now = read_state(api, target, patience)
    files = tuple(file for name, splits in pushed.items() for file in _files(name, splits, release, now))
    told = {file.name: file for file in files}
    packed = replace(release.packed, files=tuple(told[name] for name in sorted(told)))
    known = {file.sha256 for file in state.files.values()}
    sent = sum(file.size for file in files if file.sha256 not in known)
    done = publish(api, target, now, release.of(packed), patience, say)
    return replace(done, sent=sent, there=sum(file.size for file in files) - sent)


def _pushed(
    target: Target, name: str, splits: Mapping[str, list[DataFile]], release: Release, say: Say
) -> DatasetDict:
    """Push one config; the rows of its splits."""
    paths = {split: [str(file.path) for file in own] for split, own in splits.items()}
    cache = str(release.packed.files[0].path.parents[1] / ".datasets")
    rows = load_dataset("parquet", data_files=paths, cache_dir=cache)
    say(f"push_to_hub of {name}")
    rows.push_to_hub(
        target.repo,
        config_name=name,
        commit_message=release.message,
        revision=target.branch,
        num_shards={split: len(own) for split, own in splits.items()},
    )
    return rows


def _files(name: str, splits: DatasetDict, release: Release, state: State) -> Iterator[DataFile]:
    """What the Hub has of a config now, file by file. `push_to_hub` cuts a split into even runs of its rows."""
    for split, rows in splits.items():
        before = release.packed.configs[name][split]
        for number, file in enumerate(before):
            there = state.files.get(file.name)
            if there is None or there.sha256 is None:
                raise DailytalkError(
                    f"push_to_hub did not leave {file.name} there", "run the same command again without --method"
                )
            own = rows.shard(num_shards=len(before), index=number)
            yield file._replace(sha256=there.sha256, size=there.size, rows=len(own), seconds=_seconds(own))


def _seconds(rows: Dataset) -> float:
    if "duration" in rows.column_names:
        return float(sum(rows["duration"]))
    return float(sum(one["duration"] for cut in rows["conversations"] for one in cut))
