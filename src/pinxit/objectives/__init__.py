"""What is learned: the table of objectives, by the name that `pinxit train` takes."""

from pinxit.objectives.settings import GANSettings, ObjectiveSettings

OBJECTIVES: dict[str, type[ObjectiveSettings]] = {"gan": GANSettings}
