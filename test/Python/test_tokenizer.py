"""The package's own decoder against the tokenizers library."""

import json

import pytest
from llmc.tokenizer import Decoder, byte_alphabet
from tokenizers import Tokenizer, pre_tokenizers


@pytest.fixture(scope="module")
def path(package):
    return package / "demo" / "tokenizer.json"


def test_alphabet_is_the_library_s():
    alphabet = byte_alphabet()
    assert sorted(alphabet) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))


@pytest.mark.parametrize("text", [
    "def main():\n\treturn 1  # ok\n", "naïve 文字 🙂 \u00ad\u0000 end", "   leading and trailing   \n\n", "x" * 300,
])
def test_decodes_as_the_library(path, text):
    reference = Tokenizer.from_file(str(path))
    ids = reference.encode(text).ids
    decoder = Decoder(path)
    assert decoder.decode(ids) == reference.decode(ids) == text
    assert "".join(decoder.stream(ids)) == text
    assert decoder.decode([0, *ids]) == text
    assert decoder.decode([0, *ids], skip_special=False) == "<|file|>" + text


def test_decodes_every_id_and_broken_characters(path):
    reference, decoder = Tokenizer.from_file(str(path)), Decoder(path)
    ids = list(range(2048))
    assert [decoder.decode([index]) for index in ids] == [reference.decode([index]) for index in ids]
    smile = reference.encode("🙂").ids
    assert len(smile) > 1 and "\ufffd" in decoder.decode(smile[:-1])
    assert "".join(decoder.stream(smile[:-1])) == decoder.decode(smile[:-1])
    with pytest.raises(KeyError):
        decoder.decode([2048])


def test_other_kinds_are_refused(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"model": {"type": "Unigram"}, "decoder": None}))
    with pytest.raises(ValueError, match="expected model BPE with decoder ByteLevel, found Unigram and None"):
        Decoder(tmp_path / "t.json")
