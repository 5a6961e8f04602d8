import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from label_studio_requests import CONFIG, PROJECT, data_url, task
from sam_backend.labelstudio.rle import decode_rle
from threshold_segmenter import ThresholdSegmenter

HEIGHT, WIDTH = 1500, 4000
SPOTS = [np.s_[700:730, 3000:3040], np.s_[200:220, 100:140]]


def image():
    pixels = np.full((HEIGHT, WIDTH), 100, np.uint8)
    for spot in SPOTS:
        pixels[spot] = 250
    return pixels


def tiff(**options):
    file = io.BytesIO()
    tifffile.imwrite(file, image(), tile=(256, 256), photometric="minisblack", **options)
    return data_url(file.getvalue())


def png():
    file = io.BytesIO()
    Image.fromarray(image()).save(file, "PNG")
    return data_url(file.getvalue())


class Shapes(ThresholdSegmenter):
    """Notes the shapes of the images that it encodes."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def encode(self, image):
        self.shapes.append(image.shape[:2])
        return super().encode(image)


@pytest.fixture
def segmenter():
    return Shapes()


@pytest.fixture
def large_client(make_client):
    return make_client(large_image_pixels=1_000_000)


def click(x, y, number=1, positive=True):
    return {
        "id": f"drawn{number}",
        "type": "keypointlabels",
        "to_name": "image",
        "from_name": "click",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "is_positive": positive,
        "value": {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "keypointlabels": ["Blowhole"]},
    }


def ask(client, url, *drawn):
    body = {
        "tasks": [task(url)],
        "label_config": CONFIG,
        "project": PROJECT,
        "params": {"context": {"result": list(drawn)}},
    }
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    (region,) = response.json()["results"][0]["result"]
    assert (region["original_width"], region["original_height"]) == (WIDTH, HEIGHT)
    return region


def mask_of(region):
    return decode_rle(region["value"]["rle"], (HEIGHT, WIDTH))


def only(place):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[place] = True
    return mask


@pytest.mark.parametrize("file", [tiff(), tiff(bigtiff=True), png()], ids=["TIFF", "BigTIFF", "PNG"])
def test_a_click_in_a_large_image_is_answered_from_its_surroundings(large_client, segmenter, file):
    region = ask(large_client, file, click(3020, 715))
    assert np.array_equal(mask_of(region), only(SPOTS[0]))
    assert segmenter.shapes == [(256, 256)]


def test_a_second_click_near_the_first_one_encodes_nothing(large_client, segmenter):
    ask(large_client, tiff(), click(3020, 715))
    ask(large_client, tiff(), click(3025, 720))
    assert len(segmenter.shapes) == 1


def test_the_next_click_corrects_the_mask_in_place(large_client, segmenter):
    first = ask(large_client, tiff(), click(3020, 715))
    region = ask(large_client, tiff(), click(3020, 715), click(2990, 705, 2))
    assert region["id"] == first["id"]
    mask = mask_of(region)
    assert mask[705, 2990]
    assert mask[715, 3020]
    assert segmenter.shapes[0] == (256, 256)


def test_a_restarted_service_answers_alike_from_the_kept_file(make_client, segmenter):
    first = ask(make_client(large_image_pixels=1_000_000), tiff(), click(3020, 715))
    encoded = len(segmenter.shapes)
    again = ask(make_client(large_image_pixels=1_000_000), tiff(), click(3020, 715))
    assert again["value"] == first["value"]
    assert len(segmenter.shapes) == encoded
