"""Judges a published version: its rows as those of a folder, and its files against the manifest.

Rows come over the network one row group at a time, so that checking needs no disk. Their audio has a digest of its
own, which tells a row that was changed after it was built.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from dailytalk_contiguous.core.built import BUILT
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.publish.checking.dataset import check_rows
from dailytalk_contiguous.publish.checking.findings import Finding, advice, error
from dailytalk_contiguous.publish.loading.verifying import differences
from dailytalk_contiguous.publish.packing.packed import MANIFEST
from dailytalk_contiguous.publish.rows import Row
from dailytalk_contiguous.publish.version import Version

_AGAIN = "publish this version again"


def check_version(version: Version) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a version, and how much is in it.

    Raises DailytalkError if it has no conversations, or can't be read.
    """
    config = CONFIGS[0]
    if config not in version.configs():
        raise DailytalkError(
            f"{version} has no config {config!r}", "name a dataset that `dailytalk push` published"
        )
    findings = list(_files(version))
    splits: dict[str, int] = {}

    def rows() -> Iterator[tuple[str, Row]]:
        for split, row in version.rows(config, [*BUILT, "audio_sha256"]):
            splits[split] = splits.get(split, 0) + 1
            name = f"{config}/{split}: {row['conversation_id']}"
            if hashlib.sha256(row["audio"]["bytes"] or b"").hexdigest() != row["audio_sha256"]:
                findings.append(error("changed-audio", name, "its audio is not that of its audio_sha256", _AGAIN))
            yield name, row

    found, facts = check_rows(rows())
    facts |= {"kind": "published", "commit": version.commit, "splits": splits}
    return findings + found, facts


def _files(version: Version) -> Iterator[Finding]:
    """What differs between the files and the manifest."""
    if MANIFEST not in version.names:
        yield advice("no-manifest", MANIFEST, "nothing tells which files this version has", _AGAIN)
        return
    for one in differences(version):
        yield error("not-in-manifest", one.name, f"it is not what {MANIFEST} names: {one.what}", _AGAIN)
