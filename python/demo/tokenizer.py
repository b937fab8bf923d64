"""Trains the byte-level BPE tokenizer of the demo model and writes the token streams.

  python tokenizer.py --out=WORK     # WORK/tokenizer.json, train.npy, heldout_stream.npy
"""

import argparse
import pathlib

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

VOCABULARY = 2048


def train(texts):
    """A byte-level BPE tokenizer: any bytes can be encoded, no unknown token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[corpus.FILE_MARK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer, texts):
    """One int32 stream; every text begins with the file mark."""
    mark = tokenizer.token_to_id(corpus.FILE_MARK)
    stream = []
    for encoding in tokenizer.encode_batch(texts):
        stream.append(mark)
        stream.extend(encoding.ids)
    return np.array(stream, dtype=np.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--library", help="standard library (default: the running Python's)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    training, held_out = corpus.read_split(options.library)
    tokenizer = train(training)
    tokenizer.save(str(options.out / "tokenizer.json"))
    for name, texts in (("train", training), ("heldout_stream", held_out)):
        stream = encode(tokenizer, texts)
        np.save(options.out / f"{name}.npy", stream)
        size = sum(len(text.encode()) for text in texts)
        print(f"{name}: {len(texts)} files, {size} bytes, {len(stream)} tokens")


if __name__ == "__main__":
    main()
