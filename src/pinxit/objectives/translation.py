"""Pictures into pictures: one kind, the side "a", becomes another, the side "b", from pairs or without them.

| class      | pairs | learns     | method                                                                            |
|------------|-------|------------|-----------------------------------------------------------------------------------|
| `Paired`   | yes   | a to b     | pix2pix (Isola et al., 2017), with feature matching (Wang et al., 2018) if asked  |
| `Cycle`    | no    | both ways  | CycleGAN (Zhu et al., 2017), with its history of fakes                            |
| `Contrast` | no    | a to b     | CUT (Park et al., 2020)                                                           |

Adversarial losses are rows of `ADVERSARIAL`, read over patches. A side is pictures, or label maps with one plane for
each class. Distances of pictures are in the papers' units, in which pictures are from -1 to 1; label maps are compared
by cross-entropy, in which pixels without a class do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pinxit.colour import BT601, luma
from pinxit.data import Batch
from pinxit.losses import penalties
from pinxit.losses.adversarial import ADVERSARIAL
from pinxit.losses.perceptual import perceptual_distance
from pinxit.nets import spectral
from pinxit.nets.shapes import PictureShape, Planes, over_black
from pinxit.nets.translation import GENERATORS, Generator, Heads, PatchDiscriminator
from pinxit.objectives.adversarial import Contest
from pinxit.objectives.objective import Loss, Player, Translator
from pinxit.objectives.restoration import in_threes, sheet_rows
from pinxit.objectives.settings import TranslationSettings

POOL = 50
"""Fakes of each side that a discriminator may see again (Shrivastava et al., 2017, as in CycleGAN)."""
LENGTH, TEMPERATURE, PLACES = 256, 0.07, 64
"""Of the vectors that CUT compares: their length, and how sharply; and at how many places of a picture."""
OPPOSITE = {"a": "b", "b": "a"}
HALVINGS = {16: 1, 34: 2, 70: 3}
"""Layers that halve the map of a discriminator whose patches have so many pixels."""


class Seen(NamedTuple):
    """Planes (N, C, H, W) that a discriminator read, and its maps of them, of which the last has the scores."""

    planes: Tensor
    maps: list[Tensor]

    @property
    def scores(self) -> Tensor:
        """The scores of all patches, (N P,)."""
        return self.maps[-1].flatten()


class Translation(Contest, Translator):
    """What all translators share: a generator for each side that is made, its discriminator, and distances."""

    settings: TranslationSettings
    player = "generator"
    helpers: tuple[str, ...] = ()
    """Networks that the generators' player moves beside them, and that only training needs."""

    def __init__(self, settings: TranslationSettings, shape: PictureShape) -> None:
        if shape.target is None:
            raise ValueError("the shape does not say what pictures are to become")
        self.settings, self.shape, self.paired = settings, shape, shape.target.paired
        self.sides = {"a": Planes(shape.channels, shape.colours), "b": shape.target.planes}
        self.adversarial = ADVERSARIAL[settings.loss]
        self.networks = nn.ModuleDict({f"to_{side}": self._generator(side) for side in self.made})
        self.model = tuple(self.networks)
        if settings.adversarial:
            self.networks.update({f"judge_{side}": self._discriminator(side) for side in self.made})

    def _generator(self, to: str) -> Generator:
        settings, (source, target) = self.settings, (self.sides[OPPOSITE[to]], self.sides[to])
        ladder = GENERATORS[settings.network or ("unet" if self.paired else "residual")]
        return Generator(
            source.number, target.number, ladder, settings.channels, settings.generator_norm, bool(target.colours)
        )

    def _discriminator(self, side: str) -> PatchDiscriminator:
        settings = self.settings
        inputs = self.sides[side].number + (self.sides[OPPOSITE[side]].number if self.looks_beside else 0)
        return PatchDiscriminator(inputs, settings.channels, HALVINGS[settings.patch], settings.discriminator_norm)

    @property
    def looks_beside(self) -> bool:
        """Whether the discriminator sees what a picture was made of."""
        return self.paired and self.settings.conditional

    @property
    def radius(self) -> int | None:
        """How far a generator sees to each side, in pixels; None if it sees the whole picture."""
        return self.generator("b").radius

    @property
    def stride(self) -> int:
        """Origins of tiles must be multiples of this, in pixels."""
        return self.generator("b").stride

    def generator(self, to: str) -> Generator:
        """Return the network that makes a side."""
        return cast(Generator, self.networks[f"to_{to}"])

    def translate(self, planes: Tensor, to: str = "b", seed: int = 0) -> Tensor:
        """Return planes (N, C, H, W) of the other side as those of the side `to`; seed 0 keeps all channels."""
        generator = self.generator(to)
        if not (seed and self.settings.dropout):
            return cast(Tensor, generator(planes))
        drawn = self._kept(Batch(image=planes[:1], seed=seed, step=0), generator)
        return cast(Tensor, generator(planes, drawn))

    def _kept(self, batch: Batch, generator: Generator) -> Tensor | None:
        """Return which channels of its lowest map each row keeps, scaled so that their mean stays; None for all."""
        share = self.settings.dropout
        if not share:
            return None
        return (batch.uniform(generator.lowest, stream="kept") >= share).float() / (1 - share)

    def players(self) -> tuple[Player, ...]:
        """Return the player of all discriminators, which moves first, and that of all generators."""
        settings = self.settings
        judges = nn.ModuleDict({name: part for name, part in self.networks.items() if name.startswith("judge")})
        makers = nn.ModuleDict({name: self.networks[name] for name in (*self.model, *self.helpers)})
        generator = Player(self.player, makers, self.loss, settings.player_optimiser())
        if not judges:
            return (generator,)
        optimiser = settings.player_optimiser(settings.discriminator_rate)
        return Player("discriminator", judges, self.discriminator_loss, optimiser), generator

    def seen(self, side: str, planes: Tensor) -> Seen:
        """Return what the discriminator of a side makes of planes."""
        return Seen(planes, cast(PatchDiscriminator, self.networks[f"judge_{side}"]).maps(planes))

    def judged(self, batch: Batch, side: str, real: Tensor, fake: Tensor) -> Loss:
        """Return the loss of a side's discriminator: adversarial, and R1 and R2 in steps in which they are due.

        The gradient of these penalties is that of a picture's mean score.
        """
        settings = self.settings
        due = batch.step % settings.penalty_every == 0
        real = real.detach().requires_grad_(due and settings.r1 > 0)
        fake = fake.detach().requires_grad_(due and settings.r2 > 0)
        scores = self.seen(side, torch.cat([real, fake])).maps[-1].flatten(1)
        real_scores, fake_scores = scores.chunk(2)
        loss = self.scored(real_scores.flatten(), fake_scores.flatten())
        both = (("r1", settings.r1, real, real_scores), ("r2", settings.r2, fake, fake_scores))
        for name, weight, planes, own in both if due else ():
            if weight:
                penalty = penalties.squared_gradient(own.mean(1), planes)
                loss.terms[name] = settings.penalty_every * weight / 2 * penalty
        return loss

    def fooled(self, side: str, real: Callable[[], Tensor], fake: Tensor) -> Tensor:
        """Return the weighted adversarial term of the generator that made the planes `fake` of a side."""
        scores = self.seen(side, fake).scores
        return self.settings.adversarial * self.generator_term(lambda: self.seen(side, real()).scores, scores)

    def wanted(self, batch: Batch) -> Tensor:
        """Return the batch's pictures of the side b: pairs, or those of the second set."""
        return pair_of(batch) if self.paired else other_of(batch)

    def score_of(self, batch: Batch, planes: Tensor) -> Tensor:
        """Return the mean scores (N,) that the discriminator gives patches of planes of the side b."""
        return self.seen("b", self.beside(batch, planes)).maps[-1].mean((1, 2, 3))

    def beside(self, batch: Batch, planes: Tensor) -> Tensor:
        """Return planes as the discriminator sees them: beside what they were made of, if it sees that."""
        return torch.cat([batch.image, planes], dim=1) if self.looks_beside else planes

    def distance(self, side: str, made: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean distance of planes from those that are wanted: L1, or the cross-entropy of classes."""
        if self.sides[side].colours:
            return -(wanted * made.clamp(min=1e-6).log()).sum(1).mean()
        return 2 * (made - wanted).abs().mean()

    @property
    def channels(self) -> int:
        """Channels of pictures from which either side can be read, and in which either can be shown: 1, 3 or 4."""
        return max(side.shown for side in self.sides.values())

    def pictured(self, image: Tensor, to: str = "b", seed: int = 0) -> Tensor:
        """Return pictures (N, channels, H, W) of the other side as such of the side `to`, as `translate` makes them."""
        made = self.translate(planes_of(image, self.sides[OPPOSITE[to]]), to, seed)
        return with_channels(self.as_picture(to, made), self.channels)

    def as_picture(self, side: str, planes: Tensor) -> Tensor:
        """Return planes of a side as pictures (N, C, H, W): label maps in the colours of their classes."""
        if self.sides[side].colours:
            return painted(planes, self.sides[side].palette.to(planes.device))
        return planes

    def shown(self, side: str, planes: Tensor) -> Tensor:
        """Return planes of a side as pictures (N, 3, H, W) for a sheet: labels in their colours, alpha over black."""
        return over_black(self.as_picture(side, planes)).expand(-1, 3, -1, -1)

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Take a step of power iteration in the layers that are normalised."""
        for name, network in self.networks.items():
            if name.startswith("judge"):
                spectral.advance(network)


class Paired(Translation):
    """Pictures that become the pair of each: L1 says what, a discriminator of patches how it should look (pix2pix).

    Feature matching is the distance in the discriminator's maps (Wang et al., 2018, eq. 3, with its mean over maps).
    """

    made = ("b",)

    def draw(self, batch: Batch) -> Tensor:
        """Return the batch's pictures translated, (N, C, H, W)."""
        generator = self.generator("b")
        return cast(Tensor, generator(batch.image, self._kept(batch, generator)))

    def loss(self, batch: Batch, made: Tensor) -> Loss:
        """Return the distance to the pair, and the weighted adversarial, perceptual and feature matching terms."""
        settings, pair, terms = self.settings, pair_of(batch), {}
        if weight := settings.reconstruction:
            terms["reconstruction"] = weight * self.distance("b", made, pair)
        if weight := settings.perceptual:
            terms["perceptual"] = weight * perceptual_distance(made, pair).mean()
        if not settings.adversarial:
            return Loss(terms)
        fake = self.seen("b", self.beside(batch, made))
        real = cache(lambda: self._real(batch))  # only if a term reads it
        terms["adversarial"] = settings.adversarial * self.generator_term(lambda: real().scores, fake.scores)
        if weight := settings.feature_matching:
            pairs = zip(real().maps[:-1], fake.maps[:-1], strict=True)
            distances = [(one.float() - other.float()).abs().mean() for one, other in pairs]
            terms["feature_matching"] = weight * torch.stack(distances).mean()
        return Loss(terms)

    def discriminator_loss(self, batch: Batch, made: Tensor) -> Loss:
        """Return the discriminator's loss; with `conditional` it sees what each picture was made of."""
        return self.judged(batch, "b", self.beside(batch, pair_of(batch)), self.beside(batch, made))

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its translation and its true pair, as many as fill a square sheet."""
        rows = sheet_rows(batch)
        made, pair = self.shown("b", self.translate(rows.image)), self.shown("b", pair_of(rows))
        return in_threes(self.shown("a", rows.image), made, pair)

    @torch.no_grad()
    def _real(self, batch: Batch) -> Seen:
        return self.seen("b", self.beside(batch, pair_of(batch)))


class Cycled(NamedTuple):
    """One step: the sides' fakes, and their own pictures as the same networks change them, if these should not."""

    fakes: dict[str, Tensor]
    same: dict[str, Tensor]


class Cycle(Translation):
    """Two generators, each of which undoes the other (CycleGAN).

    Differs from the paper: distances of label maps are cross-entropies; the history of fakes holds 8 bits a value, as
    files do, and one fake of each step, made after the step, goes into it.
    """

    made = ("b", "a")

    def __init__(self, settings: TranslationSettings, shape: PictureShape) -> None:
        super().__init__(settings, shape)
        if settings.adversarial:
            pools = {side: Pool(self.sides[side].number, shape.sides) for side in self.made}
            self.networks["pool"] = nn.ModuleDict(pools)

    def draw(self, batch: Batch) -> Cycled:
        """Return both sides' fakes, and own pictures through the same networks if both sides are of one form."""
        own = {"a": batch.image, "b": other_of(batch)}
        identity = self.settings.identity > 0 and self.sides["a"][:2] == self.sides["b"][:2]
        fakes, same = {}, {}
        for side in self.made:
            generator, given = self.generator(side), [own[OPPOSITE[side]], *[own[side]] * identity]
            kept = self._kept(batch, generator)
            parts = generator(torch.cat(given), None if kept is None else kept.repeat(len(given), 1)).chunk(len(given))
            fakes[side] = parts[0]
            if identity:
                same[side] = parts[1]
        return Cycled(fakes, same)

    def loss(self, batch: Batch, drawn: Cycled) -> Loss:
        """Return the adversarial, cycle and identity terms of both generators, those of the side a marked by _a."""
        settings, own, terms = self.settings, {"a": batch.image, "b": other_of(batch)}, {}
        for side in self.made:
            mark, back = "" if side == "b" else "_a", OPPOSITE[side]
            if settings.adversarial:
                terms[f"adversarial{mark}"] = self.fooled(side, lambda side=side: own[side], drawn.fakes[side])  # type: ignore[misc]
            if weight := settings.cycle:
                again = self.generator(back)(drawn.fakes[side], self._kept(batch, self.generator(back)))
                terms[f"cycle{mark}"] = weight * self.distance(back, again, own[back])
            if side in drawn.same:
                terms[f"identity{mark}"] = settings.identity * self.distance(side, drawn.same[side], own[side])
        return Loss(terms)

    def discriminator_loss(self, batch: Batch, drawn: Cycled) -> Loss:
        """Return the losses of both discriminators; half of the fakes that they see are earlier ones."""
        own = {"a": batch.image, "b": other_of(batch)}
        terms: dict[str, Tensor] = {}
        readings: dict[str, Tensor] = {}
        for side in self.made:
            fakes = self._pool(side).mixed(batch, drawn.fakes[side].detach(), f"pool {side}")
            loss = self.judged(batch, side, own[side], fakes)
            mark = "" if side == "b" else "_a"
            terms |= {f"{name}{mark}": value for name, value in loss.terms.items()}
            readings |= {f"{name}{mark}": value for name, value in loss.readings.items()}
        return Loss(terms, readings)

    def after_step(self, batch: Batch, values: Mapping[str, float]) -> None:
        """Take a fake of each side into the history, and a step of power iteration."""
        super().after_step(batch, values)
        if not self.settings.adversarial:
            return
        one = batch.rows(0, 1)
        for side, given in (("b", one.image), ("a", other_of(one))):
            with torch.no_grad():
                fake = self.generator(side)(given, self._kept(one, self.generator(side)))
            self._pool(side).take(one, fake[0], f"pool {side}")

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its translation and that translated back, as many as fill a sheet."""
        rows = sheet_rows(batch)
        made = self.translate(rows.image)
        return in_threes(self.shown("a", rows.image), self.shown("b", made), self.shown("a", self.translate(made, "a")))

    def _pool(self, side: str) -> Pool:
        return cast(Pool, cast(nn.ModuleDict, self.networks["pool"])[side])


class Pool(nn.Module):
    """The last fakes of a side, at most `POOL`: buffers, which only `take` moves."""

    planes: Tensor
    count: Tensor

    def __init__(self, channels: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("planes", torch.zeros(POOL, channels, *sides, dtype=torch.uint8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def mixed(self, batch: Batch, fakes: Tensor, stream: str) -> Tensor:
        """Return fakes (N, C, H, W), about half of them replaced by earlier ones, if there are any."""
        coin, place = batch.uniform(2, stream=stream).unbind(1)
        chosen = (place * self.count).long()
        earlier = self.planes[chosen].to(fakes.dtype) / 255
        replaced = (coin < 0.5) & (self.count > 0)
        return torch.where(replaced[:, None, None, None], earlier, fakes)

    @torch.no_grad()
    def take(self, batch: Batch, fake: Tensor, stream: str) -> None:
        """Take a fake (C, H, W) in: beside the others while there is room, then in place of one at random."""
        place = (batch.uniform(stream=f"{stream} place") * POOL).long()[0]
        place = torch.where(self.count < POOL, self.count, place)
        self.planes[place] = (255 * fake).round().to(torch.uint8)
        self.count.add_(1).clamp_(max=POOL)


class Translated(NamedTuple):
    """One step: pictures and, if asked, the others, through a generator; each with its encoder's maps."""

    given: Tensor
    made: Tensor
    maps: list[Tensor]


class Contrast(Translation):
    """One generator, whose results show at each place what is there, and not what is elsewhere (CUT).

    The vectors of `Heads` at a place before and after should be alike, and unlike those of other places (eq. 4).
    Pictures of the side b should stay as they are in the same sense (eq. 5), unless `identity` is 0. Differs from the
    paper: 64 places of a picture instead of 256, other layers of another network, and pictures' own maps are those from
    which they were made.
    """

    made = ("b",)
    helpers = ("heads",)

    def __init__(self, settings: TranslationSettings, shape: PictureShape) -> None:
        super().__init__(settings, shape)
        self.networks["heads"] = Heads([self.generator("b").seen[layer] for layer in self.layers], LENGTH)

    @property
    def layers(self) -> list[int]:
        """The maps of `Generator.encoded` that are compared: one of each size, and one after every second block."""
        levels = len(self.generator("b").widths)
        return [*range(levels), *range(levels + 1, len(self.generator("b").seen), 2)]

    def draw(self, batch: Batch) -> Translated:
        """Return the batch's pictures translated, and behind them the others, if these should stay."""
        generator = self.generator("b")
        given = torch.cat([batch.image, other_of(batch)]) if self.settings.identity else batch.image
        kept = self._kept(batch, generator)
        maps = generator.encoded(given)
        made = generator.decoded(maps, None if kept is None else kept.repeat(len(given) // len(batch), 1))
        return Translated(given, made[..., : given.shape[2], : given.shape[3]], maps)

    def loss(self, batch: Batch, drawn: Translated) -> Loss:
        """Return the adversarial term and the contrast of patches, averaged over pictures and others."""
        settings, terms = self.settings, {}
        if settings.adversarial:
            terms["adversarial"] = self.fooled("b", lambda: other_of(batch), drawn.made[: len(batch)])
        if weight := settings.contrast:
            terms["contrast"] = weight * self.contrast(batch, drawn)
        return Loss(terms)

    def contrast(self, batch: Batch, drawn: Translated) -> Tensor:
        """Return the mean cross-entropy with which a place after is matched with its place before."""
        heads, times = cast(Heads, self.networks["heads"]), len(drawn.given) // len(batch)
        places = batch.uniform(PLACES, 2, stream="places").repeat(times, 1, 1)
        after = heads(self._chosen(self.generator("b").encoded(drawn.made)), places)
        before = heads([part.detach() for part in self._chosen(drawn.maps)], places)
        wanted = torch.arange(PLACES, device=places.device).repeat(len(drawn.given))
        losses = [
            F.cross_entropy((one @ other.detach().mT / TEMPERATURE).flatten(0, 1), wanted)
            for one, other in zip(after, before, strict=True)
        ]
        return torch.stack(losses).mean()

    def discriminator_loss(self, batch: Batch, drawn: Translated) -> Loss:
        """Return the discriminator's loss."""
        return self.judged(batch, "b", other_of(batch), drawn.made[: len(batch)])

    def preview(self, batch: Batch) -> Tensor:
        """Return pictures, each followed by its translation and another picture of that side, to fill a sheet."""
        rows = sheet_rows(batch)
        made, others = self.shown("b", self.translate(rows.image)), self.shown("b", other_of(rows))
        return in_threes(self.shown("a", rows.image), made, others)

    def _chosen(self, maps: list[Tensor]) -> list[Tensor]:
        return [maps[layer] for layer in self.layers]


def pair_of(batch: Batch) -> Tensor:
    """Return the pairs of a batch; raise if it has none."""
    if batch.pair is None:
        raise ValueError("the batch has no pairs")
    return batch.pair


def other_of(batch: Batch) -> Tensor:
    """Return the pictures of the second set; raise if there are none."""
    if batch.other is None:
        raise ValueError("the batch has no pictures of a second set")
    return batch.other


def painted(planes: Tensor, colours: Tensor) -> Tensor:
    """Return planes of classes (N, K, H, W) as pictures (N, 3, H, W): each pixel has the colour (K, 3) of its class."""
    return colours[planes.argmax(1)].movedim(3, 1)


def planes_of(image: Tensor, side: Planes) -> Tensor:
    """Return pictures (N, 1, 3 or 4, H, W) as planes of a side; classes by the nearest of their colours."""
    if side.colours:
        palette = side.palette.to(image.device)
        colours = image[:, :3].expand(-1, 3, -1, -1).movedim(1, 3)
        nearest = torch.stack([(colours - colour).square().sum(3) for colour in palette]).argmin(0)
        return torch.stack([(nearest == number).to(image.dtype) for number in range(len(palette))], dim=1)
    if side.channels == 1:
        return luma(image[:, :3], BT601) if image.shape[1] > 1 else image
    return with_channels(image[:, : side.channels], side.channels)


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Return pictures (N, C, H, W) with at least as many channels: grey repeated, alpha opaque."""
    if image.shape[1] == 1 and channels > 1:
        image = image.expand(-1, 3, -1, -1)
    if image.shape[1] == 3 and channels == 4:
        image = torch.cat([image, torch.ones_like(image[:, :1])], dim=1)
    return image
