"""A segmenter with features that can be worked out by hand: an image's colours, in the layout of SAM's embedding."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sam_backend.segmenters import Candidates, DenseFeatures, Embedding, ModelInfo
from sam_backend.segmenters.concepts import LEAST_SCORE, Instances
from sam_backend.segmenters.model_info import CONCEPTS, INTERACTIVE

CELLS, INPUT, LOGITS = 64, 1024, 256
TOLERANCE = 30
SPECK = 20
COLOURS = {"red": (200, 40, 40), "green": (40, 190, 60)}


class ColourSegmenter:
    """Answers with the pixels that have the colour of a click or of a box's middle; surer the more they fill."""

    name = "colour"
    info = ModelInfo(name, "Colours", "Apache-2.0", lambda *_: ColourSegmenter(), has_features=True)

    def __init__(self, version="colour-1"):
        self.version = version
        self.encoded = 0

    def encode(self, image):
        self.encoded += 1
        height, width = image.shape[:2]
        scale = CELLS / max(height, width)
        rows, columns = (max(1, round(side * scale)) for side in (height, width))
        features = np.zeros((3, CELLS, CELLS), np.float32)
        small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        features[:, :rows, :columns] = small.transpose(2, 0, 1) / 255
        shown = np.array([rows, columns]) * INPUT // CELLS
        arrays = {"features": features, "input_size": shown, "image": image}
        return Embedding(arrays, (height, width))

    def decode(self, embedding, prompts, *, multimask=None):
        return [self._answer(embedding, prompt) for prompt in prompts]

    def features(self, embedding):
        values = embedding.arrays["features"].transpose(1, 2, 0)
        return DenseFeatures.of_square(values, embedding.arrays["input_size"], INPUT)

    def _answer(self, embedding, prompt):
        image = embedding.arrays["image"].astype(int)
        height, width = embedding.size
        left, top, right, bottom = 0, 0, width, height
        if prompt.box is not None:
            left, top, right, bottom = np.round(prompt.box).astype(int)
        x, y = ((left + right) // 2, (top + bottom) // 2) if prompt.box is not None else prompt.points[0].astype(int)
        mask = np.zeros(embedding.size, bool)
        mask[top:bottom, left:right] = (abs(image - image[y, x]).max(2) <= TOLERANCE)[top:bottom, left:right]
        side = max(embedding.size)
        square = np.zeros((side, side), np.float32)
        square[: mask.shape[0], : mask.shape[1]] = mask
        logits = 20 * cv2.resize(square, (LOGITS, LOGITS), interpolation=cv2.INTER_AREA) - 10
        filled = mask.sum() / max((right - left) * (bottom - top), 1)
        return Candidates(mask[None], np.array([filled], np.float32), logits[None].astype(np.float32))


class ColourFinder(ColourSegmenter):
    """Also finds the pieces that have a colour: one that the text names, or that of the middle of a box."""

    name = "colour-finder"
    info = ModelInfo(
        name, "Colours", "Apache-2.0", lambda *_: ColourFinder(), prompts=INTERACTIVE | CONCEPTS, has_features=True
    )

    def find(self, embedding, concept, *, least_score=LEAST_SCORE):
        image = embedding.arrays["image"].astype(int)
        colours = {1: [COLOURS[word] for word in concept.text.lower().split() if word in COLOURS], 0: []}
        for box, label in zip(concept.boxes, concept.labels.tolist(), strict=True):
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            colours[label].append(image[y, x])
        wanted, unwanted = (
            sum((abs(image - colour).max(2) <= TOLERANCE for colour in colours[label]), np.zeros(image.shape[:2], bool))
            for label in (1, 0)
        )
        count, numbers = cv2.connectedComponents((wanted & ~unwanted).astype(np.uint8))
        pieces = [numbers == number for number in range(1, count)]
        pieces = sorted((piece for piece in pieces if piece.sum() >= SPECK), key=lambda piece: -piece.sum())
        scores = np.linspace(0.9, 0.5, len(pieces), dtype=np.float32)
        return Instances(np.array(pieces, bool).reshape(-1, *embedding.size), scores)


def surface(seed, *, red=(), green=(), size=(120, 160)):
    """A grained grey image with red and green squares of 24 pixels at (x, y), and the masks of both."""
    random = np.random.default_rng(seed)
    image = np.clip(random.normal(110, 8, (*size, 1)) + np.zeros(3), 0, 255)
    masks = []
    for label, corners in (("red", red), ("green", green)):
        for x, y in corners:
            mask = np.zeros(size, bool)
            mask[y : y + 24, x : x + 24] = True
            image[mask] = COLOURS[label] + random.normal(0, 6, (int(mask.sum()), 1))
            masks.append((label, mask))
    return image.astype(np.uint8), masks


def write_surfaces(folder: Path) -> Path:
    """Write a data set of 16 surfaces with a red and a green square each, in the format `masks`."""
    for part in ("images", "masks"):
        (folder / part).mkdir()
    (folder / "classes.txt").write_text("1 red\n2 green\n")
    for number in range(16):
        rng = np.random.default_rng(number)
        places = [(int(rng.integers(5, 45)), int(rng.integers(5, 90))), (int(rng.integers(80, 130)), 50)]
        image, masks = surface(number, red=places[:1], green=places[1:])
        painted = np.zeros(image.shape[:2], np.uint8)
        for value, (_, mask) in enumerate(masks, 1):
            painted[mask] = value
        Image.fromarray(image).save(folder / "images" / f"{number:02d}.png")
        Image.fromarray(painted).save(folder / "masks" / f"{number:02d}.png")
    return folder
