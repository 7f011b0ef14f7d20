"""What the Hub on loopback refuses, and to whom."""

from concurrent.futures import ThreadPoolExecutor

import datasets
import pytest
from hub.asking import NAME, commit, head, paths, status
from hub.server import HubServer
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

pytest_plugins = ["hub.hub_fixtures"]


def test_stale_parent_is_refused_and_changes_nothing(api: HfApi) -> None:
    old = head(api)
    new = commit(api, parent_commit=old).oid
    with pytest.raises(HfHubHTTPError) as error:
        commit(api, "other.txt", parent_commit=old)
    assert (status(error), head(api)) == (412, new)


def test_of_two_commits_at_once_on_one_parent_one_wins(api: HfApi) -> None:
    parent = head(api)

    def attempt(n: int) -> int:
        try:
            commit(api, f"{n}.txt", parent_commit=parent)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(4))) == [200, 412, 412, 412]
    assert len(paths(api)) == 2


def test_existing_tag_is_refused_and_stays(api: HfApi) -> None:
    api.create_tag(NAME, tag="v1.0.0", repo_type="dataset")
    old = head(api)
    commit(api)
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag(NAME, tag="v1.0.0", repo_type="dataset")
    assert (status(error), head(api, "v1.0.0")) == (409, old)
    api.delete_tag(NAME, tag="v1.0.0", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        head(api, "v1.0.0")


def test_read_token_is_refused_at_every_write(api: HfApi, hub: HubServer) -> None:
    reader = HfApi(token=hub.read_token)
    reader.auth_check(NAME, repo_type="dataset")
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    for write in (
        lambda: reader.auth_check(NAME, repo_type="dataset", write=True),
        lambda: reader.create_repo("tester/more", repo_type="dataset"),
        lambda: commit(reader),
        lambda: reader.create_tag(NAME, tag="v1.0.0", repo_type="dataset"),
        lambda: reader.delete_repo(NAME, repo_type="dataset"),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            write()
        assert status(error) == 403


def test_wrong_token_is_refused(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        HfApi(token="hf_wrong").dataset_info(NAME)
    assert status(error) == 401


def test_private_repository_is_seen_by_its_owner_alone(hub: HubServer) -> None:
    HfApi().create_repo(NAME, repo_type="dataset", private=True)
    assert HfApi(token=hub.read_token).dataset_info(NAME).private
    for token, answered in ((False, 401), (hub.stranger_token, 404)):
        with pytest.raises(RepositoryNotFoundError) as error:
            HfApi(token=token).dataset_info(NAME)
        assert status(error) == answered
    with pytest.raises(datasets.exceptions.DatasetNotFoundError):
        datasets.load_dataset(NAME, token=False)


def test_stranger_reads_what_is_public_and_writes_nothing(api: HfApi, hub: HubServer) -> None:
    stranger = HfApi(token=hub.stranger_token)
    assert stranger.dataset_info(NAME).id == NAME
    with pytest.raises(HfHubHTTPError) as error:
        commit(stranger)
    assert status(error) == 403


def test_repository_is_made_once(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        api.create_repo(NAME, repo_type="dataset")
    assert status(error) == 409
    assert api.create_repo(NAME, repo_type="dataset", exist_ok=True).repo_id == NAME
    api.delete_repo(NAME, repo_type="dataset")
    assert not api.repo_exists(NAME, repo_type="dataset")


def test_card_that_cannot_be_read_is_refused(api: HfApi) -> None:
    with pytest.raises(ValueError, match="Invalid metadata"):
        commit(api, "README.md", b"---\nlicense: [\n---\n")
    commit(api, "README.md", b"---\nlicense: mit\ntags:\n- audio\n---\n# Talks")
    assert api.dataset_info(NAME).tags == ["license:mit", "audio"]
