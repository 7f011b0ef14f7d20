"""The versions of a dataset on the Hub: what their manifests say of them, without opening a data file.

Version tags come newest first, then other tags and branches, so that what to load stands on top. What was not
published by this tool is listed too, with what the Hub knows of it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from huggingface_hub import GitRefInfo, HfApi

from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.core.reference import Reference
from dailytalk_contiguous.core.versions import is_version_tag, parse_tag
from dailytalk_contiguous.publish.version import open_version
from dailytalk_contiguous.sources.hub_errors import hub_errors


class Listed(NamedTuple):
    """A tag or branch.

    Attributes:
        name: of it. kind: `version`, `tag` or `branch`.
        date: of its commit.
        commit: the whole id.
        rows, hours: of the conversations; None where there is no manifest.
        size: bytes of all data files, or None.
        changes: what it changed, in numbers (`publish.compare.Changes.as_dict`), or None.
    """

    name: str
    kind: str
    date: datetime | None
    commit: str
    rows: int | None
    hours: float | None
    size: int | None
    changes: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return self._asdict() | {"date": self.date and self.date.isoformat()}


def list_versions(repo: str, token: str | None = None) -> list[Listed]:
    """Every tag and branch of `OWNER/NAME`. Raises DailytalkError if it isn't there or may not be read."""
    api = HfApi(token=token)
    with hub_errors(repo):
        refs = api.list_repo_refs(repo, repo_type="dataset")
        dates = _dates(api, repo, [*refs.branches, *refs.tags])
    versions = sorted((ref for ref in refs.tags if is_version_tag(ref.name)), key=lambda ref: parse_tag(ref.name))
    others = sorted((ref for ref in refs.tags if not is_version_tag(ref.name)), key=lambda ref: ref.name)
    branches = sorted(refs.branches, key=lambda ref: (ref.name != "main", ref.name))
    kinds = {"version": versions[::-1], "tag": others, "branch": branches}
    return [_listed(repo, token, ref, kind, dates) for kind, own in kinds.items() for ref in own]


def _listed(repo: str, token: str | None, ref: GitRefInfo, kind: str, dates: dict[str, datetime]) -> Listed:
    told = open_version(Reference(repo, ref.target_commit), token).manifest() or {}
    totals: dict[str, dict[str, Any]] = told.get("totals", {})
    own = totals.get(CONFIGS[0], {})
    size = sum(one["size"] for one in totals.values()) if totals else None
    date = dates.get(ref.target_commit)
    return Listed(
        ref.name, kind, date, ref.target_commit, own.get("rows"), own.get("hours"), size, told.get("changes")
    )


def _dates(api: HfApi, repo: str, refs: Iterable[GitRefInfo]) -> dict[str, datetime]:
    """When each commit was made: one history covers all that lie on it, which is most."""
    dates: dict[str, datetime] = {}
    for ref in refs:
        if ref.target_commit not in dates:
            history = api.list_repo_commits(repo, repo_type="dataset", revision=ref.target_commit)
            dates |= {commit.commit_id: commit.created_at for commit in history}
    return dates
