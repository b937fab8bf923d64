"""Model.run: plain graphs from numpy, buffers and lists, against the toy encoder whose answers are known."""

import array

import llmc
import pytest

np = pytest.importorskip("numpy")

IDS = [[3, 10, 17], [4, 0, 49]]


@pytest.fixture
def model(make_toy):
    with llmc.Model(make_toy("Run")[0]) as model:
        yield model


def hidden(ids, mask=None, positions=None, types=None):
    """{id + weight[0] (0), mask, position, type} of each."""
    return [[[float(value), float(mask[b][s] if mask else 1), float(positions[b][s] if positions else s),
              float(types[b][s] if types else 0)] for s, value in enumerate(row)] for b, row in enumerate(ids)]


def total(ids):
    return [sum(row) for row in ids]


def refused(model, words, code="BAD_ARGUMENT", **inputs):
    with pytest.raises(llmc.Error) as caught:
        model.run(**inputs)
    assert caught.value.code == code and words in str(caught.value), str(caught.value)


def test_numpy_in_and_out(model):
    mask = np.array([[1, 1, 0], [1, 0, 1]], bool)
    got = model.run({"input_ids": np.array(IDS), "attention_mask": mask})
    assert list(got) == ["hidden", "total"]
    assert isinstance(got["hidden"], np.ndarray) and got["hidden"].dtype == np.float32 and got["total"].dtype == np.int64
    assert got["hidden"].tolist() == hidden(IDS, mask.astype(int).tolist()) and got["total"].tolist() == total(IDS)
    first = got["hidden"].copy()
    model.run(input_ids=np.array(IDS) + 1 - np.array(IDS) // 49)
    assert (got["hidden"] == first).all()  # no later call writes into it
    assert got["hidden"].flags.writeable


def test_lists_and_buffers_in_memoryviews_out(model):
    got = model.run(input_ids=IDS, token_type_ids=[[0, 0, 1], [1, 1, 0]])
    assert isinstance(got["hidden"], memoryview) and got["hidden"].shape == (2, 3, 4)
    assert got["hidden"].tolist() == hidden(IDS, types=[[0, 0, 1], [1, 1, 0]])
    flat = memoryview(array.array("h", [3, 10, 17, 4, 0, 49])).cast("B").cast("h", [2, 3])
    got = model.run(input_ids=flat, attention_mask=memoryview(array.array("f", [0.5] * 6)).cast("B").cast("f", [2, 3]))
    assert got["hidden"].tolist() == hidden(IDS, mask=[[0.5] * 3] * 2)
    got = model.run({"input_ids": [[1, 2]]}, outputs=["total"], attention_mask=[[True, False]])
    assert list(got) == ["total"] and got["total"].tolist() == [3]


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64", "uint64", ">i8"])
def test_integers_of_any_width(model, kind):
    ids = np.array(IDS).astype(kind)
    got = model.run(input_ids=ids, position_ids=ids, attention_mask=(ids > 3).astype(kind))
    assert got["hidden"].tolist() == hidden(IDS, mask=(np.array(IDS) > 3).astype(int).tolist(), positions=IDS)


@pytest.mark.parametrize("kind", ["float16", "float32", "bool"])
def test_masks_of_floats(model, kind):
    mask = np.array([[1, 0, 1]], kind)
    assert model.run(input_ids=[IDS[0]], attention_mask=mask)["hidden"].tolist() == hidden([IDS[0]], mask=[[1, 0, 1]])


def test_layouts_of_numpy(model):
    wide = np.arange(24).reshape(4, 6)
    for view in (wide[::2, ::2], wide.T[:3, :2], np.asfortranarray(wide[:2, :3]), np.flip(wide[:2, :3])):
        assert model.run(input_ids=view)["hidden"].tolist() == hidden(view.tolist())
    assert model.run(input_ids=[[np.int32(3), np.int64(4)]])["total"].tolist() == [7]


def test_batches_are_rows_by_themselves(model):
    together = model.run(input_ids=np.array(IDS))["hidden"]
    for row, alone in zip(together, IDS):
        assert (model.run(input_ids=np.array([alone]))["hidden"][0] == row).all()
    assert model.run(input_ids=np.ones((12, 1), int))["total"].tolist() == [1] * 12


def test_shapes_and_names_are_checked(model):
    refused(model, "input 'input_ids' is missing")
    refused(model, "the model has no input 'ids', only input_ids, attention_mask, position_ids, token_type_ids", ids=IDS)
    refused(model, "input 'input_ids': expected shape [batch, sequence], found [3]", input_ids=IDS[0])
    refused(model, "input 'input_ids': expected shape [batch, sequence], found []", input_ids=3)
    refused(model, "input 'attention_mask': dimension 'sequence' is 2, but another input has 3", input_ids=IDS,
            attention_mask=np.ones((2, 2)) > 0)
    refused(model, "input 'input_ids': dimension 'sequence' is 0", input_ids=np.ones((2, 0), int))
    refused(model, "input 'input_ids': has 13 tokens, but the model was compiled for at most 12", input_ids=[[1] * 13])
    refused(model, "input 'input_ids': expected parts of one shape, found [3] and [2] (the part at 1)", input_ids=[[1, 2, 3], [4, 5]])
    refused(model, "input 'input_ids': expected parts of one shape", input_ids=[[1], 2])
    with pytest.raises(llmc.Error, match="no output 'logits', only hidden, total"):
        model.run(input_ids=IDS, outputs=["logits"])


def test_types_and_values_are_checked(model):
    refused(model, "input 'input_ids': expected int64, found float32", input_ids=np.array(IDS, np.float32))
    refused(model, "input 'input_ids': expected int64, found float at position 1", input_ids=[[1, 2.0]])
    refused(model, "input 'input_ids': expected int64, found str at position 0", input_ids=[["a"]])
    refused(model, "input 'input_ids': expected an array, a buffer or a list of numbers, found str", input_ids="abc")
    refused(model, "input 'input_ids': expected an array", input_ids={1: 2})
    refused(model, "input 'input_ids': expected int64, found complex128", input_ids=np.array(IDS, complex))
    refused(model, "input 'attention_mask': expected float32, found float64", input_ids=IDS, attention_mask=np.ones((2, 3)))
    refused(model, "input 'position_ids': 2147483648 does not fit int32", input_ids=[[1]], position_ids=np.array([[1 << 31]]))
    refused(model, "input 'position_ids': 2147483648 at position 0 does not fit int32", input_ids=[[1]], position_ids=[[1 << 31]])
    refused(model, "input 'input_ids': 18446744073709551615 does not fit int64",
            input_ids=np.array([[(1 << 64) - 1]], np.uint64))
    for ids in (np.array([[1, 50]]), [[1, 50]]):
        refused(model, "input 'input_ids': id 50 at position 1 is outside the vocabulary of 50", "BAD_TOKEN", input_ids=ids)
    refused(model, "id -1 at position 0", "BAD_TOKEN", input_ids=[[-1]])
    assert model.run(input_ids=IDS)["total"].tolist() == total(IDS)


def test_each_role_has_its_calls(model):
    for call in (lambda: model.generate([1], 1), lambda: model.logits([1]), lambda: model.prefill([1]), lambda: model.decode(1),
                 lambda: model.stream([1], 1), model.reset):
        with pytest.raises(llmc.Error, match="has no cache .role 'run'.: use run") as caught:
            call()
        assert caught.value.code == "UNSUPPORTED"


def test_a_model_with_a_cache_has_no_run(make_toy):
    with llmc.Model(make_toy()[0]) as decoder, pytest.raises(llmc.Error, match="has a cache .role 'step'.: use generate"):
        decoder.run(input_ids=IDS)


def test_context_has_no_meaning_without_a_cache(make_toy):
    with pytest.raises(llmc.Error, match="has no cache .role 'run'., so no context"):
        llmc.Model(make_toy("Run")[0], context=5)
