"""Models that chat, by name."""

import re

from dailytalk_contiguous.apps.converse.chat import LISTENER, ChatServer, ChatSettings, RuleListener
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import ChatModel


def load_chat(name: str, settings: ChatSettings | None = None) -> ChatModel:
    """The model of a name; nothing is loaded or asked before its `preflight`.

    Args:
        name: `listener`; the address of a server, `http://…` or `https://…`, with `#MODEL` after it if that is not
            the first of its models; or a model for transformers: a folder, or OWNER/NAME on the Hub, with @TAG for
            a version.
        settings: of its answers.

    Raises DailytalkError for a name that can't be any of these.
    """
    settings = settings or ChatSettings()
    if name == LISTENER:
        return RuleListener()
    if re.match(r"(?i)https?://", name):
        return ChatServer(name, settings)
    if "://" in name or not name.strip():
        raise DailytalkError(
            f"{name!r} is no model that chats",
            f"name {LISTENER}, the address of a server like http://localhost:8080, a folder, or OWNER/NAME",
        )
    from dailytalk_contiguous.apps.converse.chat_network import ChatNetwork

    return ChatNetwork(name, settings)
