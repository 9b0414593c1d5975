"""What is learned: the table of objectives, by the name that `pinxit train` takes."""

from pinxit.objectives.settings import (
    EnhancementSettings,
    GANSettings,
    ObjectiveSettings,
    PriorSettings,
    RestorationSettings,
    StyleSettings,
    VAESettings,
    VQVAESettings,
)

OBJECTIVES: dict[str, type[ObjectiveSettings]] = {
    # The generative adversarial network (Goodfellow et al., 2014): a generator plays against a discriminator.
    "gan": GANSettings,
    # The variational autoencoder (Kingma and Welling, 2014) and its kin: one player, pictures to codes and back.
    "vae": VAESettings,
    # The vector-quantised autoencoder (van den Oord et al., 2017): one player, and a codebook that follows it.
    "vq": VQVAESettings,
    # A prior over the codes of a run of the two above, learned when that run is finished: one player.
    "prior": PriorSettings,
    # Restoration: one player that undoes a degradation, whatever that is.
    "restore": RestorationSettings,
    # Low-light enhancement: one player that sees how a whole picture was darkened, and a curve that undoes it.
    "enhance": EnhancementSettings,
    # Style transfer in one pass: one player that paints pictures in one style (Johnson et al., 2016) or in any (AdaIN).
    "style": StyleSettings,
}
