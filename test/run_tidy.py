#!/usr/bin/env python3
"""Runs clang-tidy over lib and tools, headers included; every finding is a failure (.clang-tidy says what is looked for).

usage: run_tidy.py BUILD [--only TEXT] [--seconds N] [--report FILE]
  TEXT: only files in whose path this regular expression is found; N: no more processor time than that, more or less

Nearly all of the time goes into the headers of MLIR, so sources are looked at several at once, behind the precompiled
header, in one source that includes them: such as define no names in common. Where it does not compile all the same,
each half of them is. What was committed last is looked at first, so what N seconds do not reach is what was there before.

A group is looked at again when something changed that its findings depend on: a source, a header of ours or a generated
one, how they are compiled, .clang-tidy, clang-tidy. BUILD/tidy keeps a stamp for each that was clean. All processors work.
The report is JUnit XML, a test case for each group.
"""
import argparse
import concurrent.futures
import functools
import hashlib
import json
import math
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = ("clang-tidy-22", "/usr/lib/llvm-22/bin/clang-tidy")
GROUP = 16


@functools.lru_cache(maxsize=None)
def hash_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def flags_of(entry):
    """How a source is compiled, with the precompiled header, but for warnings and what is written."""
    words = shlex.split(entry["command"])
    first = next(i for i, word in enumerate(words) if word.startswith("-"))
    return tuple(word for before, word in zip(words[first - 1:], words[first:])
                 if before not in ("-o", "-c", "-MT", "-MF") and word not in ("-o", "-c", "-MT", "-MF", "-MD")
                 and not re.match("-W[^l]", word))


# What a source defines for itself: functions and the rest, at the start of a line.
FUNCTION = re.compile(r"^[A-Za-z].*?(?<![:\w])(\w+)\(", re.MULTILINE)
OTHER = re.compile(r"^(?:static |struct|class|enum|constexpr|const|using )(?!namespace).*?(\w+)(?: final)? ?(?:[{=;]|:(?!:))", re.MULTILINE)


def names_of(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return {name for name in FUNCTION.findall(text) + OTHER.findall(text) if not name.isupper()}


def group(paths):
    """Groups of at most GROUP that define no name twice."""
    groups = []  # of (paths, names)
    for path in paths:
        names = names_of(path)
        fitting = next((entry for entry in groups if len(entry[0]) < GROUP and not entry[1] & names), None)
        if not fitting:
            fitting = ([], set())
            groups.append(fitting)
        fitting[0].append(path)
        fitting[1].update(names)
    return [paths for paths, _ in groups]


def read_groups(build):
    """Sources of lib and tools that are compiled alike, some at a time: [(flags, [path])]."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = {entry["file"]: entry for entry in json.load(file)}
    ours = tuple(os.path.join(SOURCE, name) + os.sep for name in ("lib", "tools"))
    alike = {}
    for path in sorted(path for path in commands if path.startswith(ours)):
        key = (os.path.splitext(path)[1], flags_of(commands[path]))
        alike.setdefault(key, []).append(path)
    return [(flags, paths) for (_, flags), sources in alike.items() for paths in group(sources)]


def read_dependencies(build):
    """What each source includes, as the compiler said: {source: [path]}, without the system's headers."""
    text = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True, text=True).stdout
    result = {}
    for block in text.split("\n\n"):
        paths = [os.path.normpath(os.path.join(build, line.strip())) for line in block.splitlines()[1:]]
        ours = [path for path in paths if path.startswith(SOURCE + os.sep) and not path.endswith((".pch", "cmake_pch.hxx"))]
        for path in ours:
            if path.endswith((".cpp", ".c")):
                result[path] = ours
    return result


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_last_change(groups):
    """The groups with what was changed last in front: what is not committed, then by commits."""
    def listed(*command):
        done = subprocess.run(["git", "-C", SOURCE, *command], capture_output=True, text=True, check=False)
        return done.stdout.splitlines() if not done.returncode else []

    ranks = {}
    for name in [line[3:] for line in listed("status", "--porcelain")] + listed("log", "-n200", "--name-only", "--format="):
        ranks.setdefault(os.path.join(SOURCE, name), len(ranks))
    return sorted(groups, key=lambda group: min(ranks.get(path, len(ranks)) for path in group[1]))


class Tidy:
    def __init__(self, program, build, seconds=math.inf):
        self.end = processor_time() + seconds
        self.program, self.folder = program, os.path.join(build, "tidy")
        os.makedirs(self.folder, exist_ok=True)
        self.dependencies = read_dependencies(build)
        version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
        self.shared = [version, hash_of(os.path.join(SOURCE, ".clang-tidy"))]

    def findings(self, flags, paths):
        """What is found in a group, as text; empty if it is clean, None where the time is up."""
        read = sorted({path for source in paths for path in [source, *self.dependencies.get(source, [])]})
        text = "\n".join([*self.shared, *flags, *paths, *map(hash_of, read)])
        stamp = os.path.join(self.folder, hashlib.sha256(text.encode()).hexdigest())
        if os.path.exists(stamp):
            return ""
        if processor_time() > self.end:
            return None
        found = self.look_at(flags, paths)
        if not found:
            open(stamp, "w", encoding="utf-8").close()
        return found

    def look_at(self, flags, paths):
        configuration = "--config-file=" + os.path.join(SOURCE, ".clang-tidy")
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=os.path.splitext(paths[0])[1], encoding="utf-8") as file:
            for path in paths:
                file.write(f'#include "{path}" // NOLINT(bugprone-suspicious-include)\n#undef DEBUG_TYPE\n')
            file.flush()
            done = subprocess.run([self.program, "--quiet", file.name, configuration, "--", *flags], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True)
        if done.returncode and "clang-diagnostic-" in done.stdout and len(paths) > 1:
            half = len(paths) // 2
            return self.look_at(flags, paths[:half]) + self.look_at(flags, paths[half:])
        return (done.stdout or done.stderr or f"clang-tidy ended with code {done.returncode}") if done.returncode else ""


def main():
    parser = argparse.ArgumentParser(description="clang-tidy over our sources")
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--report")
    args = parser.parse_args()
    program = next((found for found in map(shutil.which, PROGRAMS) if found), None)
    if not program:
        sys.exit("run_tidy.py: no clang-tidy of LLVM 22 (Debian package clang-tidy-22)")
    build = os.path.abspath(args.build)
    tidy = Tidy(program, build, args.seconds)
    groups = [(flags, paths) for flags, paths in by_last_change(read_groups(build))
              if any(re.search(args.only, os.path.relpath(path, SOURCE)) for path in paths)]
    suite, failed, left = xml.Element("testsuite", name="tidy"), 0, 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        results = workers.map(lambda group: tidy.findings(*group), groups)
        for (_, paths), found in zip(groups, results):
            case = xml.SubElement(suite, "testcase", classname="tidy",
                                  name=" ".join(os.path.relpath(path, SOURCE) for path in paths))
            if found is None:
                left += len(paths)
                xml.SubElement(case, "skipped").text = f"{args.seconds:.0f} seconds were up"
            elif found:
                failed += 1
                xml.SubElement(case, "failure").text = found
                print(found, flush=True)
    if args.report:
        xml.ElementTree(suite).write(args.report)
    if left:
        print(f"tidy: {left} sources are left for another time, as {args.seconds:.0f} seconds were up; ./run tidy looks at all")
    print(f"tidy: {sum(len(paths) for _, paths in groups)} sources, {failed} of {len(groups)} groups with findings")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
