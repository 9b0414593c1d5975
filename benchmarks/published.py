"""pix2pix and CycleGAN as they are usually written: what benchmarks of translation compare with.

The networks and settings are those of the papers as their authors' code for PyTorch has them: a U-Net with a skip at
every size, or nine residual blocks; a discriminator of 70 x 70 patches; 64 channels; Adam at 2e-4 with beta1 0.5.
Pictures are float32, NCHW, from -1 to 1. Each step runs generators and discriminators in turn and freezes nothing but
the discriminators while generators move.
"""

from __future__ import annotations

import itertools
import random

import torch
from torch import Tensor, nn


def normal(module: nn.Module) -> None:
    """Initialise as the papers do: N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)


class Skip(nn.Module):
    """A level of the U-Net around the next smaller one."""

    def __init__(
        self, inputs: int, outer: int, inner: int, inside: nn.Module | None, outermost: bool, drop: bool
    ) -> None:
        super().__init__()
        down = nn.Conv2d(inputs, inner, 4, 2, 1, bias=outermost)
        up = nn.ConvTranspose2d(inner * (2 if inside else 1), outer, 4, 2, 1, bias=outermost)
        self.outermost = outermost
        if outermost:
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.BatchNorm2d(outer)]
        else:
            layers = [
                nn.LeakyReLU(0.2, True),
                down,
                nn.BatchNorm2d(inner),
                inside,
                nn.ReLU(True),
                up,
                nn.BatchNorm2d(outer),
            ]
            layers += [nn.Dropout(0.5)] * drop
        self.model = nn.Sequential(*[layer for layer in layers if layer is not None])

    def forward(self, x: Tensor) -> Tensor:
        """Return the level's output, beside its input but at the outermost level."""
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def unet(inputs: int, outputs: int, side: int, width: int = 64) -> nn.Module:
    """Return the U-Net for pictures of a side, halved as often as it goes: 7 times at 128."""
    halvings = (side & -side).bit_length() - 1
    level = Skip(width * 8, width * 8, width * 8, None, False, False)
    for _ in range(halvings - 5):
        level = Skip(width * 8, width * 8, width * 8, level, False, True)
    for outer in (4, 2, 1):
        level = Skip(width * outer, width * outer, width * outer * 2, level, False, False)
    return Skip(inputs, outputs, width, level, True, False).apply(normal)


class Block(nn.Module):
    """A residual block with reflected edges."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        one = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.layers = nn.Sequential(*one, nn.ReLU(True), *other)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map plus its change."""
        return x + self.layers(x)


def resnet(inputs: int, outputs: int, width: int = 64, blocks: int = 9) -> nn.Module:
    """Return the residual generator."""
    layers: list[nn.Module] = [
        nn.ReflectionPad2d(3),
        nn.Conv2d(inputs, width, 7),
        nn.InstanceNorm2d(width),
        nn.ReLU(True),
    ]
    for a in (width, 2 * width):
        layers += [nn.Conv2d(a, 2 * a, 3, 2, 1), nn.InstanceNorm2d(2 * a), nn.ReLU(True)]
    layers += [Block(4 * width) for _ in range(blocks)]
    for a in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(a, a // 2, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(a // 2), nn.ReLU(True)]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]
    return nn.Sequential(*layers).apply(normal)


def patches(inputs: int, norm: type[nn.Module], width: int = 64) -> nn.Module:
    """Return the discriminator of patches of 70 x 70 pixels."""
    bias = norm is nn.InstanceNorm2d
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for a, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(a, 2 * a, 4, stride, 1, bias=bias), norm(2 * a), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1)).apply(normal)


def frozen(network: nn.Module, so: bool) -> None:
    """Freeze a network while others move, or no longer."""
    for weight in network.parameters():
        weight.requires_grad_(not so)


class Pix2Pix:
    """The paired method: `step` learns from pictures (N, C, H, W) and their pairs, both in [0, 1]."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        self.generator, self.discriminator = unet(inputs, outputs, side), patches(inputs + outputs, nn.BatchNorm2d)
        self.optimisers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
            for network in (self.generator, self.discriminator)
        ]
        self.criterion = nn.BCEWithLogitsLoss()

    def step(self, image: Tensor, pair: Tensor) -> None:
        """Take a step."""
        real, wanted = 2 * image - 1, 2 * pair - 1
        fake = self.generator(real)
        frozen(self.discriminator, False)
        self.optimisers[1].zero_grad()
        losses = []
        for made, true in ((fake.detach(), 0.0), (wanted, 1.0)):
            score = self.discriminator(torch.cat([real, made], 1))
            losses.append(self.criterion(score, torch.full_like(score, true)))
        (sum(losses) * 0.5).backward()  # type: ignore[union-attr]
        self.optimisers[1].step()
        frozen(self.discriminator, True)
        self.optimisers[0].zero_grad()
        score = self.discriminator(torch.cat([real, fake], 1))
        loss = self.criterion(score, torch.ones_like(score)) + 100 * (fake - wanted).abs().mean()
        loss.backward()
        self.optimisers[0].step()

    def translate(self, image: Tensor) -> Tensor:
        """Return pictures translated, with dropout and the batch's own statistics, as the paper does."""
        with torch.no_grad():
            return (self.generator(2 * image - 1) + 1) / 2


class CycleGAN:
    """The unpaired method: `step` learns from pictures and others (N, C, H, W), both in [0, 1]."""

    def __init__(self, a: int, b: int) -> None:
        self.to_b, self.to_a = resnet(a, b), resnet(b, a)
        self.judge_b, self.judge_a = patches(b, nn.InstanceNorm2d), patches(a, nn.InstanceNorm2d)
        self.same = a == b
        self.pools: tuple[list[Tensor], list[Tensor]] = ([], [])
        makers, judges = (self.to_b, self.to_a), (self.judge_b, self.judge_a)
        self.optimisers = [
            torch.optim.Adam(itertools.chain(*(one.parameters() for one in networks)), 2e-4, (0.5, 0.999))
            for networks in (makers, judges)
        ]

    def step(self, image: Tensor, other: Tensor) -> None:
        """Take a step."""
        a, b = 2 * image - 1, 2 * other - 1
        fake_b = self.to_b(a)
        back_a = self.to_a(fake_b)
        fake_a = self.to_a(b)
        back_b = self.to_b(fake_a)
        frozen(self.judge_a, True), frozen(self.judge_b, True)
        self.optimisers[0].zero_grad()
        loss = (self.judge_b(fake_b) - 1).square().mean() + (self.judge_a(fake_a) - 1).square().mean()
        loss = loss + 10 * ((back_a - a).abs().mean() + (back_b - b).abs().mean())
        if self.same:
            loss = loss + 5 * ((self.to_b(b) - b).abs().mean() + (self.to_a(a) - a).abs().mean())
        loss.backward()
        self.optimisers[0].step()
        frozen(self.judge_a, False), frozen(self.judge_b, False)
        self.optimisers[1].zero_grad()
        for judge, real, fake, pool in (
            (self.judge_b, b, fake_b, self.pools[0]),
            (self.judge_a, a, fake_a, self.pools[1]),
        ):
            seen = pooled(pool, fake.detach())
            ((judge(real) - 1).square().mean() * 0.5 + judge(seen).square().mean() * 0.5).backward()
        self.optimisers[1].step()

    def translate(self, image: Tensor) -> Tensor:
        """Return pictures translated."""
        with torch.no_grad():
            return (self.to_b(2 * image - 1) + 1) / 2


def pooled(pool: list[Tensor], fakes: Tensor) -> Tensor:
    """Return fakes, half of them replaced by earlier ones once there are 50."""
    shown = []
    for fake in fakes:
        if len(pool) < 50:
            pool.append(fake)
            shown.append(fake)
        elif random.random() > 0.5:
            place = random.randrange(50)
            shown.append(pool[place])
            pool[place] = fake
        else:
            shown.append(fake)
    return torch.stack(shown)
