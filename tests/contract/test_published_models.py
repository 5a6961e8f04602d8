"""The published configurations: they have as many weights as published, with the names that are read here."""

import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

import torch
import transformers as hub

from sam_backend.segmenters.entries import OWN, segmenter_class
from sam_backend.segmenters.hub_entries import FAMILIES
from sam_backend.segmenters.random_weights import configuration

pytestmark = pytest.mark.slow

# Millions of numbers in the published folder. SAM 2.1: 38.9, 46, 80.8, 224.4 M in the table of the repository
# facebookresearch/sam2; EdgeTAM: 13.9 M; SAM 3: 860 M, as its folder has detector and tracker for videos.
FOLDERS = {
    "slimsam": (hub.SamModel, 9.724),
    "hq:vit_b": (hub.SamHQModel, 94.807),
    "hq:vit_l": (hub.SamHQModel, 313.676),
    "hq:vit_h": (hub.SamHQModel, 642.686),
    "sam2.1:tiny": (hub.Sam2VideoModel, 38.962),
    "sam2.1:small": (hub.Sam2VideoModel, 46.060),
    "sam2.1:base_plus": (hub.Sam2VideoModel, 80.850),
    "sam2.1:large": (hub.Sam2VideoModel, 224.447),
    "edgetam": (hub.EdgeTamVideoModel, 13.912),
    "sam3": (hub.Sam3VideoModel, 859.922),
}


def whole(kind, name):
    """Return the model of the published folder, without memory for its weights."""
    config = kind.config_class() if name == "sam3" else kind.config_class(**parts_of(name, kind))
    with torch.device("cpu" if name == "edgetam" else "meta"):
        return kind(config)


def parts_of(name, kind):
    """Return the parts of the configuration, for a model of videos too."""
    config = configuration(name)
    if kind is hub.SamHQModel:
        return {"vision_config": config.vision_config, "mask_decoder_config": config.mask_decoder_config}
    extra = {"enable_temporal_pos_encoding_for_object_pointers": True, "enable_occlusion_spatial_embedding": True}
    return {"vision_config": config.vision_config} | (extra if name.startswith("sam2.1") else {})


@pytest.mark.parametrize("name", FOLDERS)
def test_a_configuration_has_as_many_weights_as_are_published_and_its_file_their_size(name):
    kind, millions = FOLDERS[name]
    count = sum(parameter.numel() for parameter in whole(kind, name).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.001)
    assert OWN[name].repository.size == pytest.approx(4 * count, rel=0.02)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_weight_that_a_click_needs_is_in_the_published_folder(name):
    kind, _ = FOLDERS[name]
    there = {key: tuple(value.shape) for key, value in whole(kind, name).state_dict().items()}
    if name == "sam3":
        # `transformers` reads these names of a folder with detector and tracker as those of the tracker.
        renamed = {"detector_model.vision_encoder.backbone.": "vision_encoder.backbone."}
        renamed |= {"tracker_neck.": "vision_encoder.neck.", "tracker_model.": ""}
        there = {
            new + key.removeprefix(old): s
            for key, s in there.items()
            for old, new in renamed.items()
            if key.startswith(old)
        }
    model = getattr(hub, FAMILIES[name.partition(":")[0]].model)
    with torch.device("cpu" if name == "edgetam" else "meta"):
        needed = model(configuration(name)).state_dict()
    assert needed
    assert not [key for key, value in needed.items() if there.get(key) != tuple(value.shape)]


# Names and shapes in the published folder of SAM 3 that its detector alone has.
SAM3 = {
    "text_encoder.text_model.embeddings.token_embedding.weight": (49408, 1024),
    "text_encoder.text_model.embeddings.position_embedding.weight": (32, 1024),
    "detr_decoder.query_embed.weight": (200, 256),
    "detr_decoder.presence_token.weight": (1, 256),
}


def test_every_weight_that_a_text_needs_is_in_the_published_folder():
    start = "detector_model."
    folder = whole(hub.Sam3VideoModel, "sam3").state_dict()
    there = {key.removeprefix(start): tuple(value.shape) for key, value in folder.items() if key.startswith(start)}
    kind = getattr(hub, FAMILIES["sam3"].detector)
    with torch.device("meta"):
        needed = {key: tuple(value.shape) for key, value in kind(kind.config_class()).state_dict().items()}
    assert needed == there
    assert SAM3.items() <= there.items()


@pytest.mark.parametrize("name", ["sam:vit_b", "sam:vit_l", "sam:vit_h"])
def test_official_sam_fills_its_file(name):
    with torch.device("meta"):
        state = segmenter_class(OWN[name]).build(name).state_dict()
    stored = sum(value.numel() * value.element_size() for value in state.values())
    assert 0 < OWN[name].files[0].size - stored < 300_000
