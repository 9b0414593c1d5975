"""What is learned: the table of objectives, by the name that `pinxit train` takes."""

from pinxit.objectives import settings

OBJECTIVES: dict[str, type[settings.ObjectiveSettings]] = {
    "gan": settings.GANSettings,  # Goodfellow et al., 2014
    "vae": settings.VAESettings,  # Kingma and Welling, 2014, and its relatives
    "vq": settings.VQVAESettings,  # van den Oord et al., 2017
    "prior": settings.PriorSettings,  # over the codes of a finished run of the two above
    "restore": settings.RestorationSettings,
    "enhance": settings.EnhancementSettings,  # low light
    "matte": settings.MattingSettings,  # Ke et al., 2022, and others, over a frozen network
    "colourise": settings.ColourSettings,  # Zhang et al., 2016
    "classify": settings.ClassifySettings,
    "segment": settings.SegmentSettings,  # Ronneberger et al., 2015
    "detect": settings.DetectSettings,  # Tian et al., 2019, and Feng et al., 2021
    "translate": settings.TranslationSettings,  # Isola et al., 2017; CycleGAN: Zhu et al., 2017; CUT: Park et al., 2020
    "style": settings.StyleSettings,  # Johnson et al., 2016, and AdaIN: Huang and Belongie, 2017
}
