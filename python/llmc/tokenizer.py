"""Ids to text for byte-level BPE: the part of a tokenizer.json that reading a model's output needs."""

import codecs
import json


def byte_alphabet():
    """How byte-level BPE spells bytes as characters: {character: byte}, 256 entries (GPT-2's bytes_to_unicode).

    >>> alphabet = byte_alphabet()
    >>> alphabet["a"], alphabet["\\u0120"], alphabet["\\u010a"]
    (97, 32, 10)
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return alphabet


class Decoder:
    """Decodes ids with a tokenizer.json of type BPE with a ByteLevel decoder. Raises ValueError for another kind."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        kinds = [(content.get(part) or {}).get("type") for part in ("model", "decoder")]
        if kinds != ["BPE", "ByteLevel"]:
            raise ValueError(f"{path}: expected model BPE with decoder ByteLevel, found {kinds[0]} and {kinds[1]}")
        alphabet = byte_alphabet()
        self._special = {token["id"] for token in content["added_tokens"] if token["special"]}
        self._bytes = {token["id"]: token["content"].encode() for token in content["added_tokens"]}
        for text, index in content["model"]["vocab"].items():
            if index not in self._bytes:
                self._bytes[index] = bytes(alphabet[character] for character in text)

    def decode(self, ids, skip_special=True):
        """Text of ids; bytes that are no UTF-8 become U+FFFD, special tokens are left out. Raises KeyError for an id that
        the vocabulary does not have.
        """
        kept = (index for index in ids if not (skip_special and index in self._special))
        return b"".join(self._bytes[index] for index in kept).decode("utf-8", errors="replace")

    def stream(self, ids):
        """Yields the text of ids one by one, as soon as a character is complete."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for index in ids:
            if index not in self._special:
                yield decoder.decode(self._bytes[index])
        yield decoder.decode(b"", final=True)
