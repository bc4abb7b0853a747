"""Which words make a text what it is: TF-IDF over licences and library sources, as futures that submit futures.

Three steps. *Explore*: a task for each folder submits tasks for its files and its subfolders, so the graph is known
only while it runs. *Count*: one task for each document, and a tree of merges of uneven fan-in for the number of
documents that contain each word. *Score*: one task for each document, and one for each folder over its documents.
``serial`` calls the same functions one after another, without Kask.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kask.distributed import Client, Future, worker_client

WORD = re.compile(r"[a-z]{3,}")
SHORTEST_TEXT = 50
TERMS_KEPT = 8


@dataclass(frozen=True)
class Document:
    """A text worth counting."""

    path: str
    words: int

    @property
    def folder(self) -> str:
        return str(Path(self.path).parent)


Terms = list[tuple[str, float]]


@dataclass
class Answer:
    """The terms that stand out, for each folder and in all."""

    folders: dict[str, Terms]
    overall: Terms


# -- what a task does ------------------------------------------------------------------------------------------------


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace").lower()


def survey(path: str) -> Document:
    return Document(path, len(WORD.findall(read(path))))


def count_words(path: str) -> Counter[str]:
    return Counter(WORD.findall(read(path)))


def presence(counts: Counter[str]) -> Counter[str]:
    """One for each word of the document."""
    return Counter(dict.fromkeys(counts, 1))


def merge(parts: list[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def score(counts: Counter[str], documents_with: Counter[str], documents: int) -> Terms:
    """The document's words by term frequency times inverse document frequency, the highest first."""
    words = sum(counts.values())
    weights = {
        word: (count / words) * math.log(documents / documents_with[word])
        for word, count in counts.items()
        if count > 1
    }
    return strongest(weights)


def combine(scores: list[Terms]) -> Terms:
    """The strongest terms of several texts. Weights are added in the order of the texts."""
    weights: dict[str, float] = {}
    for terms in scores:
        for word, weight in terms:
            weights[word] = weights.get(word, 0.0) + weight
    return strongest(weights)


def strongest(weights: dict[str, float]) -> Terms:
    return sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:TERMS_KEPT]


def entries(folder: str, quick: bool) -> tuple[list[str], list[str]]:
    """Files and subfolders worth a look, sorted. Installed packages are not part of the library."""
    files, folders = [], []
    for entry in sorted(Path(folder).iterdir()):
        if entry.is_dir() and not entry.is_symlink() and entry.name not in {"site-packages", "__pycache__"}:
            folders.append(str(entry))
        elif entry.is_file() and entry.suffix in {".py", ""}:
            files.append(str(entry))
    return (files[:40], folders[:4]) if quick else (files, folders)


# -- with Kask -------------------------------------------------------------------------------------------------------


def explore(folder: str, quick: bool) -> list[Document]:
    """A task that submits tasks: the documents in ``folder`` and below."""
    files, folders = entries(folder, quick)
    with worker_client() as client:
        below = [client.submit(explore, subfolder, quick) for subfolder in folders]
        surveys = client.map(survey, files)
        found = [document for document in client.gather(surveys) if document.words >= SHORTEST_TEXT]
        for documents in client.gather(below):
            found.extend(documents)
    return found


def merge_tree(client: Client, parts: list[Future], chance: random.Random) -> Future:
    """Merges of 2 to 16 at a time, as the seed has it, until one is left."""
    level = parts
    while len(level) > 1:
        above, start = [], 0
        while start < len(level):
            end = start + chance.randint(2, 16)
            above.append(client.submit(merge, level[start:end]))
            start = end
        level = above
    return level[0]


@dataclass
class Scoring:
    """Everything that is under way once the documents are known."""

    counts: list[Future]
    scores: list[Future]
    folders: dict[str, Future]
    overall: Future


def start_scoring(client: Client, documents: list[Document], chance: random.Random) -> Scoring:
    counts = client.map(count_words, [document.path for document in documents])
    documents_with = merge_tree(client, client.map(presence, counts), chance)
    scores = [client.submit(score, count, documents_with, len(documents)) for count in counts]
    by_folder: dict[str, list[Future]] = {}
    for document, terms in zip(documents, scores, strict=True):
        by_folder.setdefault(document.folder, []).append(terms)
    folders = {folder: client.submit(combine, terms) for folder, terms in by_folder.items()}
    return Scoring(counts, scores, folders, client.submit(combine, list(folders.values())))


def collect(client: Client, scoring: Scoring) -> Answer:
    folders = dict(zip(scoring.folders, client.gather(list(scoring.folders.values())), strict=True))
    return Answer(folders, scoring.overall.result())


# -- without Kask ----------------------------------------------------------------------------------------------------


def serial_explore(folder: str, quick: bool) -> list[Document]:
    files, folders = entries(folder, quick)
    found = [document for document in map(survey, files) if document.words >= SHORTEST_TEXT]
    for subfolder in folders:
        found.extend(serial_explore(subfolder, quick))
    return found


def serial(roots: list[Path], quick: bool) -> Answer:
    documents = [document for root in roots for document in serial_explore(str(root), quick)]
    counts = [count_words(document.path) for document in documents]
    documents_with = merge([presence(count) for count in counts])
    by_folder: dict[str, list[Terms]] = {}
    for document, count in zip(documents, counts, strict=True):
        by_folder.setdefault(document.folder, []).append(score(count, documents_with, len(documents)))
    folders = {folder: combine(scores) for folder, scores in by_folder.items()}
    return Answer(folders, combine(list(folders.values())))


def check(answer: Answer, expected: Answer) -> None:
    """Raises AssertionError when anything differs, the last bit of a weight included."""
    for folder, terms in expected.folders.items():
        assert answer.folders.get(folder) == terms, f"{folder}: {answer.folders.get(folder)} instead of {terms}"
    assert answer.folders.keys() == expected.folders.keys()
    assert answer.overall == expected.overall, f"{answer.overall} instead of {expected.overall}"


def show(answer: Answer, roots: list[Path]) -> None:
    print("\nWords that stand out:")
    names = [str(root) for root in roots if str(root) in answer.folders]
    largest = sorted((folder for folder in answer.folders if folder not in names), key=lambda f: (len(f), f))[:4]
    for folder in names + largest:
        print(f"  {shortened(folder):<32} {', '.join(word for word, _ in answer.folders[folder][:6])}")
    print(f"  {'in all':<32} {', '.join(word for word, _ in answer.overall[:6])}")


def shortened(folder: str) -> str:
    return folder if len(folder) <= 32 else "…" + folder[-31:]
