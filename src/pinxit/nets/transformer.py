"""A transformer over maps of codes: the probability of each code given those before it in raster order.

Esser et al., 2021, section 3.2, after GPT-2 (Radford et al., 2019): decoder only, normalisation before each layer, and
learned positions. The class, if any, is the first token. Differs from them: attention spans the whole map instead of a
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
    """Causal attention, then a two-layer network at each position; both are residual."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.attention_norm, self.layers_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.question_key_value, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.change = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = width // HEAD
        self.apply(_initialise)
        for last in (self.attended, self.change):  # at first, the sum of all blocks is as small as one block
            nn.init.normal_(last.weight, 0.0, FIRST_WEIGHT / math.sqrt(2 * blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Return the next state (N, P, width), in which position j depends on positions 0 to j."""
        query, key, value = self._query_key_value(x)
        with torch.autocast(x.device.type, enabled=False):  # in bf16, attention on a CPU is four times slower
            values = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self._with_residuals(x, values)

    def step(self, x: Tensor, cache: Tensor, position: int) -> Tensor:
        """Return the next state (N, 1, width) of one position, and write its key and value into the cache.

        The cache (2, N, heads, P, HEAD) holds the keys and values of earlier positions.
        """
        now = slice(position, position + 1)
        query, cache[0, :, :, now], cache[1, :, :, now] = self._query_key_value(x)
        key, value = cache[:, :, :, : position + 1]
        return self._with_residuals(x, F.scaled_dot_product_attention(query, key, value))

    def _query_key_value(self, x: Tensor) -> Tensor:
        parts = self.question_key_value(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        return parts.permute(2, 0, 3, 1, 4).float()

    def _with_residuals(self, x: Tensor, values: Tensor) -> Tensor:
        x = x + self.attended(values.transpose(1, 2).flatten(2))
        return x + self.change(F.gelu(self.hidden(self.layers_norm(x))))


class CodeTransformer(nn.Module):
    """Maps of P codes (N, P) to logits (N, P, K); those of a code depend only on the codes before it."""

    def __init__(self, codes: int, positions: int, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.start = nn.Embedding(max(1, classes), width)
        self.code, self.place = nn.Embedding(codes, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, blocks) for _ in range(blocks))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, codes)
        for part in (self.start, self.code, self.place, self.logits):
            _initialise(part)

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logits, in float32 at any autocast precision."""
        before = torch.cat([self._first(len(codes), label), self.code(codes[:, :-1])], dim=1)
        x = before + self.place.weight
        for block in self.blocks:
            x = block(x)
        return self.logits(self.norm(x)).float()

    def sample(self, uniform: Tensor, label: Tensor | None = None) -> Tensor:
        """Return maps of codes (N, P) int64, sampled from uniform numbers (N, P) in [0, 1).

        Each number is mapped through the inverse distribution of its code. Keys and values of earlier positions are
        cached, so each position is computed once.
        """
        rows, positions = uniform.shape
        blocks: list[Block] = list(self.blocks)  # type: ignore[arg-type]
        caches = [uniform.new_zeros(2, rows, block.heads, positions, HEAD) for block in blocks]
        token, sampled = self._first(rows, label), []
        for position in range(positions):
            x = token + self.place.weight[position]
            for block, cache in zip(blocks, caches, strict=True):
                x = block.step(x, cache, position)
            edges = self.logits(self.norm(x))[:, 0].double().softmax(1).cumsum(1)
            code = torch.searchsorted(edges, uniform[:, position : position + 1].double() * edges[:, -1:], right=True)
            sampled.append(code.clamp(max=edges.shape[1] - 1))
            token = self.code(sampled[-1])
        return torch.cat(sampled, dim=1)

    def _first(self, rows: int, label: Tensor | None) -> Tensor:
        """Return the token before the first code, (N, 1, width): the token of the class, or one shared token."""
        number = self.start.weight.new_zeros(rows, dtype=torch.int64) if label is None else label
        return self.start(number)[:, None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, FIRST_WEIGHT)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
