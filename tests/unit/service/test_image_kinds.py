"""Files of every kind get an answer that says how their values were read, or one clear sentence."""

import base64
import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from label_studio_requests import click, defect_image, interactive, png
from sam_backend.labelstudio.image_tag import ImageTag
from sam_backend.labelstudio.rle import decode_rle

GREY = defect_image()[..., 0]


def tiff(*pages, **options):
    frames, buffer = [Image.fromarray(page) if isinstance(page, np.ndarray) else page for page in pages], io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def cmyk():
    return tiff(Image.fromarray(defect_image()).convert("CMYK"))


def with_nan():
    values = GREY.astype(np.float32)
    values[:, 30:35] = np.nan
    return tiff(values)


def ask(client, file, **data):
    body = interactive(click(25, 15))
    body["tasks"][0]["data"] = {"image": "data:image/x;base64," + base64.b64encode(file).decode(), **data}
    return client.post("/predict", json=body)


def meta(response):
    (region,) = response.json()["results"][0]["result"]
    np.testing.assert_array_equal(decode_rle(region["value"]["rle"], GREY.shape)[10:20, 20:30], True)
    return region.get("meta")


@pytest.mark.parametrize(
    ("file", "mapping"),
    [
        (png(defect_image()), None),
        (tiff(Image.fromarray(GREY).convert("P")), "palette to RGB"),
        (tiff(Image.fromarray(GREY).convert("LA")), "transparency ignored"),
        (tiff(Image.fromarray(defect_image()).convert("RGBA")), "transparency ignored"),
        (cmyk(), "CMYK to RGB"),
        (tiff(GREY.astype(np.uint16) * 16), "16-bit values, 0 to 3200 as 0 to 255"),
        (with_nan(), "float values, 0 to 200 as 0 to 255, no number as 0"),
    ],
)
def test_an_answer_says_how_the_values_of_its_image_became_8_bits(client, file, mapping):
    for _ in range(2):
        # The second time, the embedding is not made but kept.
        assert meta(ask(client, file)) == (mapping and {"image": mapping})


def test_a_page_of_a_stack_is_named_by_the_tasks_data(client):
    file = tiff(np.zeros_like(GREY), GREY)
    assert meta(ask(client, file, image_page=2)) == {"image": "page 2"}
    assert meta(ask(client, file, image_page="2")) == {"image": "page 2"}
    (region,) = ask(client, file, image_page=1).json()["results"][0]["result"]
    assert region["meta"] == {"image": "page 1"}
    assert decode_rle(region["value"]["rle"], GREY.shape).all()


def test_a_list_of_images_has_a_page_for_all_or_one_for_each():
    tag = ImageTag("image", "$images")
    data = {"images": ["/a.tif", "/b.tif"]}
    assert [tag.source(data | {"images_page": 3}, index) for index in (0, 1)] == ["/a.tif#page=3", "/b.tif#page=3"]
    assert [tag.source(data | {"images_page": [2]}, index) for index in (0, 1)] == ["/a.tif#page=2", "/b.tif"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {},
            'is a stack of several pages; name one, counted from 1, in the task\'s data beside the image: for "image" ',
        ),
        ({"image_page": 3}, "has no page 3"),
        ({"image_page": 0}, "should hold the number of a page, from 1 on; got 0"),
        ({"image_page": True}, "should hold the number of a page, from 1 on; got True"),
        ({"image_page": "first"}, "should hold the number of a page, from 1 on; got 'first'"),
    ],
)
def test_a_stack_without_a_page_and_a_wrong_page_are_one_sentence(client, data, sentence):
    response = ask(client, tiff(GREY, GREY), **data)
    assert response.status_code == 400
    assert sentence in response.json()["error"]


def test_an_image_of_one_pixel_is_answered(client):
    body = interactive(click(0, 0) | {"original_width": 1, "original_height": 1})
    body["tasks"][0]["data"]["image"] = (
        "data:image/png;base64," + base64.b64encode(png(np.full((1, 1, 3), 200, np.uint8))).decode()
    )
    (region,) = client.post("/predict", json=body).json()["results"][0]["result"]
    assert (region["original_width"], region["original_height"]) == (1, 1)
    assert decode_rle(region["value"]["rle"], (1, 1)).all()


def test_a_decompression_bomb_is_refused_with_its_limit_and_the_setting(make_client):
    blank = io.BytesIO()
    Image.new("1", (4000, 4000)).save(blank, "PNG")
    response = ask(make_client(max_image_pixels=1_000_000), blank.getvalue())
    assert response.status_code == 400
    assert "4000 x 4000 pixels; at most 1,000,000 are taken (SAM_INSPECT_MAX_IMAGE_PIXELS)" in response.json()["error"]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_tiff_is_one_sentence(client, compression, share):
    noise = np.random.default_rng(0).integers(0, 65536, (300, 300), np.uint16)
    for file in (tiff(noise, compression=compression), cv2.imencode(".tif", noise)[1].tobytes()):
        response = ask(client, file[: int(len(file) * share)])
        assert response.status_code == 400
        assert re.search("put the whole file there|a damaged TIFF", response.json()["error"])
