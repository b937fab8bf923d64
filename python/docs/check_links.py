#!/usr/bin/env python3
"""check_links.py: every relative link in a Markdown page, every page that a source mentions and every file that a page names exists."""
import os
import re
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = ("build", ".git", ".venv")


def files(endings):
    for folder, folders, names in os.walk(SOURCE):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            if name.endswith(endings):
                yield os.path.join(folder, name)


# Endings of our own sources; `small.h` and the like are files of an artifact.
NAMED = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:cpp|h|td|c|inc|py|mlir))`")
OF_ARTIFACTS = {"small.h", "hello.c"}


def named_files(text, names):
    """Paths and names of sources in a page that are nowhere in the tree; `names` has all of it."""
    return [name for name in NAMED.findall(text) if name not in OF_ARTIFACTS and not any(
        path == name or path.endswith("/" + name) for path in names)]


def main():
    broken = 0
    names = [os.path.relpath(path, SOURCE) for path in files((".cpp", ".h", ".td", ".c", ".inc", ".py", ".mlir"))]
    for path in sorted(files((".md", ".h", ".cpp", ".td", ".c", ".py"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        targets = []
        if path.endswith(".md"):
            links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.S))
            targets = [os.path.join(os.path.dirname(path), link) for link in links if "://" not in link]
        targets += [os.path.join(SOURCE, page) for page in re.findall(r"(?<![\w/])docs/\w+(?:/\w+)?\.md\b", text)]
        for name in named_files(text, names) if path.endswith(".md") else []:
            print(f"{os.path.relpath(path, SOURCE)}: {name} does not exist", file=sys.stderr)
            broken += 1
        for target in targets:
            if not os.path.exists(target):
                print(f"{os.path.relpath(path, SOURCE)}: {os.path.relpath(target, SOURCE)} does not exist", file=sys.stderr)
                broken += 1
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
