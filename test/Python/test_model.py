"""llmc.Model over the C interface: against the toy model of the runtime's tests, whose answers are known exactly."""

import ctypes
import gc
import json
import math
import os
import weakref

import llmc
import pytest
from llmc import native

PROMPT = [1, 42, 7]


def toy_logits(ids):
    total = sum(token * (position + 1) for position, token in enumerate(ids))
    return [v * v % 17 / 16 - abs((total + 7 * v) % 31 - 15) / 4 for v in range(50)]


def change_json(base, **fields):
    path = base.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def error_of(base, code="BAD_ARTIFACT", **options):
    with pytest.raises(llmc.Error) as caught:
        llmc.Model(base, **options)
    assert caught.value.code == code
    return str(caught.value)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_generates_what_the_independent_script_says(make_toy, threads):
    base, expected = make_toy()
    with llmc.Model(base, threads=threads, exactly=True) as model:
        assert model.generate(PROMPT, 32) == expected
        assert model.generate(PROMPT, 32) == expected
        assert model.generate(PROMPT, 32, threads=3) == expected


@pytest.mark.parametrize("exactly, more", [(False, 0), (True, 3)])
def test_threads_are_as_many_as_processors(make_toy, exactly, more):
    processors = native.runtime().llmcrt_cpu_count()
    before = len(os.listdir("/proc/self/task"))
    with llmc.Model(make_toy()[0], threads=processors + 3, exactly=exactly) as model:
        model.generate(PROMPT, 2)
        assert len(os.listdir("/proc/self/task")) - before == processors - 1 + more


def test_generate_feeds_all_but_the_last_new_id(make_toy):
    with llmc.Model(make_toy()[0]) as model:
        assert model.generate(PROMPT, 0) == [] and model.length == 3
        assert len(model.generate(PROMPT, 5)) == 5 and model.length == 7
        assert len(model.generate(PROMPT, 62)) == 62 and model.length == 64


def test_sampling_draws_by_the_probabilities(make_toy):
    base, greedy = make_toy()
    with llmc.Model(base) as model:
        first = {}
        for seed in range(2000):
            token = next(model.stream(PROMPT, 1, temperature=1.5, top_k=4, seed=seed))
            first[token] = first.get(token, 0) + 1
        logits = toy_logits(PROMPT)
        likely = sorted(range(50), key=lambda i: -logits[i])[:4]
        weights = [math.exp(logits[i] / 1.5) for i in likely]
        assert set(first) == set(likely)
        for token, weight in zip(likely, weights):  # Four standard deviations.
            share = weight / sum(weights)
            assert abs(first[token] / 2000 - share) < 4 * math.sqrt(share * (1 - share) / 2000)
        drawn = model.generate(PROMPT, 32, temperature=2.0, seed=7)
        assert drawn == model.generate(PROMPT, 32, temperature=2.0, seed=7) != model.generate(PROMPT, 32, temperature=2.0, seed=8)
        assert model.generate(PROMPT, 32, temperature=3.0, top_k=1) == greedy == model.generate(PROMPT, 32, seed=3)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"temperature": math.inf}, {"temperature": math.nan}, {"top_k": -1}])
def test_sampling_refuses_what_means_nothing(make_toy, options):
    with llmc.Model(make_toy()[0]) as model, pytest.raises(llmc.Error, match="expected"):
        model.generate(PROMPT, 1, **options)


def test_stream_is_generate_one_by_one(make_toy):
    base, expected = make_toy()
    with llmc.Model(base) as model:
        stream = model.stream(PROMPT, 32)
        assert [next(stream), next(stream)] == expected[:2]
        assert list(stream) == expected[2:]
        stream = model.stream(PROMPT, 4)
        next(stream)
        model.reset()
        with pytest.raises(llmc.Error, match="was changed"):
            next(stream)


def test_stop_ids(make_toy):
    base, expected = make_toy()
    third = expected[2]
    end = expected.index(third) + 1
    with llmc.Model(base) as model:
        assert model.stop_ids == ()
        assert model.generate(PROMPT, 32, stop_ids=[third]) == expected[:end]
        assert model.length == 3 + end - 1  # the stop id is given, not fed
        assert list(model.stream(PROMPT, 32, stop_ids=(49, third))) == expected[:end]
        missing = next(i for i in range(50) if i not in expected)
        assert model.generate(PROMPT, 32, stop_ids=[missing]) == expected
        model.stop_ids = (third,)  # as of an artifact that names it
        assert model.generate(PROMPT, 32) == list(model.stream(PROMPT, 32)) == expected[:end]
        assert model.generate(PROMPT, 32, stop_ids=()) == expected
        with pytest.raises(llmc.Error, match="stop id 50 is outside the vocabulary of 50 ids") as caught:
            model.generate(PROMPT, 3, stop_ids=[50])
        assert caught.value.code == "BAD_TOKEN"


def test_logits_of_all_positions_across_chunks(make_toy):
    ids = [(7 * i + 3) % 50 for i in range(29)]  # a chunk is 8
    with llmc.Model(make_toy()[0]) as model:
        logits = model.logits(ids)
        assert logits.shape == (29, 50) and logits.format == "f"
        assert logits.tolist() == [toy_logits(ids[:n + 1]) for n in range(29)]
        assert model.length == 29


def test_prefill_and_decode_go_on_where_the_sequence_is(make_toy):
    with llmc.Model(make_toy()[0], context=6) as model:
        assert model.prefill([4, 9]).tolist() == toy_logits([4, 9])
        assert model.decode(30).tolist() == toy_logits([4, 9, 30])
        assert model.prefill([1, 2]).tolist() == toy_logits([4, 9, 30, 1, 2])
        with pytest.raises(llmc.Error) as caught:
            model.prefill([1, 2])
        assert caught.value.code == "CONTEXT_FULL" and "7 positions" in str(caught.value)
        assert model.length == 5
        model.reset()
        assert model.length == 0 and model.decode(9).tolist() == toy_logits([9])


@pytest.mark.parametrize("ids, code, words", [
    ([], "BAD_ARGUMENT", "at least one id"),
    ([1, 50], "BAD_TOKEN", "id 50 at position 1 is outside the vocabulary of 50"),
    ([-1], "BAD_TOKEN", "id -1 at position 0"),
    ([1] * 65, "CONTEXT_FULL", "65 positions are needed, but the context has 64"),
])
def test_refused_ids(make_toy, ids, code, words):
    with llmc.Model(make_toy()[0]) as model:
        for call in (model.logits, model.prefill, lambda ids: model.stream(ids, 1), lambda ids: model.generate(ids, 1)):
            with pytest.raises(llmc.Error, match=words) as caught:
                call(ids)
            assert caught.value.code == code and model.length == 0


def test_result_codes_of_the_model_have_names(make_toy):
    with llmc.Model(make_toy()[0]) as model:
        model._state.context = 2  # as if the model knew better than the checks before the call
        with pytest.raises(llmc.Error, match="toy_prefill refused") as caught:
            model.generate(PROMPT, 1)
        assert caught.value.code == "CONTEXT_FULL"


def test_arena_and_cache_are_aligned_and_go_away(make_toy):
    buffer = native.PageBuffer(100, "a test")
    assert buffer.address % 64 == 0 and bytes((ctypes.c_char * 100).from_address(buffer.address)) == bytes(100)
    buffer.close()
    base, _ = make_toy()
    model = llmc.Model(base, threads=2)
    assert str(base) in open("/proc/self/maps").read()
    model.close()
    model.close()
    assert str(base) not in open("/proc/self/maps").read()
    with pytest.raises(llmc.Error, match="is closed"):
        model.generate(PROMPT, 1)
    watched = weakref.ref(llmc.Model(base))
    gc.collect()
    assert watched() is None and str(base) not in open("/proc/self/maps").read()


def test_options_out_of_range(make_toy):
    base, _ = make_toy()
    assert "1 to 64, found 65" in error_of(base, "BAD_ARGUMENT", context=65)
    assert "1 to 1024 threads, found 0" in error_of(base, "BAD_ARGUMENT", threads=0)


def test_other_abi(make_toy):
    assert "has ABI 2, this package has 1" in error_of(make_toy("OtherAbi")[0])


@pytest.mark.parametrize("suffix", [".json", ".safetensors", ".so"])
def test_missing_file_is_named(make_toy, suffix):
    base, _ = make_toy()
    os.remove(f"{base}{suffix}")
    assert f"{base}{suffix}" in error_of(base)


@pytest.mark.parametrize("fields, words", [
    ({"format": 2}, "has format 2, expected 1"),
    ({"abi": 7}, "has abi 7, expected 1"),
    ({"prefix": "9x"}, "no C identifier"),
    ({"role": "walk"}, "found 'walk'"),
    ({"vocab": True}, "the field 'vocab'"),
    ({"chunk": 0}, "the field 'chunk'"),
    ({"context": 63}, "was not made together"),
    ({"target": {"triple": "riscv64-linux-gnu", "features": []}}, "compiled for 'riscv64-linux-gnu'"),
    ({"target": {}}, "no list of features"),
    ({"stop_ids": [50]}, "the field 'stop_ids' is no list of ids of the vocabulary"),
    ({"stop_ids": 3}, "the field 'stop_ids'"),
    ({"weights": {"file": "../toy.safetensors", "bytes": 200}}, "no plain file name"),
    ({"weights": {"file": "toy.safetensors", "bytes": 201}}, "201 bytes of weights, found 200"),
    ({"weights": {"file": "toy.safetensors", "bytes": 200, "hash": "0" * 16}}, "with hash 0000000000000000, found"),
])
def test_json_is_checked(make_toy, fields, words):
    base, _ = make_toy()
    change_json(base, **fields)
    assert words in error_of(base)


@pytest.mark.parametrize("off", [".json", ".safetensors", ".so"])
def test_the_file_of_another_compile_is_named(make_toy, off):
    base, _ = make_toy()
    if off != ".safetensors":
        change_json(base, weights={"file": "toy.safetensors", "bytes": 256})
    if off != ".json":
        header = b'{"w":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}}'
        header += b" " * (-(len(header) + 8) % 64)
        base.with_suffix(".safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(256))
    assert f"toy{off}: is of another compile than " in error_of(base)


def test_unknown_feature_is_named(make_toy):
    base, _ = make_toy()
    target = json.loads(base.with_suffix(".json").read_text())["target"]
    change_json(base, target={**target, "features": ["telepathy"]})
    assert "telepathy" in error_of(base)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{", b"\xff\xfe"])
def test_json_that_is_none(make_toy, content):
    base, _ = make_toy()
    base.with_suffix(".json").write_bytes(content)
    assert "toy.json: is no JSON" in error_of(base)


def test_damaged_weights_and_code(make_toy):
    base, _ = make_toy()
    weights = base.with_suffix(".safetensors").read_bytes()
    base.with_suffix(".safetensors").write_bytes(weights[:-4])
    assert "toy.safetensors" in error_of(base)
    base.with_suffix(".safetensors").write_bytes(weights)
    base.with_suffix(".so").write_bytes(b"no code")
    assert "toy.so: cannot be loaded" in error_of(base)
