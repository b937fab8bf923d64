"""One llmc.Model and several threads or processes: each call is right or refused, at whatever moment the others come."""

import os
import threading
import time

import llmc
import pytest

PROMPTS = [[i, 42, 7] for i in range(6)]


def run_threads(work, count=6):
    """work(index) in so many threads that start together; raises what one of them raised."""
    together, raised = threading.Barrier(count), []

    def body(index):
        together.wait()
        try:
            work(index)
        except BaseException as error:  # any is reported
            raised.append(error)

    threads = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def in_thread(work):
    """The result of work() in another thread."""
    results = []
    run_threads(lambda index: results.append(work()), 1)
    return results[0]


def exit_of_child(work):
    child = os.fork()
    if child == 0:
        threading.Timer(60, os._exit, (99,)).start()  # a child that hangs
        code = 98
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stepped(model, ids):
    """Two ids chosen step by step, and the logits behind them, kept by the caller."""
    model.reset()
    logits = model.prefill(ids)
    first = max(range(50), key=logits.__getitem__)
    logits = model.decode(first)
    time.sleep(0)
    return first, logits.tolist()


CALLS = {
    "generate": lambda model, ids: model.generate(ids, 20),
    "stream": lambda model, ids: list(model.stream(ids, 20)),
    "sample": lambda model, ids: model.generate(ids, 20, temperature=2.0, seed=3),
    "logits": lambda model, ids: model.logits(ids).tolist(),
    "steps": stepped,
}


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_right_or_refused(make_toy, name):
    with llmc.Model(make_toy()[0], threads=2, exactly=True) as model:
        want = [CALLS[name](model, ids) for ids in PROMPTS]
        counts = {"right": 0, "busy": 0, "changed": 0}

        def work(index):
            for _ in range(100):
                try:
                    assert CALLS[name](model, PROMPTS[index]) == want[index]
                    counts["right"] += 1
                except llmc.Error as error:
                    counts["changed" if error.code == "BAD_ARGUMENT" else "busy"] += 1
                    assert error.code == "BUSY" or "was changed" in str(error)

        run_threads(work)
        assert counts["right"] > 0
        assert [CALLS[name](model, ids) for ids in PROMPTS] == want  # and nobody holds it afterwards


def test_overlap_is_refused_always(make_toy):
    """Not by luck: while one call is inside, every other is refused and leaves it alone."""
    base, expected = make_toy()
    with llmc.Model(base) as model:
        inside, go_on = threading.Event(), threading.Event()
        choose = model._choose

        def slowly(*arguments):
            inside.set()
            assert go_on.wait(60)
            return choose(*arguments)

        model._choose = slowly
        results = []
        thread = threading.Thread(target=lambda: results.append(model.generate([1, 42, 7], 32)))
        thread.start()
        assert inside.wait(60)
        for call in (lambda: model.generate([1], 1), lambda: model.stream([1], 1), lambda: model.logits([1]), model.reset,
                     lambda: model.prefill([1]), lambda: model.decode(1), model.take_over, model.close,
                     lambda: model.generate([1], 1, threads=2)):
            with pytest.raises(llmc.Error, match="busy with a call of another thread") as caught:
                call()
            assert caught.value.code == "BUSY"
        go_on.set()
        thread.join()
        assert results == [expected]


def test_a_call_inside_a_call_is_refused(make_toy):
    with llmc.Model(make_toy()[0]) as model:
        class Id:
            def __index__(self):
                return model.generate([1], 1)[0]

        with pytest.raises(llmc.Error, match="busy with a call of this thread"):
            model.prefill([Id()])
        assert len(model.generate([1], 2)) == 2


def test_a_stream_keeps_others_away(make_toy):
    base, expected = make_toy()
    with llmc.Model(base) as model:
        def other():
            with pytest.raises(llmc.Error, match="read by a stream of another thread") as caught:
                model.generate([1], 1)
            return caught.value.code

        stream = model.stream([1, 42, 7], 32)
        got = [next(stream), next(stream)]
        assert in_thread(other) == "BUSY"
        got.append(in_thread(lambda: next(stream)))  # handed over, as servers do
        assert got + list(stream) == expected
        assert in_thread(lambda: model.generate([1, 42, 7], 32)) == expected  # it has ended
        stream = model.stream([1, 42, 7], 32)
        next(stream)
        stream.close()
        assert list(stream) == [] and in_thread(lambda: model.generate([1, 42, 7], 32)) == expected
        stream = model.stream([1, 42, 7], 32)
        del stream
        assert in_thread(lambda: model.generate([1, 42, 7], 32)) == expected


def test_one_stream_in_many_threads(make_toy):
    base, expected = make_toy()
    with llmc.Model(base) as model:
        for _ in range(50):
            stream, got = model.stream([1, 42, 7], 32), []

            def work(index):
                while True:
                    try:
                        got.append(next(stream))
                    except StopIteration:
                        return
                    except llmc.Error as error:
                        assert error.code == "BUSY"

            run_threads(work, 3)
            assert sorted(got) == sorted(expected)  # none lost, none twice


def test_a_sequence_belongs_to_who_began_it(make_toy):
    with llmc.Model(make_toy()[0]) as model:
        first = model.prefill([4, 9])
        kept = first.tolist()

        def other():
            for call in (lambda: model.decode(1), lambda: model.prefill([1])):
                with pytest.raises(llmc.Error, match="begun by another thread") as caught:
                    call()
                assert caught.value.code == "BUSY"
            return model.length

        assert in_thread(other) == 2
        assert in_thread(lambda: (model.reset(), model.prefill([5]))[1].tolist()) != kept
        assert first.tolist() == kept  # another thread's logits are not written over this one's
        with pytest.raises(llmc.Error, match="begun by another thread"):
            model.decode(30)
        model.take_over()
        assert model.decode(30).tolist() == model.logits([5, 30]).tolist()[1]


def test_works_in_a_child_of_fork(make_toy):
    base, expected = make_toy()
    with llmc.Model(base, threads=3, exactly=True) as model:
        assert model.generate([1, 42, 7], 32) == expected
        for _ in range(3):
            assert exit_of_child(lambda: model.generate([1, 42, 7], 32) == expected
                                 and exit_of_child(lambda: model.generate([1, 42, 7], 32) == expected) == 0
                                 and model.close() is None) == 0
        stream = model.stream([1, 42, 7], 32)
        next(stream)
        assert exit_of_child(lambda: list(stream) == expected[1:]) == 0
        assert list(stream) == expected[1:]


def test_works_in_a_child_forked_in_the_middle_of_a_call(make_toy):
    base, expected = make_toy()
    with llmc.Model(base, threads=2, exactly=True) as model:
        stop, met = threading.Event(), 0

        def busy():
            while not stop.is_set():
                assert model.generate([1, 42, 7], 32) == expected

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(10):
                time.sleep(0.005)
                assert exit_of_child(lambda: model.generate([1, 42, 7], 32) == expected and model.close() is None) == 0
        finally:
            stop.set()
            thread.join()
