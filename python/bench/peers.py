"""A compiled model beside other engines, in one run: what `llmc-bench model --peers=` calls.

  python peers.py --bench=llmc-bench BASE --peer=llama.cpp:m.gguf --peer=onnxruntime:m.onnx
                  [--tests=pp512,tg128] [--threads=1,2] [--rounds=5] [--seconds=0.5] [--json]

Round after round, each engine runs the test once, llmc first; so all see the same minutes of the
machine. The table has the median over the rounds in tokens per second, the spread, the best round,
and how many times as fast llmc is: by the median of the ratios of each round, and by the best rounds,
which say more on a machine that others use too. An engine that is not installed is named and left
out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import engines

HERE = os.path.dirname(os.path.abspath(__file__))


def fail(message):
    print(f"peers: error: {message}", file=sys.stderr)
    sys.exit(2)


class Peer:
    """An engine in its own process."""

    def __init__(self, name, path, threads, positions):
        self.name, self.path = name, path
        command = [sys.executable, os.path.join(HERE, "engines.py"), name, path, str(threads), str(positions)]
        self.said = tempfile.TemporaryFile("w+", errors="replace")  # a pipe that nobody reads would fill
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True)
        words = self.process.stdout.readline().split(maxsplit=2)
        self.alive = words[:1] == ["ready"]
        self.version = words[2].strip() if len(words) > 2 else ""
        if not self.alive:
            self.code = self.process.wait()

    def measure(self, test, seconds):
        try:
            self.process.stdin.write(f"{test} {seconds}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            fail(f"{self.name} at {test} of {self.path}: {self.describe_end()}")
        return float(line)

    def describe_end(self):
        code = self.process.wait()
        self.said.seek(0)
        return engines.describe_end(code, self.said.read())

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:  # it had ended
            pass
        self.process.wait()
        self.said.close()


class OtherModel:
    """Another compiled model: an engine that llmc-bench measures, as it does the first."""

    name, version, alive = "llmc", "", True

    def __init__(self, options, path, threads):
        self.options, self.path, self.threads = options, path, threads

    def measure(self, test, seconds):
        return measure_llmc(self.options, self.path, self.threads, test)["tokens_per_s"]

    def close(self):
        """Nothing is held between measurements."""


def measure_llmc(options, base, threads, test):
    command = [options.bench, "model", base, f"--threads={threads}", f"--tests={test}", "--json",
               "--repetitions=1", f"--min-time={options.seconds}"]
    if options.read_size:
        command.append(f"--read-size={options.read_size}")
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode < 0:
        fail(f"llmc-bench {engines.describe_end(result.returncode, result.stderr)}")
    if result.returncode:
        sys.stderr.write(result.stderr)
        sys.exit(result.returncode)
    run = next(run for run in json.loads(result.stdout)["benchmarks"] if run["run_type"] == "iteration")
    return run


def spread(values):
    return (max(values) - min(values)) / statistics.median(values)


def warn(test, threads, runs, records):
    """The bounds are those of llmc-bench."""
    what = f"peers: warning: {test} with {threads} threads"
    busy = max(run["others_busy"] for run in runs)
    if busy > 0.1:
        print(f"{what}: other processes kept {busy:.2f} processors busy", file=sys.stderr)
    wide = [record["engine"] for record in records if record["spread"] > 0.1]
    if wide:
        print(f"{what}: rounds spread over more than 10 %: {', '.join(wide)}", file=sys.stderr)


def measure_test(options, threads, test, peers):
    """One record per engine, llmc first."""
    runs, rates = [], [[] for _ in peers]
    for _ in range(options.rounds):
        runs.append(measure_llmc(options, options.base, threads, test))
        for peer, found in zip(peers, rates):
            found.append(peer.measure(test, options.seconds))
    own = [run["tokens_per_s"] for run in runs]
    records = [{"test": test, "threads": threads, "engine": "llmc", "file": options.base,
                "tokens_per_s": statistics.median(own), "spread": spread(own), "best": max(own)}]
    for share in ("share_of_read", "share_of_peak"):
        if share in runs[0]:
            records[0][share] = statistics.median(run[share] for run in runs)
    for peer, found in zip(peers, rates):
        ratio = statistics.median(mine / other for mine, other in zip(own, found))
        records.append({"test": test, "threads": threads, "engine": peer.name, "version": peer.version,
                        "file": peer.path, "tokens_per_s": statistics.median(found), "spread": spread(found),
                        "best": max(found), "llmc_ratio": ratio, "llmc_ratio_best": max(own) / max(found)})
    warn(test, threads, runs, records)
    return records


def print_record(record):
    def percent(key):
        return f"{100 * record[key]:8.1f} %" if key in record else " " * 10

    def ratio(key):
        return f"{record[key]:7.2f} x" if key in record else " " * 9

    print(f"{record['test']:<12} {record['threads']:>7}  {record['engine']:<17} {record['tokens_per_s']:>10.1f}"
          f" {percent('spread')} {record['best']:>10.1f}"
          f" {ratio('llmc_ratio')} {ratio('llmc_ratio_best')} {percent('share_of_read')} {percent('share_of_peak')}"
          f"  {os.path.basename(record['file'])} {record.get('version', '')}", flush=True)


def positions_of(tests):
    return max(count + depth for _, count, depth in map(engines.parse_test, tests))


def run_threads(options, threads, tests):
    peers, records = [], []
    for name, path in options.peers:
        peer = OtherModel(options, path, threads) if name == "llmc" else Peer(name, path, threads, positions_of(tests))
        if peer.alive:
            peers.append(peer)
        elif peer.code == engines.NOT_INSTALLED:
            print(f"peers: {name} is not installed for {sys.executable}: left out", file=sys.stderr)
        else:
            fail(f"{name} cannot run {path}: {peer.describe_end()}")
    for test in tests:
        for record in measure_test(options, threads, test, peers):
            records.append(record)
            if not options.json:
                print_record(record)
    for peer in peers:
        peer.close()
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="what was given to llmc-compile -o")
    parser.add_argument("--bench", default="llmc-bench", help="the program llmc-bench")
    parser.add_argument("--peer", action="append", default=[], metavar="ENGINE:FILE",
                        help="llama.cpp:FILE.gguf (llama.cpp-q8cache: its cache in q8_0), onnxruntime:FILE.onnx, openvino:FILE.onnx or"
                        " llmc:BASE, another compiled model")
    parser.add_argument("--tests", default="pp512,tg128")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each engine in each round")
    parser.add_argument("--read-size", type=int, help="MiB that the read bandwidth is measured with")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.peers = [peer.split(":", 1) for peer in options.peer]
    for name, path in options.peers:
        if name not in ("llmc", *engines.ENGINES):
            parser.error(f"unknown engine '{name}': expected llmc, {', '.join(engines.ENGINES)}")
        file = f"{path}.json" if name == "llmc" else path
        if not os.path.exists(file):
            fail(f"{file}: no such file")
    if not options.json:
        print(f"{'test':<12} {'threads':>7}  {'engine':<17} {'tokens/s':>10} {'spread':>10} {'best':>10}"
              f" {'llmc is':>9} {'by best':>9}"
              f" {'of read':>10} {'of peak':>10}")
    records = []
    for threads in options.threads.split(","):
        records += run_threads(options, int(threads), options.tests.split(","))
    if options.json:
        print(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
