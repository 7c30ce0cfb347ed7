"""The names of the invented site: people, places, pages. Every name and address is invented.

Texts are already escaped as in a line. The length of each table is a power of two, so a random byte selects evenly.
"""

from kmdb_dagster.sample.lines import escaped


def _table(*texts: str) -> tuple[str, ...]:
    return tuple(escaped(text) for text in texts)


FIRST = ("anouk", "bela", "corin", "dessa", "eamon", "fenja", "goran", "hilde")
FIRST_SHOWN = _table("Anouk", "Béla", "Corin", "Dessa", "Éamon", "Fenja", "Goran", "Hilde")
LAST = ("ambleforth", "brisko", "caldermoor", "drevnik", "ostrava", "farrowby", "gundersholt", "ilvar")
LAST_SHOWN = _table("Ambleforth", "Briško", "Caldermoor", "Dřevník", "Östråva", "Farrowby", "Gundersholt", "Ílvar")
DOMAINS = ("example.com", "example.org", "example.net", "example.com")

HARBOURS = (
    "grey-quay", "lantern-sound", "old-mole", "salt-reach", "pilot-steps", "north-basin", "heron-cut", "mill-pool",
)  # fmt: skip
# One city in four has bytes outside ASCII. With the names, a few per cent of the lines have octal escapes.
CITIES = _table(
    "Paraná", "Portsea", "Казань", "Westhaven", "Brackwater", "東京", "Kestrel Bay", "Dunmouth",
    "Łódź", "Fairlight", "Sandholm", "Oxmouth", "Tidewell", "Ravensport", "Calder's Landing", "Whitecliff",
)  # fmt: skip
BOATS = _table("Wren", "Nuthatch", "Second Wind", "Pas Si Vite", "Étoile", "Tern", 'The "Duck"', "Kittiwake")
SEARCHES = ("berth for a night", "harbour booking", "cheap mooring", "visitor pontoon with power")
SEARCHES_IN_URL = tuple(words.replace(" ", "+") for words in SEARCHES)
PAGES = ("berths", "prices", "map", "weather", "reviews", "tides", "approach", "facilities")
NIGHTS = ("1", "2", "3", "7")
LENGTHS = ("6.5", "7", "9.15", "10", "11.3", "12", "14.75", "18")
SITE = "https://www.example.com"
ENGINES = ("search.example.net", "find.example.org")
PRICE = {"free": "15.95", "crew": "49.00"}
"""Billing amount of a month after an upgrade, by the plan at sign-up."""
