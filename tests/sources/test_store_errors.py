"""What a store's client raises becomes one sentence; what this machine's disk raises stays what it is."""

import errno

import botocore.exceptions
import pytest
import requests
from huggingface_hub.errors import HfHubHTTPError

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.sources.remote import store_errors


@pytest.mark.parametrize("error", [OSError("reset by peer"), OSError(errno.EIO, "input/output error")])
def test_failure_without_a_file_is_the_store_s(error: OSError) -> None:
    with (
        pytest.raises(DailytalkError, match=r"the store of s3://b failed or can't be reached"),
        store_errors("s3://b"),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "input/output error", "/disk/file"),
        OSError(errno.ENOSPC, "no space left on device"),
        FileNotFoundError(errno.ENOENT, "no such file", "/disk/file"),
        PermissionError(errno.EACCES, "permission denied", "/disk/file"),
        KeyError("name"),
    ],
    ids=repr,
)
def test_failure_of_this_machine_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, store_errors("s3://b"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError("bucket"), "there is no bucket or no object at s3://b"),
        (PermissionError("denied"), "the store refuses access to s3://b"),
    ],
)
def test_what_a_store_lacks_or_refuses_names_its_address(error: OSError, told: str) -> None:
    with pytest.raises(DailytalkError, match=told), store_errors("s3://b"):
        raise error


def answered(status: int) -> HfHubHTTPError:
    response = requests.Response()
    response.status_code = status
    return HfHubHTTPError("no", response=response)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (botocore.exceptions.NoCredentialsError(), "the store refuses access to s3://b"),
        (botocore.exceptions.NoAuthTokenError(), "the store refuses access to s3://b"),
        (answered(401), "the store refuses access to s3://b"),
        (answered(403), "the store refuses access to s3://b"),
        *(
            (answered(status), r"s3://b failed or can't be reached \(HfHubHTTPError\)")
            for status in (402, 404, 500)
        ),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url="x"),
            r"s3://b failed or can't be reached \(EndpointConnectionError\)",
        ),
    ],
    ids=repr,
)
def test_client_that_is_refused_is_told_from_one_that_fails(error: Exception, told: str) -> None:
    with pytest.raises(DailytalkError, match=told), store_errors("s3://b"):
        raise error
