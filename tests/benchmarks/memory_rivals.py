"""Two simple rivals of the memory on the same features: prototypes, and a logistic regression on cells."""

import cv2
import numpy as np

from sam_backend.memory.logistic import fit_logistic

CELLS_AN_IMAGE = 4096
PENALTY = 1e-3


def cells_of(segmenter, examples, classes):
    """Return features (N, C) and labels (N,) of cells of the images."""
    random = np.random.default_rng(0)
    values, labels = [], []
    for example in examples:
        features = segmenter.features(example.whole)
        rows, columns = features.shown
        truth = example.label_map(classes)
        shares = [
            cv2.resize((truth == index).astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
            for index in range(len(classes) + 1)
        ]
        flat = features.inside.reshape(rows * columns, -1)
        some = random.choice(len(flat), min(CELLS_AN_IMAGE, len(flat)), replace=False)
        values.append(flat[some])
        labels.append(np.argmax(shares, 0).ravel()[some])
    return np.concatenate(values), np.concatenate(labels)


def prototype(segmenter, examples, classes):
    values, labels = cells_of(segmenter, examples, classes)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    means = np.stack(
        [unit[labels == i].mean(0) if (labels == i).any() else 0 * unit[0] for i in range(len(classes) + 1)]
    )
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return lambda features: (features @ means.T) / np.maximum(np.linalg.norm(features, axis=2, keepdims=True), 1e-9)


def regression(segmenter, examples, classes):
    values, labels = cells_of(segmenter, examples, classes)
    middle, scale = values.mean(0), values.std(0) + 1e-3
    x = np.hstack([(values - middle) / scale, np.ones((len(values), 1))]).astype(np.float32)
    y = np.eye(len(classes) + 1, dtype=np.float32)[labels]

    ridge = np.full((x.shape[1], 1), PENALTY, np.float32)
    ridge[-1] = 0
    fitted = fit_logistic(x, y, np.full(len(x), 1 / len(x), np.float32), np.zeros((x.shape[1], y.shape[1])), ridge, 100)
    return lambda features: ((features - middle) / scale) @ fitted[:-1] + fitted[-1]
