"""A transformer over maps of codes: the probability of each code given those before it in raster order.

Esser et al., 2021, section 3.2, after GPT-2 (Radford et al., 2019): decoder only, normalisation before each layer, and
learned positions; the class, if any, is the first token. Differs from them: attention spans the whole map instead of a
window, there is no dropout, and the layers are small enough for a laptop.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD = 32
"""Length of an attention head's vectors."""
FIRST_WEIGHT = 0.02
"""Standard deviation of initial weights, as in GPT-2."""


class Block(nn.Module):
    """Causal attention, then two layers per position; both are residual."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.attention_norm, self.layers_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.question_key_value, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.change = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = width // HEAD
        self.apply(_small)
        for last in (self.attended, self.change):  # the sum of all blocks starts as small as one
            nn.init.normal_(last.weight, 0.0, FIRST_WEIGHT / math.sqrt(2 * blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return the next state (N, P, width), in which position j depends on positions 0 to j."""
        question, key, value = self._parts(x)
        with torch.autocast(x.device.type, enabled=False):  # a processor's bf16 is four times slower here
            seen = F.scaled_dot_product_attention(question, key, value, is_causal=True)
        return self._added(x, seen)

    def step(self, x: Tensor, memory: Tensor, place: int) -> Tensor:
        """Return the next state (N, 1, width) of one position, and write its key and value into the memory.

        The memory is (2, N, heads, P, HEAD); it holds those of the positions before.
        """
        question, memory[0, :, :, place : place + 1], memory[1, :, :, place : place + 1] = self._parts(x)
        key, value = memory[:, :, :, : place + 1]
        return self._added(x, F.scaled_dot_product_attention(question, key, value))

    def _parts(self, x: Tensor) -> Tensor:
        parts = self.question_key_value(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        return parts.permute(2, 0, 3, 1, 4).float()

    def _added(self, x: Tensor, seen: Tensor) -> Tensor:
        x = x + self.attended(seen.transpose(1, 2).flatten(2))
        return x + self.change(F.gelu(self.hidden(self.layers_norm(x))))


class CodeTransformer(nn.Module):
    """Maps of P codes (N, P) to logits (N, P, K) of each code, which depend only on the codes before it."""

    def __init__(self, codes: int, places: int, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.start = nn.Embedding(max(1, classes), width)
        self.code, self.place = nn.Embedding(codes, width), nn.Embedding(places, width)
        self.blocks = nn.ModuleList(Block(width, blocks) for _ in range(blocks))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, codes)
        for part in (self.start, self.code, self.place, self.logits):
            _small(part)

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logits in float32, whatever the precision inside."""
        before = torch.cat([self._first(len(codes), label), self.code(codes[:, :-1])], dim=1)
        x = before + self.place.weight
        for block in self.blocks:
            x = block(x)
        return self.logits(self.norm(x)).float()

    def draw(self, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return maps of codes (N, P) int64, sampled by the inverse distribution of numbers in [0, 1), (N, P).

        Keys and values of earlier positions are cached, so that each position is computed once.
        """
        rows, places = uniform.shape
        blocks: list[Block] = list(self.blocks)  # type: ignore[arg-type]
        memories = [uniform.new_zeros(2, rows, block.heads, places, HEAD) for block in blocks]
        token, drawn = self._first(rows, label), []
        for place in range(places):
            x = token + self.place.weight[place]
            for block, memory in zip(blocks, memories, strict=True):
                x = block.step(x, memory, place)
            edges = self.logits(self.norm(x))[:, 0].double().softmax(1).cumsum(1)
            code = torch.searchsorted(edges, uniform[:, place : place + 1].double() * edges[:, -1:], right=True)
            drawn.append(code.clamp(max=edges.shape[1] - 1))
            token = self.code(drawn[-1])
        return torch.cat(drawn, dim=1)

    def _first(self, rows: int, label: Tensor | None) -> Tensor:
        """Return the token before the first code, (N, 1, width): that of the class, or one shared token."""
        number = self.start.weight.new_zeros(rows, dtype=torch.int64) if label is None else label
        return self.start(number)[:, None]


def _small(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, FIRST_WEIGHT)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
