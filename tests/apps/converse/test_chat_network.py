from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dailytalk_contiguous.apps.converse.chat import load_chat
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.contracts import ChatMessage, ChatModel

ASKED = [ChatMessage("system", "w1 w2"), ChatMessage("user", "w3 w4 <|end|> w5"), ChatMessage("assistant", "w6")]
ASKED += [ChatMessage("user", "w7")]

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
MARKS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


def write_model(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A Llama of random weights that knows the words w0 to w99 and hardly ever ends."""
    words = [f"w{number}" for number in range(100)]
    vocabulary = {word: number for number, word in enumerate(["<unk>", *MARKS, *words])}
    splitter = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    splitter.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=splitter, unk_token="<unk>", eos_token="<|end|>", additional_special_tokens=MARKS
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=1 << 16,
            eos_token_id=None,
            bos_token_id=None,
            tie_word_embeddings=False,
        )
    )
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("chat") / "tiny-llama")


def load(folder: Path) -> ChatModel:
    return load_chat(str(folder), device="cpu")


def said(talker: ChatModel, messages: Sequence[ChatMessage] = ASKED, most_tokens: int = 12) -> str:
    return "".join(talker.reply(messages, most_tokens))


def test_answer_comes_word_by_word_and_is_what_the_model_generates_at_once(folder: Path) -> None:
    talker = load(folder)
    talker.preflight()
    pieces = list(talker.reply(ASKED, 12))
    assert len(pieces) == 12
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = LlamaForCausalLM.from_pretrained(folder)
    prompt = "<|system|> w1 w2 <|end|> <|user|> w3 w4  w5 <|end|> <|assistant|> w6 <|end|> <|user|> w7 <|end|> "
    ids = tokenizer(prompt + "<|assistant|>", return_tensors="pt")
    (whole,) = network.generate(**ids, max_new_tokens=12, do_sample=False)
    answer = whole[ids["input_ids"].shape[1] :]
    assert "".join(pieces) == tokenizer.decode(answer, skip_special_tokens=True)
    assert talker.name == "tiny-llama"
    assert talker.service == ""


def test_closing_stops_an_answer_that_would_go_on_for_minutes(folder: Path) -> None:
    talker = load(folder)
    reply = talker.reply(ASKED, 50_000)
    first = next(reply)
    reply.close()
    assert list(reply) == []
    assert said(talker).startswith(first)  # which waits for the answer before it


def test_checkpoint_that_is_no_model_for_chats_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelMissing, match=r"can.t be loaded as a chat model \(.*chat.template"):
        load(write_model(tmp_path / "plain", template=None)).preflight()
    pickled = write_model(tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match=r"can't be loaded as a chat model \(.*safetensors"):
        load(pickled).preflight()
    coded = write_model(tmp_path / "coded")
    config = (coded / "config.json").read_text()
    run = config.replace('"model_type": "llama"', '"model_type": "own", "auto_map": {"AutoConfig": "run.Config"}')
    (coded / "config.json").write_text(run)
    (coded / "run.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(ModelMissing, match="can't be loaded"):
        load(coded).preflight()
    assert not (tmp_path / "ran").exists()
