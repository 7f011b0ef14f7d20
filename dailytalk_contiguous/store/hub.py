"""The Hub: names of its datasets, and the one place where its errors and tokens are handled."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from datasets.exceptions import DatasetBuildError, DatasetNotFoundError, DatasetsError
from huggingface_hub import constants, errors, get_session, get_token
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from dailytalk_contiguous.core.errors import DailytalkError, HubUnreachable
from dailytalk_contiguous.core.records.schema import CONFIGS, SPLITS
from dailytalk_contiguous.store.full_disk import name_file
from dailytalk_contiguous.store.secrets import refuse_plain_http

# A dataset on the Hub, as people write it: `OWNER/NAME`, `OWNER/NAME@v1.0.0` or
# `hf://datasets/OWNER/NAME@v1.0.0`.
#
# One place, because sources, publishing and loading all accept such names. Parsing does not check that the
# dataset exists; opening does. The caller first checks for a local path of that name.


#: How the Hub's own clients write the address of a dataset.
PREFIX = "hf://datasets/"

#: The branch that a repository begins with.
MAIN = "main"

#: The data files of our configs, which a push replaces and deletes.
OUR_DATA_FILE = re.compile(rf"({'|'.join(CONFIGS)})/({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")

_REMEDY = "write OWNER/NAME, or OWNER/NAME@TAG for a version"


class Reference(NamedTuple):
    """A dataset repository, and a revision of it: a tag, a branch, a commit, or None for the main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    def at_revision(self, revision: str | None) -> "Reference":
        """Return the dataset at a revision. Raises DailytalkError if it has another one already."""
        if revision and self.revision:
            raise DailytalkError(f"{self} and {revision!r} both name a revision", "give one of them")
        return self._replace(revision=revision or self.revision)


def data_digest(files: Mapping[str, str]) -> str:
    """Return one digest of the data files among files, by their names and digests; empty if there are none."""
    data = [(name, files[name]) for name in sorted(files) if OUR_DATA_FILE.fullmatch(name)]
    return hashlib.sha256(json.dumps(data).encode()).hexdigest() if data else ""


def parse_reference(text: str) -> Reference | None:
    """Parse the dataset that a text names; None for a text that can't be one (a path, a single word).

    Raises:
        DailytalkError: the text begins with `hf://` but names no dataset.
    """
    repo, _, revision = text.removeprefix(PREFIX).rstrip("/").partition("@")
    with suppress(errors.HFValidationError):
        validate_repo_id(repo)
        if "/" in repo and (revision or "@" not in text):
            return Reference(repo, revision or None)
    if text.startswith("hf://"):
        raise DailytalkError(f"{text!r} names no dataset", _REMEDY)
    return None


def reference(text: str, problem: str = "is not the name of a dataset on the Hub") -> Reference:
    """Return the dataset that a text names. Raises DailytalkError, with the problem, if it names none."""
    parsed = parse_reference(text)
    if parsed is None:
        raise DailytalkError(f"{text!r} {problem}", _REMEDY)
    return parsed


def model_reference(text: str) -> Reference:
    """Return the model on the Hub that a text, no folder, names. Raises DailytalkError if it names none."""
    return reference(text, "is neither a folder nor the name of a model on the Hub")


# Errors of the Hub, and of the connection to it, as one sentence with a remedy.
#
# One place for publishing, reading versions, and recordings on the Hub. An answer is judged by its kind and
# status, not by its words; what is quoted from a server has every token taken out, and the error it came from is
# not chained, for its headers and addresses may hold one.


#: Base of what the client library raises for a connection that failed; which library it is changed with
#: huggingface_hub 2.0.
_HTTP_ERROR: type[Exception] = errors.HfHubHTTPError.__bases__[0]

EXPECTED = (
    _HTTP_ERROR,
    errors.HFValidationError,
    errors.LocalTokenNotFoundError,
    ConnectionError,
    TimeoutError,
)

#: Seconds to connect, to read on and to write on. The client library waits for ever: for a host that drops what it
#: gets, until the operating system gives up after two minutes. A lost packet is sent again after one and three
#: seconds; two tries end within ten. A commit of many files takes long. Who calls `dataset_info` passes these on,
#: because it overrides the timeouts of the client with none.
TIMEOUTS: Any = (3.5, 300.0, 300.0, None)

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def hub_error(error: BaseException, what: str, kind: str = "dataset") -> DailytalkError:
    """Return an error of the Hub in a sentence for people, with the Hub's own message where it is rare.

    Args:
        error: error of huggingface_hub, datasets or the connection.
        what: repository, with its version, if any: `OWNER/NAME@v1.0.0`.
        kind: kind of the repository.
    """
    host = urlsplit(constants.ENDPOINT).netloc or constants.ENDPOINT
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0
    sentence_of_hub = getattr(error, "server_message", None) or str(error).partition("\n")[0].rstrip(".")
    message = f" ({without_tokens(sentence_of_hub).strip()})" if sentence_of_hub else ""
    again = "run the same command again"
    if isinstance(error, errors.GatedRepoError):
        reason = f"{what} is open only to people who were given access"
        sentence = reason, "ask for access on its page, then log in"
    elif isinstance(error, errors.RevisionNotFoundError):
        sentence = f"{what} has no such version", "list them with `dailytalk versions`"
    elif isinstance(error, (errors.RepositoryNotFoundError, DatasetNotFoundError)):
        reason = f"{host} shows no {kind} {what} (it isn't there, it is private, or the token is wrong)"
        sentence = reason, f"check the name; for a private {kind}, {_LOG_IN}, with a token that may read it"
    elif isinstance(error, errors.LocalTokenNotFoundError):
        sentence = "there is no token for the Hub", _LOG_IN
    elif status == 401:
        sentence = f"{host} does not know the token", f"{_LOG_IN}; what is public can be read without one"
    elif status == 403:
        sentence = f"the token has no right to do this with {what}", f"{_LOG_IN}, with write access to it"
    elif status == 412:
        sentence = f"somebody else published to {what} meanwhile", f"look at what they changed, and {again}"
    elif status == 429 or status >= 500:
        sentence = f"{host} failed with {status}, or asks to go slower", f"{again} in some minutes"
    elif not status and not isinstance(error, DatasetsError) and isinstance(error, (_HTTP_ERROR, OSError)):
        reason = f"{what} can't be reached: the connection to {host} failed ({type(error).__name__})"
        remedy = f"check the network, and HF_ENDPOINT and HF_HUB_OFFLINE if they are set, and {again}"
        return HubUnreachable(reason, remedy)
    else:
        sentence = f"{host} can't give {what} as a {kind}{message}", "correct what it names, or name another"
    return DailytalkError(*sentence)


def check_token() -> None:
    """Raise DailytalkError if there is no token for the Hub."""
    if get_token() is None:
        raise DailytalkError("there is no token for the Hub", _LOG_IN)


@contextmanager
def hub_errors(what: object, kind: str = "dataset") -> Iterator[None]:
    """Raise errors of the Hub, or of the disk to which it is read, as a DailytalkError about `what`, a `kind`.

    Other errors pass through, as does the failure of `datasets` to build rows of a whole download. It refuses to
    begin where the token would go unencrypted to another machine.
    """
    token = get_token() or ""
    if not token.isascii():
        raise DailytalkError("the token for the Hub has characters beyond ASCII, and can't be one", _LOG_IN)
    if token:
        refuse_plain_http("the Hub", constants.ENDPOINT)
    session = get_session()
    if session.timeout.connect is None:  # unless a program that uses this one as a library has set its own
        session.timeout = TIMEOUTS
    try:
        yield
    except BrokenPipeError:  # a ConnectionError, but of the reader of our output
        raise
    except EXPECTED as error:
        raise hub_error(error, str(what), kind) from None
    except (OSError, errors.EntryNotFoundError, DatasetsError) as error:
        # Where a file can't be had, the client libraries raise these, and name what the Hub said as their cause.
        cause = error.__cause__ if isinstance(error.__cause__, (*EXPECTED, OSError)) else error
        of_hub = (*EXPECTED, errors.EntryNotFoundError, DatasetsError)
        if isinstance(cause, of_hub) and not isinstance(cause, DatasetBuildError):
            raise hub_error(cause, str(what), kind) from None
        if cause is error:
            if isinstance(error, OSError):
                name_file(error, constants.HF_HUB_CACHE)
            raise
        raise cause from None


def without_tokens(text: str) -> str:
    """Replace every token in a text, the one in use and any text that looks like one, by `***`."""
    used = get_token()
    if used:
        text = text.replace(used, "***")
    return re.sub(r"\bhf_\w+", "***", text)
