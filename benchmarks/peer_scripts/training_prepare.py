"""Writes what a workload trains on: the files modelyard's spec reads, and the same rows as arrays for its peers.

The arrays are made out of what modelyard prepared, so that every peer gets the same rows, ids and scaled values.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import yaml

import modelyard
from modelyard.core.files import write_json, write_text
from modelyard.core.registry import table
from modelyard.data.catalog import catalog
from modelyard.data.loader import Loader
from modelyard.data.prepare import locate, prepare
from modelyard.models.blocks.inputs import Vector
from modelyard.spec.spec import DataSpec

TOKENS = 128


def pictures(folder, rows, colour):
    """Fashion-MNIST's first rows; in colour with a border of black to 32 × 32, as a stand-in for colour pictures."""
    arrays = {}
    sources, _ = locate(DataSpec(source="catalog:fashion_mnist", format="idx"))
    for split, count in rows.items():
        parts = [part.table for part in sources[split].read()]
        chunks = [part.column("image") for part in parts]
        images = np.concatenate([chunk.to_numpy_ndarray() for chunk in chunks])[:count]
        labels = np.concatenate([part.column("label").to_numpy(zero_copy_only=False) for part in parts])[:count]
        if colour:
            images = np.repeat(np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None], 3, 3)
        arrays[f"image_{split}"], arrays[f"label_{split}"] = images, labels
    np.savez(folder / "pictures.npz", **arrays)
    return str(folder / "pictures.npz")


def reviews(folder, rows, joined):
    """Chinese reviews, each once, in a fixed order; joined: those of one kind strung together to full rows."""
    path = catalog.get("chinese_reviews") / "all.jsonl"
    found = {}
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["text"]:
            found.setdefault(row["text"], row["label"])
    texts = sorted(found)
    random.Random(0).shuffle(texts)
    held_out = texts[: len(texts) // 6]
    source = {}
    for split, chosen in {"train": texts[len(held_out) :], "test": held_out}.items():
        pairs = [(text, found[text]) for text in chosen]
        pairs = strung(pairs) if joined else pairs
        if len(pairs) < rows[split]:
            raise SystemExit(f"{len(pairs)} rows for {split}, {rows[split]} are wanted")
        lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in pairs[: rows[split]]]
        write_text(folder / f"{split}.jsonl", "\n".join(lines) + "\n")
        source[split] = str(folder / f"{split}.jsonl")
    return source


def strung(pairs):
    """String reviews of one kind together until a row has `TOKENS` Chinese characters, each of which is a token."""
    rows, open_rows = [], {}
    for text, label in pairs:
        text = open_rows.pop(label, "") + text
        if sum("一" <= character <= "鿿" for character in text) >= TOKENS:
            rows.append((text, label))
        else:
            open_rows[label] = text
    return rows


def export(spec, folder, kind):
    """Write the prepared rows as arrays and what is to be known about them."""
    family, task = table("family").find(spec.model.name), table("task").find("classification")
    prepared = prepare(spec, family.accepts, task.targets_of)
    inputs = prepared.fitted.describe()
    about = {"kind": kind, "vocabulary": 0, "filled": 1.0}
    for split in ("train", "test"):
        loader = Loader(prepared.splits[split], prepared.fitted, 1024, 0, False)
        xs, ys, tokens = [], [], 0
        for batch in loader.epoch(0):
            (target,) = batch.targets.values()
            ys.append(target.numpy().astype(np.int64))
            if inputs[0].kind == "image":
                xs.append(batch.inputs[inputs[0].tensors[0]].permute(0, 2, 3, 1).contiguous().numpy())
            elif inputs[0].kind == "tokens":
                ids, length = (batch.inputs[name].numpy() for name in inputs[0].tensors)
                padded = np.zeros((len(ids), inputs[0].max_length), np.int32)
                padded[:, : ids.shape[1]] = ids
                tokens += int(length.sum())
                xs.append(padded)
            else:
                xs.append(Vector(inputs, "one_hot")(batch.inputs).numpy())
        x, y = np.concatenate(xs), np.concatenate(ys)
        # The loader may have sorted rows by length; peers that do not shuffle well must not be at a disadvantage.
        order = np.random.default_rng(0).permutation(len(y))
        np.save(folder / f"x_{split}.npy", np.ascontiguousarray(x[order]))
        np.save(folder / f"y_{split}.npy", y[order])
        if inputs[0].kind == "tokens" and split == "train":
            about |= {"vocabulary": inputs[0].vocabulary_size, "filled": tokens / x.size}
        about["rows" if split == "train" else "test_rows"] = len(y)
    labels = int(max(y) + 1)
    about |= {"shape": list(x.shape[1:]), "outputs": 1 if labels == 2 else labels}
    return about


def main():
    asked = json.loads(sys.argv[1])
    folder = Path(asked["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    spec = asked["spec"]
    data, rows = asked["data"], asked["rows"]
    if data == "adult":
        spec["data"]["source"] = "catalog:adult"
        if rows["train"] < 30_000:
            spec["data"]["limit"] = rows["train"]
    elif data in ("fashion", "fashion colour"):
        spec["data"]["source"] = pictures(folder, rows, data == "fashion colour")
    else:
        spec["data"]["source"] = reviews(folder, rows, data == "joined reviews")
    write_text(folder / "spec.yaml", yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    about = export(modelyard.open_spec(folder / "spec.yaml"), folder, asked["kind"])
    write_json(folder / "about.json", about | {"asked": asked["key"]})
    print(json.dumps(about))


if __name__ == "__main__":
    main()
