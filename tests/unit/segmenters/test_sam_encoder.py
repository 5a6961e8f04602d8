"""Each way of attention gives what `segment-anything` gives; the GPU's ways are computed on the CPU here."""

import logging

import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
pytest.importorskip("segment_anything", reason="the extra [torch] is not installed")

from segment_anything.modeling.image_encoder import Attention, Block  # noqa: E402

from sam_backend.segmenters import sam, sam_encoder  # noqa: E402
from small_sam import small_sam  # noqa: E402

WAYS = {"in parts": "_in_parts", "folded": "_folded"}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Let every attention on the CPU go this way, some rows at a time."""
    monkeypatch.setattr(sam_encoder, "_in_parts", getattr(sam_encoder, WAYS[request.param]))
    monkeypatch.setattr(sam_encoder, "_PAIRS", 2 * 5 * 6 * 5 * 2)


def randomized(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.3)
    return module.eval()


@torch.inference_mode()
@pytest.mark.parametrize("positions", [True, False], ids=["relative positions", "without them"])
def test_attention_on_a_grid_that_is_not_square(way, positions):
    layer = randomized(Attention(16, num_heads=2, use_rel_pos=positions, input_size=(6, 5)))
    cells = torch.randn(2, 6, 5, 16, generator=torch.Generator().manual_seed(1))
    mixed = layer.proj(sam_encoder.attention(layer, layer.qkv(cells)))
    torch.testing.assert_close(mixed, layer(cells), rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("bias", [True, False], ids=["with a bias", "without a bias"])
@pytest.mark.parametrize("window", [0, 3, 4], ids=["no windows", "windows that fill the grid", "padded windows"])
def test_blocks_with_and_without_windows(way, window, bias):
    block = randomized(Block(16, num_heads=2, qkv_bias=bias, use_rel_pos=True, window_size=window, input_size=(6, 6)))
    cells = torch.randn(2, 6, 6, 16, generator=torch.Generator().manual_seed(1))
    attended = cells + sam_encoder._attended(block, block.norm1(cells))
    torch.testing.assert_close(attended + block.mlp(block.norm2(attended)), block(cells), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_whole_encoder_for_a_batch_of_images():
    encoder = randomized(small_sam(side=256).image_encoder)
    images = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sam_encoder.encode(encoder, images), encoder(images), rtol=0, atol=1e-4)


@torch.inference_mode()
def test_in_bfloat16_as_on_a_gpu_the_features_stay_close(way):
    encoder = small_sam(side=256).image_encoder
    images = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    exact = encoder(images)
    with torch.autocast("cpu", torch.bfloat16):
        rough = sam_encoder.encode(encoder, images)
    assert (rough.float() - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_where_torch_cannot_compile_the_log_says_so_and_the_plain_encoder_runs(monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("no C compiler\nmore lines")

    monkeypatch.setattr(torch, "compile", lambda function: fails)
    with caplog.at_level(logging.WARNING):
        assert sam.compiled_encoder(small_sam(side=64)) is sam_encoder.encode
    (record,) = caplog.records
    assert record.getMessage() == "The image encoder runs without torch.compile, slower: no C compiler"


def test_a_compiled_encoder_has_been_called_once(monkeypatch):
    calls = []

    def compiled(encoder, images):
        calls.append(tuple(images.shape))

    monkeypatch.setattr(torch, "compile", lambda function: compiled)
    assert sam.compiled_encoder(small_sam(side=64)) is compiled
    assert calls == [(1, 3, 64, 64)]
