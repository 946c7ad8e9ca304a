"""Check the project's language: ``python -m scripts.words [PATH …]`` prints each hit and fails if there is one.

Checked are the words of code and documentation, the first word of docstrings, the names of tests, and the subjects of
commits. CONTRIBUTING.md, "How we write", has the rules that no script can check.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".py", ".md", ".html", ".js", ".toml", ".cfg", ".yml", ".sh", ""}
NOT_CHECKED = {"scripts/words.py", "tests/scripts/test_words.py", "LICENSE"}
MAX_SUBJECT = 72  # characters

# A word or phrase that readers stumble over, and the ordinary one. Case-insensitive, on whole words.
WORDS: dict[str, str] = {
    r"unless told": "by default",
    r"(?:un)?till? told": "until",
    r"(?:is|are|was|were|be|been|being) told": "is reported, is notified, is logged: name who does it",
    r"(?:can't|cannot|can't be|can be|could not be) told": "cannot be determined",
    r"tell(?:s|ing)? apart|told apart": "distinguish",
    r"so (?:many|long) (?:seconds|items|characters|requests|records|messages|are|may|have)": "up to N, for that long",
    r"at the (?:most|least)": "at most, at least",
    r"time-outs?": "timeout",
    r"in vain": "without result",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"who(?:m)?ever": "the caller, the process",
    r"twins?": "sibling, counterpart",
    r"anew": "again",
    r"(?:too|is|are|be) dear|dearer": "expensive",
    r"befalls?": "affects",
    r"held against": "validated against, compared with",
    r"handed in": "injected, passed in",
    r"go(?:es|ing)? on|went on|gone on": "continue, resume",
    r"goes out|go out|went out": "is sent",
    r"till": "until",
    r"its pace|for the pace|a pace|their pace": "rate, rate limit",
    r"on (?:its|their) way": "in flight",
    r"out of turn": "out of order",
    r"unsure": "unresolved",
    r"settl(?:e|es|ed|ing|ement)": "reconcile",
    r"ledgers?": "checkpoint folder, work list, usage totals",
    r"sought": "fingerprint, expected",
    r"seal(?:s|ed)?": "keyed hash",
    r"as far as (?:can|it can|they can) be": "where possible",
    r"small letters and capitals|whatever its case": "case-insensitive",
    r"beside(?! \[)": "in addition to, next to, alongside",
    r"aside": "in the background",
    r"(?:he|his|him|himself)": "it, its, they",
    r"troubles?|troubled": "error",
    r"strange": "unexpected",
    r"half a character": "a lone surrogate",
    r"(?:mis)?spelt": "spelled",
    r"for good": "permanently",
    r"a look|another look|each look|last look|every look|look again|looks again|looking again": "a poll, poll again",
    r"a tick|each tick|every tick|per tick": "a polling cycle",
    r"behaviour": "behavior",
    r"colour(?:s|ed)?": "color",
    r"licence": "license",
    r"dialling|dialled": "dialing, dialed",
    r"cancelling|cancelled(?!Error)": "canceling, canceled",
    r"(?:serial|normal|summar|initial|organ|recogn|author|minim|optim|real|util)is(?:e|es|ed|ing|ation)": "-ize",
    r"nobody's": "unclaimed, without an owner",
    r"may be repeated|not be repeated|is repeated|repeatable": "idempotent, retried",
    r"the head of (?:a|an|the) (?:answer|response)": "the header",
    r"lets? go of": "release",
    r"from then on|from there on": "from that point",
}
PATTERNS = [
    (re.compile(rf"(?<![\w/`.<-])(?:{pattern})(?![\w/`=-])", re.IGNORECASE), use) for pattern, use in WORDS.items()
]
ANY_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern in WORDS), re.IGNORECASE)

# The first word of a docstring, and the verb that PEP 257 and readers expect.
FIRST_WORDS = {
    "Give": "Return, Yield",
    "Tell": "Return, Report, Check",
    "Say": "Return, Describe, Report",
    "Hold": "a noun phrase",
    "Let": "Allow, Continue",
    "Take": "Accept, Add, Record",
    "Note": "Record",
    "Look": "Check, Search, Poll",
    "Know": "Return",
    "Forget": "Delete, Discard",
    "Remember": "Store",
    "Keep": "Store, Retain",
    "Have": "Make, Let",
    "What": "a noun phrase",
    "Who": "a noun phrase",
    "Hear": "Receive",
}
# A test is named test_<unit>_<condition>_<expected>: its name begins with what is tested.
BAD_SUBJECTS = re.compile(
    r"test_(?:a|an|the|it|its|what|who|whoever|whose|all|this|that|these|those|they|nobody|somebody|everybody|one|ones|"
    r"none|nothing|each|every|two|some|any|many|few|several|both|others?|there|is|are|no|of|in|at|on|with|without|after|"
    r"before|by|for|from|to|as|if|where|when|how|more|only|neither|either|half|never|not)_"
)


class Hit(NamedTuple):
    """A place whose words are to be changed."""

    path: str
    line: int
    found: str
    use: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r}: write {self.use}"


def check_words(path: str, text: str) -> Iterator[Hit]:
    """Yield the words that the table has another one for."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, use in PATTERNS if ANY_PATTERN.search(line) else ():
            for match in pattern.finditer(line):
                yield Hit(path, number, match[0], use)


def check_docstrings(path: str, tree: ast.Module) -> Iterator[Hit]:
    """Yield the docstrings whose first word hides what is done or returned."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "").split()
            if words and (use := FIRST_WORDS.get(words[0].rstrip(",:"))):
                yield Hit(path, node.body[0].lineno, words[0], use)


def test_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, node.lineno


def check_test_names(trees: dict[str, ast.Module]) -> Iterator[Hit]:
    """Yield the tests whose name has no subject, or stands in another file as well."""
    places: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        for name, line in test_names(tree):
            places[name].add(path)
            if BAD_SUBJECTS.match(name):
                yield Hit(path, line, name, "test_<unit>_<condition>_<expected>")
            elif len(places[name]) > 1:
                yield Hit(path, line, name, f"a name of its own: it stands in {min(places[name] - {path})} too")


def check_subjects(subjects: list[str]) -> Iterator[Hit]:
    """Yield the commit subjects that are too long, or name two changes."""
    for subject in subjects:
        if len(subject) > MAX_SUBJECT:
            yield Hit("commit", len(subject), subject, f"at most {MAX_SUBJECT} characters")
        elif ";" in subject or subject.count(":") > 1:
            yield Hit("commit", len(subject), subject, "one change a commit; the why goes to the body")


def git(*arguments: str) -> list[str]:
    """Return the lines of a git command; none where there is no repository, or not enough of its history."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


def new_subjects() -> list[str]:
    """Return the subjects of the commits since this check was added."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", "scripts/words.py")
    return git("log", "--no-merges", "--format=%s", f"{added[-1]}..HEAD") if added else []


def files(arguments: list[str]) -> list[str]:
    """Return the files to check, relative to the repository: those that git knows or would add."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "--", *(arguments or ["."]))
    return [
        path
        for path in listed
        if (ROOT / path).is_file() and (ROOT / path).suffix in SUFFIXES and path not in NOT_CHECKED
    ]


def check(arguments: list[str]) -> list[Hit]:
    """Return all hits in these files and folders; in the whole project where none are given."""
    hits: list[Hit] = []
    trees: dict[str, ast.Module] = {}
    for path in files(arguments):
        text = (ROOT / path).read_text(encoding="utf-8")
        hits += check_words(path, text)
        if path.endswith(".py"):
            tree = ast.parse(text)
            hits += check_docstrings(path, tree)
            if path.startswith("tests/"):
                trees[path] = tree
    hits += check_test_names(trees)
    if not arguments:
        hits += check_subjects(new_subjects())
    return sorted(hits)


def main() -> int:
    hits = check(sys.argv[1:])
    for hit in hits:
        print(hit)
    if hits:
        print(f"{len(hits)} words or names to change: see CONTRIBUTING.md, How we write")
    return bool(hits)


if __name__ == "__main__":
    sys.exit(main())
