#!/usr/bin/env python3
"""check_links.py: every relative link in a Markdown page, and every page that a source mentions, exists."""
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


def main():
    broken = 0
    for path in sorted(files((".md", ".h", ".cpp", ".td", ".c", ".py"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        targets = []
        if path.endswith(".md"):
            links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.S))
            targets = [os.path.join(os.path.dirname(path), link) for link in links if "://" not in link]
        targets += [os.path.join(SOURCE, page) for page in re.findall(r"(?<![\w/])docs/\w+(?:/\w+)?\.md\b", text)]
        for target in targets:
            if not os.path.exists(target):
                print(f"{os.path.relpath(path, SOURCE)}: {os.path.relpath(target, SOURCE)} does not exist", file=sys.stderr)
                broken += 1
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
