"""Colours of charts: Okabe and Ito's (2008), which colour-blind people can tell apart, and viridis for amounts."""

from collections.abc import Sequence

INK = "#222222"
GREY = "#6b6b6b"
FAINT = "#dddddd"
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8a8a8a")
"""In the order in which groups get them. The last one is for all further groups."""
OTHER = "(other)"
"""The group of all values that few people have. It is always grey."""


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """Give each group a colour, in order; `OTHER` and groups beyond the palette are grey."""
    shades = {group: COLOURS[min(place, len(COLOURS) - 1)] for place, group in enumerate(groups)}
    return {group: COLOURS[-1] if group == OTHER else shade for group, shade in shades.items()}


def amount_colour(share: float) -> str:
    """Return the viridis colour of an amount from 0 (dark) to 1 (light)."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](share))


def ink_on(shade: str) -> str:
    """Return dark or white text colour, whichever has the better contrast on ``shade``."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(shade)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
