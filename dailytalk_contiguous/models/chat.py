"""Language models that answer a person, piece by piece: a rule-based listener, a server, or transformers."""

from dailytalk_contiguous.models.contracts import ChatModel


def load_chat(name: str) -> ChatModel:
    """The model of a name.

    `listener` is built in. `http://…` or `https://…` is a server that speaks OpenAI's `/v1/chat/completions`, with
    `#MODEL` behind it for one of several models. Anything else is a folder, or a model on the Hub, for
    transformers.
    """
    raise NotImplementedError
