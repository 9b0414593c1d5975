"""matplotlib without the settings that lie in the working folder, where it would look for them first."""

import contextlib
import logging
import os

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of caches and fonts that no page needs

with contextlib.chdir("/") if os.path.lexists("matplotlibrc") else contextlib.nullcontext():
    from matplotlib import colormaps as colormaps
    from matplotlib import style as style
    from matplotlib.figure import Figure as Figure
    from matplotlib.image import imsave as imsave
    from matplotlib.ticker import EngFormatter as EngFormatter
    from matplotlib.ticker import LogLocator as LogLocator
    from matplotlib.ticker import NullLocator as NullLocator
