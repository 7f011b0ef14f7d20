"""`dailytalk push OWNER/NAME@TAG OWNER/NAME`: an earlier version becomes the newest one again.

Its data files are on the Hub already, so none is packed or sent: one commit copies them, replaces the card and the
manifest, and gets a tag of its own, because a tag is never moved. The card is written from the earlier version's
rows, in the text that people have around it today. As in a push, the same command completes what was stopped.
"""

from collections.abc import Mapping

from huggingface_hub import HfApi

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CONFIGS, LABELLED
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.publish.checks.row_check import RowChecks
from dailytalk_contiguous.publish.hub.pushing import (
    PushSettings,
    Release,
    describe_release,
    plan_release,
    prepare_repository,
    publish,
    read_repository,
)
from dailytalk_contiguous.publish.items import VersionItems
from dailytalk_contiguous.publish.version import MANIFEST, DataFile, Packed, Version, file_differences
from dailytalk_contiguous.store.hub import Reference

#: The settings of a push that apply to an earlier version; the others decide how a work folder is packed, or are
#: for a new dataset.
APPLICABLE = frozenset({"tag", "branch", "pr", "message"})


def restore_version(
    source: Version, settings: PushSettings, defaults: Mapping[str, object], dry_run: bool = False
) -> Release:
    """Make an earlier version of a dataset on the Hub the head of a branch again, under a new tag.

    Args:
        source: the earlier version, opened on the Hub.
        settings: only those in `APPLICABLE` count.
        defaults: the result of `cli.defaults.default_settings`.
        dry_run: end after the plan.

    Raises DailytalkError if `source` was not published by this tool or its files are not those of its manifest,
    and as `push_version` does.
    """
    assert isinstance(source.where, Reference)
    repo = source.where.repo
    items = VersionItems(source)
    api = HfApi()
    prepare_repository(api, repo, settings, dry_run)
    before = read_repository(api, repo, settings.branch)
    release = plan_release(repo, settings, before, _published_files(items), source, restored=source)
    if release.is_new:
        describe_release(release, items, source, defaults)
        if not dry_run:
            publish(api, release)
    return release


def _published_files(items: VersionItems) -> Packed:
    """Return the data files of a version on the Hub, which stay there.

    No audio is read, unless its manifest lacks what `check` has found in it.

    Raises DailytalkError if the version has no manifest of ours, or has other files than the manifest names.
    """
    source = items.version
    if not source.named_files:
        raise DailytalkError(f"{source} was not published by dailytalk push", "name a version that was")
    for config in CONFIGS:
        for name, difference in file_differences(source, config):
            raise DailytalkError(
                f"{name} of {source} is not what its {MANIFEST} names: {difference}", "name another version"
            )
    files = []
    for name, facts in steps("files looked at", source.named_files.items()):
        config, _, file_name = name.partition("/")
        split, _, _ = file_name.partition("-")
        with source.parquet(name, ["duration"]) as opened:
            durations = [row["duration"] for row in opened.rows(["duration"])]
        size = source.stored[name].size
        files.append(DataFile(name, None, config, split, facts.sha256, size, len(durations), sum(durations)))
    row_findings = source.manifest.row_findings
    if row_findings is None:
        checks = RowChecks()
        rows = items.rows([*LABELLED, *items.digested_columns])
        for row in steps("conversations checked", rows):
            checks.add(checks.judge(row))
        row_findings = checks.all_findings()
    return Packed(
        files=tuple(sorted(files)),
        disjoint=source.manifest.splits_disjoint_in or "conversations",
        fields=items.fields,
        row_findings=tuple(row_findings),
        run=source.manifest.run or {},
        kept_findings=tuple(items.kept_findings()),
    )
