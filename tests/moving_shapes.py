"""Seeded clips of textured shapes that cross, disappear behind a bar and come back, with the mask of each shape."""

from dataclasses import dataclass

import cv2
import numpy as np

BAR_SHARE = 0.16


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames uint8 RGB (N, H, W, 3), and of each shape the visible masks bool (N, H, W) by its number from 1."""

    frames: np.ndarray
    masks: dict[int, np.ndarray]

    def box(self, number, frame=0):
        ys, xs = np.nonzero(self.masks[number][frame])
        return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def texture(random, size, colour, contrast=18):
    """Return a smooth random pattern around a colour, uint8 (H, W, 3)."""
    noise = random.normal(size=(*size, 3)).astype(np.float32)
    rough = cv2.GaussianBlur(noise, (0, 0), 1.2) + 2.5 * cv2.GaussianBlur(noise, (0, 0), 5)
    return np.clip(np.asarray(colour) + rough * contrast / rough.std(), 0, 255).astype(np.uint8)


def _outline(random, radius):
    """Return the corners (K, 2) of a star-shaped polygon around 0."""
    corners = int(random.integers(5, 12))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners) * 0.15 + np.arange(corners) * 2 * np.pi / corners)
    radii = radius * random.uniform(0.75, 1.2, corners)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def moving_shapes(seed, *, shapes=2, frames=40, size=(180, 320), alike=False, bar=True):
    """Return a clip: shapes move to and fro over a textured ground on their own ways, some behind others.

    All disappear wholly behind the bar in the middle and come back; two of them move towards each other on nearly the
    same height, so that they cross. `alike`: all have one colour, pattern and outline.
    """
    random = np.random.default_rng(seed)
    height, width = size
    ground = texture(random, size, random.uniform(70, 180, 3))
    hides = texture(random, size, random.uniform(60, 190, 3), 12)
    colour = random.uniform(50, 200, 3)
    first = random.uniform(17, 21)
    outlines = [_outline(random, first * random.uniform(0.9, 1.1)) for _ in range(shapes)]
    looks = [texture(random, (80, 80), np.clip(colour + random.normal(0, 45, 3), 30, 225)) for _ in range(shapes)]
    if alike:
        outlines, looks = [outlines[0]] * shapes, [looks[0]] * shapes
    row = height * random.uniform(0.4, 0.6)
    starts, speeds, turns = [], [], []
    for number in range(shapes):
        side = -1 if number % 2 == 0 else 1
        # Away from the edges and, where there is one, from the bar.
        x = width / 2 + side * width * random.uniform(0.3, 0.38)
        starts.append((x, row + random.uniform(-8, 8) + (number // 2) * 30))
        speeds.append((-side * width * 0.72 / frames * random.uniform(0.9, 1.05), random.uniform(-0.3, 0.3)))
        turns.append(random.uniform(-2, 2))
    left, right = (round(width * (0.5 + side * BAR_SHARE / 2)) for side in (-1, 1))
    pictures = np.empty((frames, height, width, 3), np.uint8)
    masks = {number + 1: np.zeros((frames, height, width), bool) for number in range(shapes)}
    for frame in range(frames):
        picture, owner = ground.copy(), np.zeros(size, int)
        for number in range(shapes):
            place = np.array(starts[number]) + frame * np.array(speeds[number])
            turn = cv2.getRotationMatrix2D((0, 0), turns[number] * frame, 1)[:, :2]
            inside = np.zeros(size, np.uint8)
            cv2.fillPoly(inside, [np.round(outlines[number] @ turn.T + place).astype(np.int32)], 1)
            move = np.concatenate([turn, (place - turn @ np.array([40, 40]))[:, None]], 1)
            look = cv2.warpAffine(looks[number], move, (width, height), borderMode=cv2.BORDER_REFLECT)
            picture[inside > 0], owner[inside > 0] = look[inside > 0], number + 1
        if bar:
            picture[:, left:right], owner[:, left:right] = hides[:, left:right], 0
        noisy = picture.astype(np.float32) + random.normal(0, 3, picture.shape)
        pictures[frame] = np.clip(noisy, 0, 255).astype(np.uint8)
        for number, mask in masks.items():
            mask[frame] = owner == number
    return Clip(pictures, masks)


def write_video(path, frames, *, rate=25, times=None, codec="libx264", rotation=0):
    """Write frames (N, H, W, 3) as a video; `times` in seconds make a variable frame rate."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = round(1000 * (index / rate if times is None else times[index]))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
