#!/usr/bin/env python3
"""Runs everything: GoogleTest executables, lit, pytest, with --tidy clang-tidy; ends with one line of sums.

usage: run_tests.py BUILD [--only TEXT] [--tidy]     TEXT: only tests in whose path (lit, pytest), executable's name or
source (clang-tidy) this regular expression is found

Each suite writes JUnit XML into BUILD/test-results, which is what the sums are made of. A suite that ends badly without
having said so in its file counts as one failure. Exit code 1 if anything failed or nothing ran. All processors work: each
executable runs in shards, lit and pytest (by files) have their own workers.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Of processor time; what was clean before costs none.
TIDY_SECONDS = 120


def read_counts(path):
    """(passed, failed, skipped) of a JUnit file, counted over its test cases."""
    passed = failed = skipped = 0
    for case in xml.parse(path).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            failed += 1
        elif "skipped" in tags or case.get("status") == "notrun" or case.get("result") == "skipped":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def run_suite(name, runs):
    """Runs the parts of a suite beside each other; each is (command, report, environment)."""
    print(f"== {name}", flush=True)
    totals, processes = [0, 0, 0], []
    for command, report, env in runs:
        if os.path.exists(report):
            os.remove(report)
        try:
            processes.append((subprocess.Popen(command, cwd=SOURCE, env=env), report))
        except OSError as error:
            print(f"{name}: cannot run {command[0]}: {error.strerror}", flush=True)
            totals[1] += 1
    for process, report in processes:
        code = process.wait()
        try:
            counts = read_counts(report)
        except (OSError, xml.ParseError):
            counts = (0, 0, 0)
        if code != 0 and counts[1] == 0:
            print(f"{name}: ended with code {code} and reported no failure", flush=True)
            counts = (counts[0], 1, counts[2])
        totals = [total + count for total, count in zip(totals, counts)]
    return totals


def main():
    parser = argparse.ArgumentParser(description="run all tests of a build")
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--tidy", action="store_true", help="clang-tidy too")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    results = os.path.join(build, "test-results")
    os.makedirs(results, exist_ok=True)
    venv = os.path.join(SOURCE, ".venv", "bin", "python")
    python = os.environ.get("LLMC_PYTHON") or (venv if os.path.exists(venv) else sys.executable)
    env = dict(os.environ, LLMC_BUILD=build, LLMC_PYTHON=python, PYTHONDONTWRITEBYTECODE="1")
    env["PATH"] = os.path.join(build, "bin") + os.pathsep + env.get("PATH", "")
    env["PYTHONPATH"] = os.path.join(SOURCE, "python")

    suites, processors = [], len(os.sched_getaffinity(0))
    for path in sorted(glob.glob(os.path.join(build, "bin", "LLMC*Tests"))):
        name = os.path.basename(path)
        if re.search(args.only, name):
            runs = []
            for shard in range(processors):
                report = os.path.join(results, f"{name}-{shard}.xml")
                shards = {"GTEST_TOTAL_SHARDS": str(processors), "GTEST_SHARD_INDEX": str(shard)}
                runs.append(([path, "--gtest_brief=1", "--gtest_output=xml:" + report], report, dict(env, **shards)))
            suites.append((name, runs))
    lit = shutil.which("lit", path="/usr/lib/llvm-22/bin" + os.pathsep + env["PATH"])
    report = os.path.join(results, "lit.xml")
    command = [lit or "lit", "-s", "-v", "--xunit-xml-output", report, os.path.join(build, "test")]
    command += ["--filter", args.only, "--allow-empty-runs"] if args.only else []
    suites.append(("lit", [(command, report, env)]))
    files = [path for path in sorted(glob.glob(os.path.join(SOURCE, "test", "**", "test_*.py"), recursive=True))
             if re.search(args.only, os.path.relpath(path, SOURCE))]
    if files:
        report = os.path.join(results, "pytest.xml")
        command = [python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--rootdir", SOURCE,
                   "--import-mode=importlib", "--junitxml", report, "-n", str(processors), "--dist", "loadfile"]
        suites.append(("pytest", [(command + files, report, env)]))

    if args.tidy:
        report = os.path.join(results, "tidy.xml")
        command = [python, os.path.join(SOURCE, "test", "run_tidy.py"), build, "--only", args.only, "--report", report,
                   "--seconds", str(TIDY_SECONDS)]
        suites.append(("tidy", [(command, report, env)]))

    totals = [0, 0, 0]
    for name, runs in suites:
        totals = [total + count for total, count in zip(totals, run_suite(name, runs))]
    passed, failed, skipped = totals
    if skipped:
        print(f"{skipped} skipped or left out")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
